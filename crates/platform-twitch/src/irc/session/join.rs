//! One channel's way in and out: asked for, confirmed, refused, tried again, left.

use std::time::Instant;

use crate::irc::limits::{JOIN_SETTLE, JOIN_TIMEOUT, JOIN_TRIES, REFUSED_RETRY};

/// Whether we are in a channel.
#[derive(Debug)]
pub(super) struct Join {
    state: State,
    /// Whether we are to be in it.
    is_kept: bool,
    /// Since when we have not been in it.
    out_since: Instant,
    /// The code of the last refusal; it stays while a refused channel is tried again.
    refusal: Option<String>,
    /// How many PARTs in a row got no answer.
    unanswered_parts: u32,
}

#[derive(Debug)]
enum State {
    /// To be asked for, as soon as the limits allow.
    Wanted {
        tries: u32,
    },
    Asked {
        at: Instant,
        tries: u32,
    },
    /// In. What belongs to the join has all been read at `settled`.
    Joined {
        settled: Instant,
    },
    /// Left alone until then.
    Refused {
        retry_at: Instant,
    },
    /// A PART was sent then, or is to be sent once more. Until its answer comes no JOIN is sent: answers to
    /// both could not be told apart.
    Leaving {
        asked_at: Option<Instant>,
        /// Whether the server has said that we are in. Of a channel in which we are not it says nothing.
        is_in: bool,
    },
}

/// What the time that passed did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ticked {
    /// Nothing that others should know.
    Nothing,
    /// The channel was given up.
    GivenUp,
    /// The server does not let us go.
    Stuck,
}

// === impl Join ===

impl Join {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Wanted { tries: 0 },
            is_kept: true,
            out_since: now,
            refusal: None,
            unanswered_parts: 0,
        }
    }

    /// We are to be in it; `anew` when it was asked for once more, so that a refusal does not count. Gives
    /// whether we are in although we were not to be.
    pub(super) fn keep(&mut self, anew: bool) -> bool {
        if anew && matches!(self.state, State::Refused { .. }) {
            self.state = State::Wanted { tries: 0 };
        }
        !std::mem::replace(&mut self.is_kept, true) && self.is_joined()
    }

    /// We are not to be in it. Gives whether we are, and were to be.
    pub(super) fn release(&mut self) -> bool {
        std::mem::replace(&mut self.is_kept, false) && self.is_joined()
    }

    /// A new connection, or none: nobody is in any channel. A refusal outlives connections.
    pub(super) fn reset(&mut self, now: Instant) {
        self.unanswered_parts = 0;
        match self.state {
            State::Joined { .. } | State::Leaving { .. } => {
                self.out_since = now;
                self.state = State::Wanted { tries: 0 };
            }
            State::Wanted { .. } | State::Asked { .. } => self.state = State::Wanted { tries: 0 },
            State::Refused { .. } => {}
        }
    }

    /// Whether a JOIN should be sent as soon as the limits allow.
    pub(super) fn is_due(&self) -> bool {
        self.is_kept && matches!(self.state, State::Wanted { .. })
    }

    /// A JOIN was sent.
    pub(super) fn asked(&mut self, now: Instant) {
        if let State::Wanted { tries } = self.state {
            self.state = State::Asked { at: now, tries: tries + 1 };
        }
    }

    /// A PART was sent.
    pub(super) fn leaving(&mut self, now: Instant) {
        let is_in = match self.state {
            State::Joined { .. } => true,
            State::Leaving { is_in, .. } => is_in,
            _ => false,
        };
        self.state = State::Leaving { asked_at: Some(now), is_in };
    }

    /// The server says that we are in. `complete` when nothing more of the join is to come. Gives
    /// whether that is news.
    pub(super) fn confirmed(&mut self, complete: bool, now: Instant) -> bool {
        let settled = if complete { now } else { now + JOIN_SETTLE };
        match &mut self.state {
            State::Joined { settled: known } => {
                *known = (*known).min(settled);
                false
            }
            State::Leaving { is_in, .. } => {
                *is_in = true;
                false
            }
            state => {
                *state = State::Joined { settled };
                self.refusal = None;
                self.is_kept
            }
        }
    }

    /// The server says that we cannot be in, or no longer are.
    pub(super) fn refused(&mut self, code: &str, now: Instant) {
        if self.is_in() {
            self.out_since = now;
        }
        self.refusal = Some(code.to_owned());
        self.state = State::Refused { retry_at: now + REFUSED_RETRY };
    }

    /// The server took us out, because we asked for it or without a reason.
    pub(super) fn parted(&mut self, now: Instant) {
        self.reset(now);
    }

    /// Moves on when an answer is overdue, or a refused channel has been left alone long enough.
    pub(super) fn tick(&mut self, now: Instant) -> Ticked {
        if self.deadline().is_none_or(|due| due > now) {
            return Ticked::Nothing;
        }
        match self.state {
            // One try is enough to see whether it still is refused.
            State::Refused { .. } => self.state = State::Wanted { tries: JOIN_TRIES - 1 },
            State::Asked { tries, .. } if tries < JOIN_TRIES => self.state = State::Wanted { tries },
            State::Asked { .. } => {
                let first_time = self.refusal.is_none();
                let code = self.refusal.take().unwrap_or_else(|| NO_ANSWER.to_owned());
                self.refused(&code, now);
                return if first_time { Ticked::GivenUp } else { Ticked::Nothing };
            }
            State::Leaving { is_in, .. } => return self.unanswered_part(is_in, now),
            State::Wanted { .. } | State::Joined { .. } => {}
        }
        Ticked::Nothing
    }

    /// No answer to a PART came. Where we were never seen to be in there is none to come.
    fn unanswered_part(&mut self, is_in: bool, now: Instant) -> Ticked {
        self.unanswered_parts += 1;
        if is_in && self.unanswered_parts < JOIN_TRIES {
            self.state = State::Leaving { asked_at: None, is_in };
            return Ticked::Nothing;
        }
        self.reset(now);
        if is_in { Ticked::Stuck } else { Ticked::Nothing }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Leaving { asked_at, .. } => asked_at.map(|at| at + JOIN_TIMEOUT),
            // The PART that is due is what it waits for.
            _ if !self.is_kept => None,
            State::Asked { at, .. } => Some(at + JOIN_TIMEOUT),
            State::Refused { retry_at } => Some(retry_at),
            State::Wanted { .. } | State::Joined { .. } => None,
        }
    }

    /// Whether we are to be in it.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(super) fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined { .. })
    }

    /// Whether the server believes us to be in, as far as we know.
    pub(super) fn is_in(&self) -> bool {
        matches!(self.state, State::Joined { .. } | State::Leaving { is_in: true, .. })
    }

    /// Whether we are leaving.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Whether a PART should be sent as soon as the limits allow.
    pub(super) fn is_part_due(&self) -> bool {
        match self.state {
            State::Leaving { asked_at, .. } => asked_at.is_none(),
            State::Asked { .. } | State::Joined { .. } => !self.is_kept,
            State::Wanted { .. } | State::Refused { .. } => false,
        }
    }

    /// Whether we are not in it and have asked for nothing.
    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, State::Wanted { .. } | State::Refused { .. })
    }

    /// Whether the channel is asked for and the answer is open.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    /// From when on something can be said, while we are in.
    pub(super) fn open_from(&self) -> Option<Instant> {
        match self.state {
            State::Joined { settled } => Some(settled),
            _ => None,
        }
    }

    pub(super) fn out_since(&self) -> Instant {
        self.out_since
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
}

/// The code of a channel that was asked for and never answered.
pub(super) const NO_ANSWER: &str = "no_answer";
