//! What was seen a moment ago: ids, for so long, and so many.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Twitch sends a notification again for some minutes; this is how long whatever was seen is remembered.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// So many ids are remembered at most, the latest ones: some MiB.
pub(crate) const REMEMBERED: usize = 65_536;

/// See the module.
#[derive(Debug)]
pub(crate) struct Recent {
    known: HashSet<Arc<str>, foldhash::quality::RandomState>,
    order: VecDeque<(Instant, Arc<str>)>,
    most: usize,
    for_long: Duration,
}

// === impl Recent ===

impl Recent {
    pub(crate) fn new() -> Self {
        Self::bounded(REMEMBERED, REMEMBERED_FOR)
    }

    /// With bounds of its own.
    pub(crate) fn bounded(most: usize, for_long: Duration) -> Self {
        Self { known: HashSet::default(), order: VecDeque::new(), most, for_long }
    }

    /// Whether it was seen within the time.
    pub(crate) fn has(&mut self, id: &str, now: Instant) -> bool {
        self.forget(now);
        self.known.contains(id)
    }

    /// Remembers it; `false` when it was seen within the time already.
    pub(crate) fn is_new(&mut self, id: &str, now: Instant) -> bool {
        if self.has(id, now) {
            return false;
        }
        if self.order.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        self.order.push_back((now, Arc::clone(&id)));
        self.known.insert(id);
        true
    }

    fn forget(&mut self, now: Instant) {
        while let Some((seen, _)) = self.order.front()
            && now.saturating_duration_since(*seen) >= self.for_long
            && let Some((_, id)) = self.order.pop_front()
        {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_event::{Clock as _, Timestamp};
    use chatbus_testkit::FakeClock;

    #[test]
    fn an_id_is_known_for_a_while_and_only_the_latest_are() {
        let clock = FakeClock::at(Timestamp::EPOCH);
        let mut recent = Recent::bounded(2, Duration::from_secs(10));
        assert!(recent.is_new("a", clock.instant()));
        assert!(!recent.is_new("a", clock.instant()));
        clock.advance(Duration::from_secs(9));
        assert!(recent.has("a", clock.instant()));
        clock.advance(Duration::from_secs(1));
        assert!(!recent.has("a", clock.instant()), "too long ago");
        for id in ["a", "b", "c"] {
            assert!(recent.is_new(id, clock.instant()));
        }
        assert!(!recent.has("a", clock.instant()), "pushed out");
        assert!(recent.has("b", clock.instant()) && recent.has("c", clock.instant()));
        assert_eq!((recent.known.len(), recent.order.len()), (2, 2));
    }
}
