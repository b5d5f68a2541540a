//! How much may still be sent: a window that slides.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most `limit` uses within any stretch of `window`. Remembers no more than `limit` moments.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: usize,
    window: Duration,
    used: VecDeque<Instant>,
}

// === impl Budget ===

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(limit: usize, window: Duration) -> Self {
        Self { limit, window, used: VecDeque::with_capacity(limit) }
    }

    /// When the next use is allowed: `None` is now.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        self.free_at().filter(|free| *free > now)
    }

    /// When one will be free again, while none is; that moment may have passed.
    pub fn free_at(&self) -> Option<Instant> {
        let all_used = self.used.len() == self.limit;
        self.used.front().filter(|_| all_used).map(|oldest| *oldest + self.window)
    }

    /// Uses one, if one is left.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.next(now).is_some() {
            return false;
        }
        self.record(now);
        true
    }

    /// Notes a use that happened, allowed or not.
    pub fn record(&mut self, now: Instant) {
        if self.used.len() == self.limit {
            self.used.pop_front();
        }
        self.used.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_event::Clock as _;
    use chatbus_event::Timestamp;
    use chatbus_testkit::FakeClock;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit(waits in proptest::collection::vec(0_u64..3000, 1..200)) {
            let clock = FakeClock::at(Timestamp::EPOCH);
            let window = Duration::from_secs(10);
            let mut budget = Budget::new(5, window);
            let mut taken: Vec<Instant> = Vec::new();
            for wait in waits {
                clock.advance(Duration::from_millis(wait));
                let now = clock.instant();
                let allowed = taken.iter().filter(|at| **at + window > now).count() < 5;
                prop_assert_eq!(budget.next(now).is_none(), allowed);
                prop_assert_eq!(budget.take(now), allowed);
                if allowed {
                    taken.push(now);
                }
            }
        }
    }
}
