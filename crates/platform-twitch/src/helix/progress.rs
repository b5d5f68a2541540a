//! One delivery on its way, in parts that each fit.

use std::time::{Duration, Instant};

use chatbus_connector::{PermanentReason, Status, Verdict};
use chatbus_event::Clock;
use tracing::warn;

use super::answer::HelixError;
use crate::normalize::PLATFORM;

/// How long the rest of a text waits when Helix cannot be asked, of which a part is said already.
const REST_RETRY: Duration = Duration::from_secs(2);

/// What became of a try by Helix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tried {
    /// This, whatever else there is.
    Done(Verdict),
    /// Nothing was said, for a reason that lies with Helix or the token: another way may be taken, and where
    /// there is none it is this.
    NothingSaid(Verdict),
}

/// How far it is.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) parts: Vec<String>,
    /// How many parts are done with.
    pub(super) said: usize,
    /// The platform's id of the first part that has one.
    pub(super) id: Option<String>,
    /// The last refusal that passes.
    pub(super) refusal: Option<(String, String)>,
    pub(super) deadline: Instant,
    /// How often the due part was told apart after the platform called it a duplicate.
    pub(super) marks: usize,
}

// === impl Progress ===

impl Progress {
    pub(super) fn new(parts: Vec<String>, deadline: Instant) -> Self {
        Self { parts, said: 0, id: None, refusal: None, deadline, marks: 0 }
    }

    /// The part that is due; `None` when all are said.
    pub(super) fn due(&self) -> Option<&str> {
        self.parts.get(self.said).map(String::as_str)
    }

    /// The due part was said.
    pub(super) fn part_said(&mut self, id: Option<String>) {
        self.id = self.id.take().or(id);
        self.said += 1;
        self.marks = 0;
        self.refusal = None;
    }

    /// A message for people, with what had gone out before it went wrong.
    pub(super) fn account(&self, what: &str) -> String {
        match (self.said, self.parts.len()) {
            (_, 1) => what.to_owned(),
            (0, all) => format!("{what} (none of {all} parts was said)"),
            (said, all) => format!("{what} (the first {said} of {all} parts were said)"),
        }
    }

    pub(super) fn refused(&self, code: &str, message: &str) -> Verdict {
        refused(PermanentReason::Rejected, code, &self.account(message))
    }

    pub(super) fn unverified(&self, code: &str, message: &str) -> Verdict {
        Verdict::Unverified { code: code.to_owned(), message: self.account(message) }
    }

    /// What it is when its deadline has passed.
    pub(super) fn expired(&self) -> Verdict {
        if self.said == 0 {
            return Verdict::NotNow;
        }
        match &self.refusal {
            Some((code, message)) => self.refused(code, message),
            None => self.refused("expired", "the deadline passed"),
        }
    }

    /// The limits allow the due part at `at`. Whoever asked waits for that if nothing was begun; `Some` ends
    /// the delivery.
    pub(super) async fn wait_turn(&self, at: Instant, clock: &dyn Clock) -> Option<Verdict> {
        if self.said == 0 && self.marks == 0 {
            return Some(Verdict::NotNow);
        }
        self.sleep_until(at, clock).await
    }

    /// The due part was refused and may be said at `at`. Once a part has gone out the rest is ours to bring
    /// after it: whoever asked would say all of it again. `Some` ends the delivery.
    pub(super) async fn wait_refused(
        &mut self,
        at: Instant,
        code: &str,
        message: &str,
        clock: &dyn Clock,
    ) -> Option<Verdict> {
        if self.said == 0 {
            let after = at.saturating_duration_since(clock.instant());
            let message = self.account(message);
            return Some(Verdict::Retry { after, code: code.to_owned(), message });
        }
        self.refusal = Some((code.to_owned(), message.to_owned()));
        self.sleep_until(at, clock).await
    }

    /// The due part got no answer, for which it wanted this scope. `Some` ends the delivery.
    pub(super) async fn unanswered(
        &mut self,
        error: &HelixError,
        scope: &str,
        clock: &dyn Clock,
    ) -> Option<Tried> {
        let now = clock.instant();
        if self.said == 0 {
            return Some(unanswered(error, scope, now));
        }
        let (code, message) = (error.code(), error.to_string());
        let at = match error {
            HelixError::Lost(_) => return Some(Tried::Done(self.unverified(code, &message))),
            HelixError::Lapsed => return Some(Tried::Done(self.refused(code, &message))),
            HelixError::Limited(until) => *until,
            _ => now + REST_RETRY,
        };
        self.wait_refused(at, code, &message, clock).await.map(Tried::Done)
    }

    async fn sleep_until(&self, at: Instant, clock: &dyn Clock) -> Option<Verdict> {
        let now = clock.instant();
        tokio::time::sleep(at.min(self.deadline).saturating_duration_since(now)).await;
        (clock.instant() >= self.deadline).then(|| self.expired())
    }
}

pub(super) fn refused(reason: PermanentReason, code: &str, message: &str) -> Verdict {
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}

/// What a question without an answer means for a delivery of which nothing was said, when it wanted this
/// scope.
pub(super) fn unanswered(error: &HelixError, scope: &str, now: Instant) -> Tried {
    let (code, message) = (error.code().to_owned(), error.to_string());
    match error {
        HelixError::MissingScope(_) => Tried::NothingSaid(lacks(scope)),
        HelixError::NoToken | HelixError::Refused(_) => Tried::NothingSaid(Verdict::Reauth { code, message }),
        HelixError::Denied(_) | HelixError::Unusable(_) => {
            Tried::NothingSaid(refused(PermanentReason::Rejected, &code, &message))
        }
        HelixError::Unreachable(_) => {
            Tried::NothingSaid(Verdict::Retry { after: Duration::ZERO, code, message })
        }
        HelixError::Limited(until) => {
            Tried::Done(Verdict::Retry { after: until.saturating_duration_since(now), code, message })
        }
        HelixError::Lapsed => Tried::Done(Verdict::NotNow),
        HelixError::Lost(_) => Tried::Done(Verdict::Unverified { code, message }),
    }
}

/// The token lacks a scope, whose name helps to mend that.
pub(super) fn lacks(scope: &str) -> Verdict {
    Verdict::Reauth { code: "missing_scope".to_owned(), message: format!("the token lacks {scope}") }
}

/// Notes a refusal that no table has.
pub(super) fn count_unknown(status: &Status, code: &str) {
    warn!(
        event = "twitch.helix.unknown_refusal",
        platform = PLATFORM,
        errorCode = code,
        "a refusal with a code that is not in the table"
    );
    status.count(|snapshot| {
        *snapshot.counters.other.entry("unknownRefusals".to_owned()).or_default() += 1;
    });
}
