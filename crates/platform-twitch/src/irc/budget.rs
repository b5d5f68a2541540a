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

    /// The same where only so much of it is ours.
    pub fn next_of(&self, part: usize, now: Instant) -> Option<Instant> {
        let oldest = self.used.len().checked_sub(part.min(self.limit))?;
        self.used.get(oldest).map(|at| *at + self.window).filter(|free| *free > now)
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

    #[test]
    fn a_part_of_it_is_used_up_sooner_and_counts_what_was_used_before() {
        let clock = FakeClock::at(Timestamp::EPOCH);
        let start = clock.instant();
        let at = |s| start + Duration::from_secs(s);
        let mut budget = Budget::new(4, Duration::from_secs(30));
        for (second, part, expected) in [
            (0, 4, None),
            (1, 4, None),
            // Three are used: of two that are ours the second last frees one.
            (2, 2, Some(30)),
            (3, 4, None),
            (4, 9, Some(30)),
            (4, 1, Some(33)),
        ] {
            let next = budget.next_of(part, at(second));
            assert_eq!(next, expected.map(at), "at {second} of {part}");
            if next.is_none() || second == 2 {
                budget.record(at(second));
            }
        }
    }

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
