//! How often a handler of this process failed on a message.
//!
//! JetStream counts deliveries only, and a delivery count grows for many reasons that are no failure.
//! The count is kept in this process: a message that fails now here, now in another process, or
//! over a restart, is tried more often than MAX_DELIVERIES says, never less.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Messages that failed and wait for their next try. Over it the oldest counts are forgotten, whose
/// messages then begin anew.
const MAX_COUNTED: usize = 16 * 1024;

/// A message of a consumer: the consumer, the place in its stream.
type Key = (Arc<str>, u64);

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    counts: HashMap<Key, u32>,
    order: VecDeque<Key>,
}

// === impl Failures ===

impl Failures {
    pub(crate) fn of(&self, consumer: &Arc<str>, seq: u64) -> u32 {
        if self.counts.is_empty() {
            return 0;
        }
        self.counts.get(&(Arc::clone(consumer), seq)).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, consumer: &Arc<str>, seq: u64) {
        let key = (Arc::clone(consumer), seq);
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
            return;
        }
        // The order holds forgotten keys too; they leave it here, so it stays within twice the bound.
        while self.counts.len() >= MAX_COUNTED || self.order.len() >= 2 * MAX_COUNTED {
            let Some(oldest) = self.order.pop_front() else { break };
            self.counts.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.counts.insert(key, 1);
    }

    pub(crate) fn forget(&mut self, consumer: &Arc<str>, seq: u64) {
        if !self.counts.is_empty() {
            self.counts.remove(&(Arc::clone(consumer), seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_per_consumer_and_place_and_forgotten_when_done() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut failures = Failures::default();
        failures.count(&a, 1);
        failures.count(&a, 1);
        failures.count(&b, 1);
        assert_eq!((failures.of(&a, 1), failures.of(&b, 1), failures.of(&a, 2)), (2, 1, 0));
        failures.forget(&a, 1);
        assert_eq!(failures.of(&a, 1), 0);
    }

    #[test]
    fn the_oldest_counts_are_forgotten_when_there_are_too_many() {
        let a: Arc<str> = "a".into();
        let mut failures = Failures::default();
        for seq in 0..3 * MAX_COUNTED as u64 {
            failures.count(&a, seq);
            if seq % 2 == 0 {
                failures.forget(&a, seq);
            }
        }
        assert!(failures.counts.len() <= MAX_COUNTED && failures.order.len() <= 2 * MAX_COUNTED);
        assert_eq!((failures.of(&a, 1), failures.of(&a, 3 * MAX_COUNTED as u64 - 1)), (0, 1));
    }
}
