//! The deliveries that ended, remembered for as long as one of them may be handed over again.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

/// Delivery ids that ended, bounded by age and by number. When it is full the oldest is forgotten early.
///
/// Ids are kept as 128-bit hashes: among a million of them two are the same with a chance of one in
/// 10^26, and an id of any length costs the same.
#[derive(Debug)]
pub(crate) struct Finished {
    known: HashSet<Mark, BuildHasherDefault<Half>>,
    hashes: RandomState,
    order: VecDeque<(Instant, Mark)>,
    keep: Duration,
    capacity: usize,
}

/// By what a delivery that ended is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark(u128);

/// Hashes what is a hash already: half of it.
#[derive(Debug, Default)]
struct Half(u64);

// === impl Finished ===

impl Finished {
    /// Remembers each id for `keep`, and at most `capacity` of them.
    pub(crate) fn new(keep: Duration, capacity: usize) -> Self {
        Self {
            known: HashSet::default(),
            hashes: RandomState::new(),
            order: VecDeque::new(),
            keep,
            capacity: capacity.max(1),
        }
    }

    /// Remembers that this delivery ended.
    pub(crate) fn insert(&mut self, mark: Mark, now: Instant) {
        if self.known.insert(mark) {
            self.order.push_back((now, mark));
        }
        while let Some(&(since, oldest)) = self.order.front() {
            if self.order.len() <= self.capacity && now.duration_since(since) <= self.keep {
                break;
            }
            self.order.pop_front();
            self.known.remove(&oldest);
        }
    }

    /// Whether this delivery is known to have ended.
    pub(crate) fn contains(&self, mark: Mark) -> bool {
        self.known.contains(&mark)
    }

    /// What stands for an id here, and nowhere else.
    pub(crate) fn mark(&self, id: &str) -> Mark {
        let mut hasher = self.hashes.build_hasher();
        id.hash(&mut hasher);
        let first = hasher.finish();
        // The second half goes on from the first one's state, which all of the id went into.
        hasher.write_u8(1);
        Mark(u128::from(first) << 64 | u128::from(hasher.finish()))
    }
}

// === impl Half ===

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |half, byte| half << 8 | u64::from(*byte));
    }

    fn write_u128(&mut self, hash: u128) {
        let [.., a, b, c, d, e, f, g, h] = hash.to_le_bytes();
        self.0 = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn what_ended_is_forgotten_by_age_and_by_number() {
        let start = Instant::now();
        let mut finished = Finished::new(Duration::from_secs(10), 2);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| finished.mark(id));
        finished.insert(a, start);
        finished.insert(b, start + Duration::from_secs(1));
        finished.insert(b, start + Duration::from_secs(1));
        assert!(finished.contains(a) && finished.contains(b) && !finished.contains(c));
        finished.insert(c, start + Duration::from_secs(2));
        assert!(!finished.contains(a), "full: the oldest went");
        finished.insert(d, start + Duration::from_secs(12));
        assert!(!finished.contains(b) && finished.contains(d), "too old");
    }
}
