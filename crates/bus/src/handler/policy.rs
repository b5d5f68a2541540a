//! What becomes of a message whose handler failed. Pure.

use std::time::Duration;

use chatbus_event::Reason;

use super::HandlerError;
use crate::{Failure, Settlement, limits};

/// How often, how soon and how many at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerPolicy {
    /// Failures a handler may report before the message is a dead letter (MAX_DELIVERIES).
    pub max_deliveries: u32,
    /// Redeliveries after crashes, on top of these.
    pub max_crash_redeliveries: u32,
    /// The wait after the first failure; each further one waits four times as long.
    pub first_retry: Duration,
    /// The longest wait.
    pub max_retry: Duration,
    /// Conversations handled at once.
    pub concurrency: usize,
    /// How long what is in hand may take after the stop; the rest is given back.
    pub grace: Duration,
}

// === impl HandlerPolicy ===

impl Default for HandlerPolicy {
    /// Contract section 2: MAX_DELIVERIES 5; the grace leaves room in SHUTDOWN_GRACE_MS (8 s).
    fn default() -> Self {
        Self {
            max_deliveries: 5,
            max_crash_redeliveries: limits::MAX_CRASH_REDELIVERIES,
            first_retry: Duration::from_millis(200),
            max_retry: Duration::from_secs(30),
            concurrency: 32,
            grace: Duration::from_secs(5),
        }
    }
}

/// What becomes of a message on which a handler failed that had failed `failures` times before.
/// `jitter` in `0.0..1.0` spreads a wait between its half and all of it.
pub fn next_settlement(
    failures: u32,
    deliveries: u32,
    error: HandlerError,
    policy: &HandlerPolicy,
    jitter: f64,
) -> Settlement {
    let why = match error {
        HandlerError::GiveUp(failure) => return Settlement::DeadLetter(failure),
        HandlerError::GiveBack(_) => return Settlement::Return,
        HandlerError::Retry(why) => why,
    };
    let failed = failures.saturating_add(1);
    if failed >= policy.max_deliveries {
        return max_deliveries(format!("the handler failed {failed} times, at last: {why}"));
    }
    // A driver may forget failures over a restart; the count of deliveries it may not.
    if let Some(settlement) = exhausted(deliveries.saturating_add(1), policy) {
        return settlement;
    }
    let ceiling = policy.first_retry.saturating_mul(4_u32.saturating_pow(failures)).min(policy.max_retry);
    Settlement::Retry { after: ceiling.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0) }
}

/// What becomes of a message that was delivered this often, before a handler sees it: nothing yet, or
/// it is given up because it seems to end whoever handles it.
pub fn exhausted(deliveries: u32, policy: &HandlerPolicy) -> Option<Settlement> {
    let bound = policy.max_deliveries.saturating_add(policy.max_crash_redeliveries);
    (deliveries > bound).then(|| max_deliveries(format!("delivered {bound} times and never settled")))
}

fn max_deliveries(message: String) -> Settlement {
    Settlement::DeadLetter(Failure {
        reason: Reason::MaxDeliveries,
        code: Reason::MaxDeliveries.as_str().to_owned(),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> HandlerError {
        HandlerError::Retry("down".into())
    }

    #[test]
    fn waits_grow_fourfold_to_the_limit_and_end_in_a_dead_letter() {
        let policy = HandlerPolicy { max_deliveries: 7, ..HandlerPolicy::default() };
        for (failures, millis) in [(0, 200), (1, 800), (2, 3_200), (3, 12_800), (4, 30_000), (5, 30_000)] {
            let most = Duration::from_millis(millis);
            let at = |jitter| next_settlement(failures, failures + 1, retry(), &policy, jitter);
            assert_eq!(at(1.0), Settlement::Retry { after: most }, "after {failures} failures");
            assert_eq!(at(0.0), Settlement::Retry { after: most / 2 }, "after {failures} failures");
        }
        for failures in [6, 7, u32::MAX] {
            let settlement = next_settlement(failures, 7, retry(), &policy, 0.5);
            let Settlement::DeadLetter(failure) = settlement else { panic!("{settlement:?}") };
            assert_eq!(failure.reason, Reason::MaxDeliveries);
            assert!(failure.message.ends_with("down"), "{}", failure.message);
        }
    }

    #[test]
    fn what_is_given_up_is_a_dead_letter_at_once() {
        let failure = Failure { reason: Reason::InvalidEvent, code: "json".into(), message: "no".into() };
        let settlement =
            next_settlement(0, 1, HandlerError::GiveUp(failure.clone()), &HandlerPolicy::default(), 0.0);
        assert_eq!(settlement, Settlement::DeadLetter(failure));
    }

    #[test]
    fn crashes_have_a_bound_of_twenty_of_their_own() {
        let policy = HandlerPolicy::default();
        for deliveries in [0, 1, 5, 6, 25] {
            assert_eq!(exhausted(deliveries, &policy), None, "{deliveries}");
        }
        for deliveries in [26, u32::MAX] {
            assert!(
                matches!(exhausted(deliveries, &policy), Some(Settlement::DeadLetter(_))),
                "{deliveries}"
            );
        }
        // Failures that a driver forgot over restarts still come to an end.
        assert!(matches!(next_settlement(0, 25, retry(), &policy, 0.0), Settlement::DeadLetter(_)));
        assert!(matches!(next_settlement(0, 24, retry(), &policy, 0.0), Settlement::Retry { .. }));
    }
}
