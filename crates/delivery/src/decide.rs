//! What comes next for the event at the head of its conversation: pure decisions of what the platform
//! says and what time it is.

use std::time::{Duration, Instant};

use chatbus_connector::{Availability, PermanentReason, Verdict};
use chatbus_event::{ErrorInfo, Reason, Status};

/// Until when an event may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// When it is given up.
    pub(crate) deadline: Instant,
    /// Whether that is its `timeoutAt`, after which nothing may be sent.
    pub(crate) is_timeout: bool,
    /// It was first read after its deadline, and has this one attempt.
    pub(crate) last_chance: bool,
}

/// Why an event waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No instance that we know serves its platform or channel.
    Unserved,
    /// The platform is not connected, or the channel not joined.
    Disconnected,
    /// The user has no connection to a gateway.
    Offline,
    /// A rate budget is used up.
    Limit,
    /// The platform refused for now.
    Refused(ErrorInfo),
}

/// Whether the head may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    /// Now.
    Send,
    /// Later: at `until`, or when the sink says that something changed.
    Wait { until: Option<Instant>, cause: Cause },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The platform confirmed it.
    Sent { provider_message_id: Option<String> },
    /// Handed over; the platform gives no verdict.
    Accepted,
    /// Not said.
    Failed { reason: Reason, error: ErrorInfo },
}

/// What a verdict leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// The delivery is over.
    End(Ending),
    /// Try again, first of its conversation, not before `until`.
    Again { until: Instant, cause: Cause },
}

/// The waits between attempts when the platform names none.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// A login that must be renewed takes a person or a refresh: asking often helps nobody.
const FIRST_REAUTH: Duration = Duration::from_secs(5);
const LONGEST_REAUTH: Duration = Duration::from_secs(30);
/// A sink that says "ready" and then "not now" is not asked again at once.
const FIRST_NOT_NOW: Duration = Duration::from_millis(50);
const LONGEST_NOT_NOW: Duration = Duration::from_secs(1);

/// Whether the head may be sent now.
pub(crate) fn before_send(availability: Availability, now: Instant) -> Before {
    match availability {
        Availability::Ready => Before::Send,
        Availability::NotBefore(until) if until <= now => Before::Send,
        Availability::NotBefore(until) => Before::Wait { until: Some(until), cause: Cause::Limit },
        Availability::Disconnected { .. } => Before::Wait { until: None, cause: Cause::Disconnected },
        Availability::Unserved => Before::Wait { until: None, cause: Cause::Unserved },
    }
}

/// What a verdict leads to. `failures` counts attempts in a row that did not end the delivery, this
/// one not included; `is_remembered` where the platform says nothing twice until the deadline.
pub(crate) fn after_send(
    verdict: &Verdict,
    failures: u32,
    is_remembered: bool,
    timing: Timing,
    now: Instant,
) -> After {
    match verdict {
        Verdict::Delivered { provider_message_id } => {
            After::End(Ending::Sent { provider_message_id: provider_message_id.clone() })
        }
        Verdict::Accepted => After::End(Ending::Accepted),
        Verdict::Permanent { reason, code, message } => {
            let error = ErrorInfo { code: code.clone(), message: message.clone() };
            After::End(Ending::Failed { reason: permanent(*reason), error })
        }
        Verdict::Unverified { code, message } => {
            let error = ErrorInfo { code: code.clone(), message: message.clone() };
            let until = now + growing(FIRST_RETRY, LONGEST_RETRY, failures);
            if is_remembered && !timing.last_chance && until < timing.deadline {
                return After::Again { until, cause: Cause::Refused(error) };
            }
            After::End(Ending::unverified(&error))
        }
        Verdict::Retry { after, code, message } => {
            let error = ErrorInfo { code: code.clone(), message: message.clone() };
            let wait = if after.is_zero() { growing(FIRST_RETRY, LONGEST_RETRY, failures) } else { *after };
            // The platform itself says that it takes no more before the deadline.
            let hopeless = !after.is_zero() && now + wait >= timing.deadline;
            if timing.last_chance || hopeless {
                return After::End(Ending::expired(&error));
            }
            After::Again { until: now + wait, cause: Cause::Refused(error) }
        }
        Verdict::Reauth { code, message } => {
            let error = ErrorInfo { code: code.clone(), message: message.clone() };
            if timing.last_chance {
                return After::End(Ending::expired(&error));
            }
            let wait = growing(FIRST_REAUTH, LONGEST_REAUTH, failures);
            After::Again { until: now + wait, cause: Cause::Refused(error) }
        }
        Verdict::NotNow => {
            let wait = growing(FIRST_NOT_NOW, LONGEST_NOT_NOW, failures);
            After::Again { until: now + wait, cause: Cause::Limit }
        }
    }
}

/// How an event ends whose deadline came while it waited for `cause`; `None` when it only waited for
/// its turn.
pub(crate) fn at_deadline(timing: Timing, cause: Option<&Cause>) -> Ending {
    if timing.is_timeout {
        return Ending::failed(Reason::Expired, "timeoutAt passed before it could be said");
    }
    match cause {
        Some(Cause::Unserved) => {
            Ending::failed(Reason::NoInstance, "no instance served its platform or channel")
        }
        Some(Cause::Disconnected) => {
            Ending::failed(Reason::NoInstance, "its platform or channel was not connected")
        }
        Some(Cause::Offline) => Ending::failed(Reason::UserOffline, "the user was not connected"),
        Some(Cause::Refused(error)) => Ending::expired(error),
        Some(Cause::Limit) => Ending::failed(Reason::Expired, "the platform's limits left no room for it"),
        None => Ending::failed(Reason::Expired, "what was before it took until its deadline"),
    }
}

/// The word of an attempt's outcome; `None` for what was no attempt.
pub(crate) fn attempt_word(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Delivered { .. } => Some("sent"),
        Verdict::Accepted => Some("accepted"),
        Verdict::NotNow => None,
        Verdict::Retry { code, .. }
        | Verdict::Reauth { code, .. }
        | Verdict::Permanent { code, .. }
        | Verdict::Unverified { code, .. } => Some(code),
    }
}

fn permanent(reason: PermanentReason) -> Reason {
    match reason {
        PermanentReason::Rejected => Reason::Rejected,
        PermanentReason::Unsupported => Reason::Unsupported,
        PermanentReason::NoRecipient => Reason::NoRecipient,
    }
}

fn growing(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(longest)
}

// === impl Ending ===

impl Ending {
    /// A failure of our own finding: its code is the reason.
    pub(crate) fn failed(reason: Reason, message: impl Into<String>) -> Self {
        let error = ErrorInfo { code: reason.as_str().to_owned(), message: message.into() };
        Self::Failed { reason, error }
    }

    /// Bytes went out, and what became of them is not known.
    fn unverified(error: &ErrorInfo) -> Self {
        Self::failed(Reason::Unverified, format!("{}: {}", error.code, error.message))
    }

    /// What is true instead of this, when an earlier attempt may have been heard, which had no verdict
    /// because of `error` if that is known: the platform's own word is about that attempt too, a deadline
    /// or a full lane is not.
    pub(crate) fn in_doubt(&self, error: Option<&ErrorInfo>) -> Option<Self> {
        let Self::Failed { reason: Reason::Expired | Reason::NoInstance | Reason::Overloaded, error: why } =
            self
        else {
            return None;
        };
        Some(match error {
            Some(error) => Self::unverified(error),
            None => Self::failed(Reason::Unverified, format!("tried before, and then {}", why.message)),
        })
    }

    /// Given up while the platform refused for now.
    fn expired(last: &ErrorInfo) -> Self {
        Self::failed(Reason::Expired, format!("last refused with {}: {}", last.code, last.message))
    }

    /// The status on the wire.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Sent { .. } => Status::Sent,
            Self::Accepted => Status::Accepted,
            Self::Failed { .. } => Status::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(code: &str) -> ErrorInfo {
        ErrorInfo { code: code.into(), message: "m".into() }
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn now() -> Instant {
        Instant::now()
    }

    fn timing(now: Instant, seconds: u64) -> Timing {
        Timing { deadline: now + Duration::from_secs(seconds), is_timeout: false, last_chance: false }
    }

    fn retry(after_ms: u64) -> Verdict {
        Verdict::Retry { after: Duration::from_millis(after_ms), code: "slow".into(), message: "m".into() }
    }

    #[test]
    fn each_verdict_leads_to_its_step() {
        let now = now();
        let t = timing(now, 60);
        let last = Timing { last_chance: true, ..t };
        let again =
            |ms| After::Again { until: now + Duration::from_millis(ms), cause: Cause::Refused(info("slow")) };
        let refused = |reason| After::End(Ending::Failed { reason, error: info("no") });
        let expired =
            |code: &str| After::End(Ending::failed(Reason::Expired, format!("last refused with {code}: m")));
        let sent = Ending::Sent { provider_message_id: Some("p".into()) };
        let permanent = |reason| Verdict::Permanent { reason, code: "no".into(), message: "m".into() };
        let reauth = Verdict::Reauth { code: "login".into(), message: "m".into() };
        let unverified = Verdict::Unverified { code: "cut".into(), message: "m".into() };
        for (verdict, failures, timing, expected) in [
            (Verdict::Delivered { provider_message_id: Some("p".into()) }, 0, t, After::End(sent)),
            (Verdict::Accepted, 3, t, After::End(Ending::Accepted)),
            (permanent(PermanentReason::Rejected), 0, t, refused(Reason::Rejected)),
            (permanent(PermanentReason::Unsupported), 0, t, refused(Reason::Unsupported)),
            (permanent(PermanentReason::NoRecipient), 0, t, refused(Reason::NoRecipient)),
            (unverified, 0, t, After::End(Ending::failed(Reason::Unverified, "cut: m"))),
            (retry(2_000), 9, t, again(2_000)),
            (retry(0), 0, t, again(500)),
            (retry(0), 1, t, again(1_000)),
            (retry(0), 30, t, again(10_000)),
            (retry(0), 40, t, again(10_000)),
            (retry(60_000), 0, t, expired("slow")),
            (retry(1_000), 0, last, expired("slow")),
            (reauth.clone(), 0, last, expired("login")),
            (
                reauth,
                0,
                t,
                After::Again { until: now + Duration::from_secs(5), cause: Cause::Refused(info("login")) },
            ),
            (
                Verdict::NotNow,
                1,
                last,
                After::Again { until: now + Duration::from_millis(100), cause: Cause::Limit },
            ),
        ] {
            let found = after_send(&verdict, failures, false, timing, now);
            assert_eq!(found, expected, "{verdict:?} {failures}");
        }
    }

    #[test]
    fn what_has_no_verdict_is_tried_again_where_the_platform_remembers_it() {
        let now = now();
        let t = timing(now, 60);
        let at = |ms| now + Duration::from_millis(ms);
        let unverified = Verdict::Unverified { code: "cut".into(), message: "m".into() };
        let again = |ms| After::Again { until: at(ms), cause: Cause::Refused(info("cut")) };
        let over = After::End(Ending::failed(Reason::Unverified, "cut: m"));
        for (is_remembered, failures, timing, expected) in [
            (true, 0, t, again(500)),
            (true, 1, t, again(1_000)),
            (true, 0, Timing { deadline: at(501), ..t }, again(500)),
            (true, 0, Timing { deadline: at(500), ..t }, over.clone()),
            (true, 0, Timing { last_chance: true, ..t }, over.clone()),
            (false, 0, t, over),
        ] {
            let found = after_send(&unverified, failures, is_remembered, timing, now);
            assert_eq!(found, expected, "{is_remembered} {failures} {timing:?}");
        }
    }

    #[test]
    fn a_deadline_after_an_attempt_without_a_verdict_does_not_say_that_nothing_was_said() {
        let unverified = |why: &str| Some(Ending::failed(Reason::Unverified, why));
        for reason in [Reason::Expired, Reason::NoInstance, Reason::Overloaded] {
            let ending = Ending::failed(reason, "the time was over");
            assert_eq!(ending.in_doubt(Some(&info("cut"))), unverified("cut: m"), "{reason:?}");
            let known = unverified("tried before, and then the time was over");
            assert_eq!(ending.in_doubt(None), known, "{reason:?}");
        }
        assert_eq!(Ending::failed(Reason::Rejected, "m").in_doubt(Some(&info("cut"))), None);
        assert_eq!(Ending::Accepted.in_doubt(Some(&info("cut"))), None);
    }

    #[test]
    fn what_it_waited_for_is_why_it_ends_at_its_deadline() {
        let t = timing(now(), 0);
        let timeout = Timing { is_timeout: true, ..t };
        for (timing, cause, reason) in [
            (t, Some(Cause::Unserved), Reason::NoInstance),
            (t, Some(Cause::Disconnected), Reason::NoInstance),
            (t, Some(Cause::Limit), Reason::Expired),
            (t, Some(Cause::Refused(info("slow"))), Reason::Expired),
            (t, None, Reason::Expired),
            (timeout, Some(Cause::Unserved), Reason::Expired),
        ] {
            let Ending::Failed { reason: found, error } = at_deadline(timing, cause.as_ref()) else {
                panic!("{cause:?} is a failure");
            };
            assert_eq!((found, error.code.as_str()), (reason, reason.as_str()), "{cause:?}");
        }
    }

    #[test]
    fn only_what_was_tried_is_an_attempt() {
        assert_eq!(attempt_word(&Verdict::NotNow), None);
        assert_eq!(attempt_word(&retry(1)), Some("slow"));
        assert_eq!(attempt_word(&Verdict::Accepted), Some("accepted"));
    }
}
