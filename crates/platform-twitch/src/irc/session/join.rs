//! One channel's way in: asked for, confirmed, refused, tried again.

use std::time::Instant;

use crate::irc::limits::{JOIN_SETTLE, JOIN_TIMEOUT, JOIN_TRIES, REFUSED_RETRY};

/// Whether we are in a channel.
#[derive(Debug)]
pub(super) struct Join {
    state: State,
    /// Since when we have not been in it.
    out_since: Instant,
    /// The code of the last refusal; it stays while a refused channel is tried again.
    refusal: Option<String>,
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
}

// === impl Join ===

impl Join {
    pub(super) fn new(now: Instant) -> Self {
        Self { state: State::Wanted { tries: 0 }, out_since: now, refusal: None }
    }

    /// A new connection, or none: nobody is in any channel. A refusal outlives connections.
    pub(super) fn reset(&mut self, now: Instant) {
        match self.state {
            State::Joined { .. } => {
                self.out_since = now;
                self.state = State::Wanted { tries: 0 };
            }
            State::Wanted { .. } | State::Asked { .. } => self.state = State::Wanted { tries: 0 },
            State::Refused { .. } => {}
        }
    }

    /// Whether a JOIN should be sent as soon as the limits allow.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted { .. })
    }

    /// A JOIN was sent.
    pub(super) fn asked(&mut self, now: Instant) {
        if let State::Wanted { tries } = self.state {
            self.state = State::Asked { at: now, tries: tries + 1 };
        }
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
            state => {
                *state = State::Joined { settled };
                self.refusal = None;
                true
            }
        }
    }

    /// The server says that we cannot be in, or no longer are.
    pub(super) fn refused(&mut self, code: &str, now: Instant) {
        if self.is_joined() {
            self.out_since = now;
        }
        self.refusal = Some(code.to_owned());
        self.state = State::Refused { retry_at: now + REFUSED_RETRY };
    }

    /// The server took us out without a reason.
    pub(super) fn parted(&mut self, now: Instant) {
        self.reset(now);
    }

    /// Moves on when an answer is overdue, or a refused channel has been left alone long enough.
    /// Gives whether the channel was given up just now.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        match self.state {
            // One try is enough to see whether it still is refused.
            State::Refused { retry_at } if now >= retry_at => {
                self.state = State::Wanted { tries: JOIN_TRIES - 1 };
                false
            }
            State::Asked { at, tries } if now >= at + JOIN_TIMEOUT => {
                if tries < JOIN_TRIES {
                    self.state = State::Wanted { tries };
                    return false;
                }
                let first_time = self.refusal.is_none();
                let code = self.refusal.take().unwrap_or_else(|| NO_ANSWER.to_owned());
                self.refused(&code, now);
                first_time
            }
            _ => false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Asked { at, .. } => Some(at + JOIN_TIMEOUT),
            State::Refused { retry_at } => Some(retry_at),
            State::Wanted { .. } | State::Joined { .. } => None,
        }
    }

    pub(super) fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined { .. })
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
