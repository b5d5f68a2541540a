//! Says something to one user (dev.twitch.tv/docs/api/reference/#send-whisper).
//!
//! Twitch answers 204 to what it drops afterwards, too, so that a whisper is never known to have arrived. How
//! many people an account may whisper to in a day is for Twitch to count: it refuses, and says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_connector::{Outbound, PermanentReason, Share, Status, Verdict};
use chatbus_event::Clock;
use chatbus_http::hyper::Method;
use serde_json::json;

use super::client::Helix;
use super::progress::{Progress, Tried, count_unknown, lacks, refused, unanswered};
use super::question::Leave;
use super::verdict::{self, Said};
use crate::irc::budget::Budget;
use crate::irc::text;
use crate::irc::verdict::Refusal;

/// What a token needs for it.
pub(crate) const SCOPE: &str = "user:manage:whispers";
/// Whispers an account may send in [`SECOND`] (Twitch: 3 a second).
const IN_A_SECOND: usize = 3;
/// Twitch's second and a tenth more, since what leaves evenly may arrive bunched.
const SECOND: Duration = Duration::from_millis(1100);
/// Whispers an account may send in [`MINUTE`] (Twitch: 100 a minute).
const IN_A_MINUTE: usize = 100;
/// Twitch's minute and one second more.
const MINUTE: Duration = Duration::from_secs(61);

/// The account's voice in private.
///
/// What is longer than 500 characters goes out in parts, as in channels: to somebody whom the account never
/// whispered to Twitch cuts what is longer, and nobody can know who that is.
#[derive(Debug)]
pub(crate) struct Whispers {
    helix: Helix,
    pace: Mutex<Pace>,
    share: Share,
    status: Status,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Pace {
    second: Budget,
    minute: Budget,
    /// A refusal that passes said so.
    quiet_until: Option<Instant>,
}

// === impl Whispers ===

impl Whispers {
    pub(crate) fn new(helix: Helix, share: Share, status: Status, clock: Arc<dyn Clock>) -> Self {
        let (second, minute) = (Budget::new(IN_A_SECOND, SECOND), Budget::new(IN_A_MINUTE, MINUTE));
        let pace = Mutex::new(Pace { second, minute, quiet_until: None });
        Self { helix, pace, share, status, clock }
    }

    /// From when on something may be whispered; `None` is now.
    pub(crate) fn allowed_from(&self, now: Instant) -> Option<Instant> {
        let pace = self.pace();
        let quiet = pace.quiet_until.filter(|until| *until > now);
        let second = pace.second.next_of(self.share.of(IN_A_SECOND), now);
        let minute = pace.minute.next_of(self.share.of(IN_A_MINUTE), now);
        quiet.max(second).max(minute).max(self.helix.quiet_until())
    }

    /// Says all of it to the user with this id.
    pub(crate) async fn send(&self, to: &str, outbound: &Outbound) -> Verdict {
        let parts = text::messages(&outbound.text);
        if parts.is_empty() {
            let why = "nothing of the text can be shown";
            return refused(PermanentReason::Rejected, "empty_text", why);
        }
        let tried = match self.helix.who().await {
            Ok(who) if !who.scopes.is_empty() && !who.scopes.iter().any(|scope| scope == SCOPE) => {
                Tried::NothingSaid(lacks(SCOPE))
            }
            Ok(who) => {
                let mut progress = Progress::new(parts, outbound.deadline);
                loop {
                    if let Some(tried) = self.step(&who.user_id, to, outbound, &mut progress).await {
                        break tried;
                    }
                }
            }
            Err(error) => unanswered(&error, SCOPE, self.clock.instant()),
        };
        // There is no other way to say something in private.
        match tried {
            Tried::Done(verdict) | Tried::NothingSaid(verdict) => verdict,
        }
    }

    /// Says the part that is due, or waits until it may be said. `Some` ends the delivery.
    async fn step(
        &self,
        from: &str,
        to: &str,
        outbound: &Outbound,
        progress: &mut Progress,
    ) -> Option<Tried> {
        let clock = &*self.clock;
        let now = clock.instant();
        let Some(part) = progress.due() else {
            self.status.count(|snapshot| snapshot.counters.sent += 1);
            return Some(Tried::Done(Verdict::Accepted));
        };
        if now >= progress.deadline {
            return Some(Tried::Done(progress.expired()));
        }
        if let Some(at) = self.allowed_from(now) {
            return progress.wait_turn(at, clock).await.map(Tried::Done);
        }
        let (query, body) = ([("from_user_id", from), ("to_user_id", to)], json!({ "message": part }));
        self.pace().record(now);
        let leave = Some(Leave { fence: &outbound.fence, deadline: outbound.deadline });
        match self.helix.call_under(Method::POST, "/whispers", &query, Some(body), leave).await {
            Ok(answer) => self.heard(verdict::whisper(&answer), answer.status, progress).await,
            Err(error) => progress.unanswered(&error, SCOPE, clock).await,
        }
    }

    async fn heard(&self, said: Said, status: u16, progress: &mut Progress) -> Option<Tried> {
        let (refusal, code, message) = match said {
            Said::Yes { id } => {
                progress.part_said(id);
                return None;
            }
            Said::Perhaps { code, message } => {
                return Some(Tried::Done(progress.unverified(&code, &message)));
            }
            Said::No { refusal, code, message } => (refusal, code, message),
        };
        match refusal {
            Refusal::Retry(after) | Refusal::Duplicate(after) => {
                let until = self.clock.instant() + after;
                self.pace().quiet_until = Some(until);
                progress.wait_refused(until, &code, &message, &*self.clock).await.map(Tried::Done)
            }
            Refusal::Permanent | Refusal::Unknown => {
                if refusal == Refusal::Unknown {
                    count_unknown(&self.status, &code);
                }
                let verdict = match status {
                    404 if progress.said == 0 => refused(PermanentReason::NoRecipient, &code, &message),
                    _ => progress.refused(&code, &message),
                };
                Some(Tried::Done(verdict))
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pace ===

impl Pace {
    fn record(&mut self, now: Instant) {
        self.second.record(now);
        self.minute.record(now);
    }
}
