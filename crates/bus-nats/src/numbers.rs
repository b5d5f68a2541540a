//! Maps keyed by numbers that count up: our own request ids and subscriptions, a stream's places.
//!
//! Nobody outside chooses such a number, so nothing is gained by a hash that withstands choice. An
//! odd multiplier keeps numbers that follow each other apart in the low bits and mixes the high ones.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type NumberMap<V> = HashMap<u64, V, BuildHasherDefault<NumberHasher>>;

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NumberHasher(u64);

// === impl NumberHasher ===

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn numbers_in_a_row_fall_on_places_of_their_own() {
        let map = NumberMap::<()>::default();
        for start in [0, 1_000_003, u64::MAX - 2000] {
            let low: BTreeSet<u64> = (start..start + 1024).map(|n| map.hasher().hash_one(n) & 1023).collect();
            assert_eq!(low.len(), 1024);
            let tags: BTreeSet<u64> = (start..start + 1024).map(|n| map.hasher().hash_one(n) >> 57).collect();
            assert_eq!(tags.len(), 128);
        }
    }
}
