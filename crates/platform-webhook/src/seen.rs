//! Which messages were taken lately.
//!
//! The bus drops a repeat within DEDUPE_WINDOW_MS, whichever instance hears it. A signature is good for longer
//! than that: whoever could read a call could have it said once more. So each instance remembers what it took
//! for as long as the same call would be believed.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chatbus_event::Timestamp;

use crate::signature::TOLERANCE;

/// A call may come as early as its time allows, and again as late.
const REMEMBERS: Duration = TOLERANCE.saturating_mul(2);
/// The most ids; then the oldest is forgotten before its time, and the bus's window is all there is for it.
const MAX_IDS: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ids: HashSet<Arc<str>>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, Arc<str>)>,
}

// === impl Seen ===

impl Seen {
    /// Whether it was taken.
    pub(crate) fn knows(&mut self, id: &str, now: Timestamp) -> bool {
        self.forget(now);
        self.ids.contains(id)
    }

    /// It is taken.
    pub(crate) fn note(&mut self, id: &str, now: Timestamp) {
        self.forget(now);
        let id: Arc<str> = id.into();
        if self.ids.insert(Arc::clone(&id)) {
            self.order.push_back((now, id));
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.order.front() {
            if self.order.len() < MAX_IDS && now.since(*at) <= REMEMBERS {
                return;
            }
            self.ids.remove(id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn what_was_taken_is_known_for_as_long_as_it_would_be_believed() {
        let mut seen = Seen::default();
        seen.note("a", at(0));
        seen.note("b", at(500));
        seen.note("a", at(500));
        assert!(seen.knows("a", at(600)) && !seen.knows("c", at(600)));
        assert!(!seen.knows("a", at(601)) && seen.knows("b", at(601)));
        assert!(!seen.knows("b", at(1_101)));
        assert!(seen.ids.is_empty() && seen.order.is_empty());
    }

    #[test]
    fn a_bounded_number_is_known() {
        let mut seen = Seen::default();
        for number in 0..=MAX_IDS {
            seen.note(&number.to_string(), at(0));
        }
        assert!(seen.order.len() <= MAX_IDS && seen.ids.len() == seen.order.len());
        assert!(!seen.knows("0", at(0)) && seen.knows(&MAX_IDS.to_string(), at(0)));
    }
}
