//! Which ids were published within the window, in memory.
//!
//! An id is 96 bits of the SHA-256 of topic and id: two different ids of one window look alike
//! once in about 10^17 windows. It is kept with the low 32 bits of its place, 16 bytes in all, in
//! one of up to ten **generations** of an eighth of the window each. A generation goes as a whole,
//! so forgetting costs nothing and memory is flat once the window has filled. The same 16 bytes
//! are in the table `seen`, in blocks, in the order of publishing.

use std::collections::VecDeque;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// How many generations make a window.
const GENERATIONS: i64 = 8;

/// What one id takes in a block of `seen`.
pub(crate) const ID_BYTES: usize = 16;

/// 96 bits that stand for topic and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    high: u64,
    low: u32,
}

/// The ids of the window. Time is in milliseconds on any clock that does not jump.
#[derive(Debug)]
pub(crate) struct Window {
    span_ms: i64,
    window_ms: i64,
    max_ids: usize,
    generations: VecDeque<Generation>,
    ids: usize,
}

#[derive(Debug)]
struct Generation {
    start_ms: i64,
    /// The first and last block of `seen` that hold ids of this generation.
    first_block: i64,
    last_block: i64,
    table: Table,
}

/// Open addressing over any capacity. A slot whose key is zero is empty.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    high: u64,
    low: u32,
    place: u32,
}

// === impl Key ===

impl Key {
    pub(crate) fn new(topic: &str, id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(topic.as_bytes());
        // No topic holds a zero byte, so no two pairs give the same bytes.
        hash.update([0]);
        hash.update(id.as_bytes());
        let bytes = hash.finalize();
        let (mut high, mut low) = ([0; 8], [0; 4]);
        high.copy_from_slice(&bytes[..8]);
        low.copy_from_slice(&bytes[8..12]);
        // Zero marks an empty slot.
        Self { high: u64::from_le_bytes(high).max(1), low: u32::from_le_bytes(low) }
    }

    /// As it stands in a block of `seen`, with the place.
    pub(crate) fn to_bytes(self, seq: u64) -> [u8; ID_BYTES] {
        let mut bytes = [0; ID_BYTES];
        bytes[..8].copy_from_slice(&self.high.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.low.to_le_bytes());
        bytes[12..].copy_from_slice(&low_bits(seq).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ID_BYTES]) -> (Self, u32) {
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
        };
        let key = Self { high: number(0..8).max(1), low: low_bits(number(8..12)) };
        (key, low_bits(number(12..16)))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
fn low_bits(seq: u64) -> u32 {
    seq as u32
}

// === impl Window ===

impl Window {
    pub(crate) fn new(window: Duration, max_ids: usize) -> Self {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 4).max(1);
        Self {
            span_ms: (window_ms / GENERATIONS).max(1),
            window_ms,
            max_ids: max_ids.max(1),
            generations: VecDeque::new(),
            ids: 0,
        }
    }

    /// The place of the first message with this key, if there was one in the window. `head` is the
    /// newest place of the topic's family.
    pub(crate) fn find(&self, key: Key, head: u64) -> Option<u64> {
        let low = self.generations.iter().rev().find_map(|g| g.table.find(key))?;
        // The newest place at or below the head with these low bits.
        let place = head & !u64::from(u32::MAX) | u64::from(low);
        Some(if place > head { place.saturating_sub(1 << 32) } else { place })
    }

    /// Whether the block that is being filled must end here, because a new generation begins.
    pub(crate) fn begins_generation(&self, now_ms: i64) -> bool {
        self.generations.back().is_none_or(|g| now_ms.saturating_sub(g.start_ms) >= self.span_ms)
    }

    /// Remembers a key that stands in this block. Times must not fall.
    pub(crate) fn insert(&mut self, key: Key, seq: u64, block: i64, now_ms: i64) {
        self.insert_low(key, low_bits(seq), block, now_ms);
    }

    /// Remembers all ids of a block.
    pub(crate) fn load(&mut self, ids: &[u8], block: i64, at_ms: i64) {
        for chunk in ids.as_chunks::<ID_BYTES>().0 {
            let (key, place) = Key::from_bytes(chunk);
            self.insert_low(key, place, block, at_ms);
        }
    }

    fn insert_low(&mut self, key: Key, place: u32, block: i64, now_ms: i64) {
        if self.begins_generation(now_ms) {
            let expected = self.generations.back_mut().map_or(0, |g| {
                g.table.shrink();
                g.table.used
            });
            let table = Table::with_room(expected);
            self.generations.push_back(Generation {
                start_ms: now_ms,
                first_block: block,
                last_block: block,
                table,
            });
        }
        if let Some(newest) = self.generations.back_mut() {
            newest.last_block = newest.last_block.max(block);
            newest.table.insert(Slot { high: key.high, low: key.low, place });
            self.ids += 1;
        }
    }

    /// Forgets what is over the window, and over the bound. Gives the last block of `seen` that is
    /// not needed any more, if there is one, and whether ids were forgotten before their time.
    pub(crate) fn expire(&mut self, now_ms: i64) -> (Option<i64>, bool) {
        let (mut upto, mut early) = (None, false);
        while let Some(oldest) = self.generations.front() {
            let ended_ms = oldest.start_ms.saturating_add(self.span_ms);
            let over = self.ids > self.max_ids && self.generations.len() > 1;
            if now_ms.saturating_sub(ended_ms) <= self.window_ms && !over {
                break;
            }
            early |= now_ms.saturating_sub(ended_ms) <= self.window_ms;
            // A block may hold the end of one generation and the start of the next.
            let next_first = self.generations.get(1).map_or(i64::MAX, |g| g.first_block);
            upto = Some(oldest.last_block.min(next_first.saturating_sub(1)));
            self.ids -= oldest.table.used;
            self.generations.pop_front();
        }
        (upto, early)
    }

    /// When [`Window::expire`] has something to do next.
    pub(crate) fn next_expiry_ms(&self) -> Option<i64> {
        let ended_ms = self.generations.front()?.start_ms.saturating_add(self.span_ms);
        Some(ended_ms.saturating_add(self.window_ms).saturating_add(1))
    }
}

// === impl Table ===

impl Table {
    fn with_room(ids: usize) -> Self {
        let mut table = Self::default();
        table.resize(ids * 8 / 7 + 16);
        table
    }

    fn start(&self, high: u64) -> usize {
        let scaled = (u128::from(high) * self.slots.len() as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    fn find(&self, key: Key) -> Option<u32> {
        let mut at = self.start(key.high);
        // A table is never full, so there is an empty slot to stop at.
        loop {
            let slot = self.slots.get(at)?;
            if slot.high == 0 {
                return None;
            }
            if slot.high == key.high && slot.low == key.low {
                return Some(slot.place);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn insert(&mut self, slot: Slot) {
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.resize(self.slots.len() * 3 / 2 + 16);
        }
        self.used += 1;
        let mut at = self.start(slot.high);
        while self.slots[at].high != 0 {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.slots[at] = slot;
    }

    /// Gives back what a generation that takes no more ids does not need.
    fn shrink(&mut self) {
        let needed = self.used * 8 / 7 + 16;
        if needed < self.slots.len() * 7 / 8 {
            self.resize(needed);
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        self.used = 0;
        for slot in old {
            if slot.high != 0 {
                self.insert(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        Key::new("internal.ingress.v1", &n.to_string())
    }

    #[test]
    fn an_id_is_known_for_the_window_and_forgotten_soon_after() {
        let mut window = Window::new(Duration::from_secs(8), 1000);
        window.insert(key(1), 41, 1, 0);
        window.insert(key(2), 42, 2, 5000);
        assert_eq!(window.expire(8000), (None, false));
        assert_eq!(window.find(key(1), 42), Some(41));
        assert_eq!(window.find(key(3), 42), None);
        assert_eq!(window.next_expiry_ms(), Some(9001));
        assert_eq!(window.expire(9001), (Some(1), false));
        assert_eq!(window.find(key(1), 42), None);
        assert_eq!(window.find(key(2), 42), Some(42));
    }

    #[test]
    fn a_steady_stream_is_kept_an_eighth_longer_at_most() {
        let mut window = Window::new(Duration::from_secs(8), 1_000_000);
        for n in 0..20_000 {
            let now = i64::try_from(n).unwrap();
            window.insert(key(n), n, 1, now);
            window.expire(now);
            if n >= 8000 {
                assert!(window.find(key(n - 8000), n).is_some(), "at {n}");
            }
            if n > 9002 {
                assert!(window.find(key(n - 9002), n).is_none(), "at {n}");
            }
        }
    }

    #[test]
    fn the_same_id_on_another_topic_is_another_id() {
        let mut window = Window::new(Duration::from_secs(8), 1000);
        window.insert(Key::new("internal.a", "1"), 1, 1, 0);
        assert_eq!(window.find(Key::new("internal.b", "1"), 1), None);
        assert_ne!(Key::new("internal.a", "b1"), Key::new("internal.ab", "1"));
    }

    #[test]
    fn what_a_block_holds_is_known_after_it_is_loaded() {
        let block: Vec<u8> = (0..100).flat_map(|n| key(n).to_bytes(n + 7)).collect();
        let mut window = Window::new(Duration::from_secs(8), 1000);
        window.load(&block, 3, -500);
        assert_eq!(window.find(key(99), 200), Some(106));
    }

    #[test]
    fn a_place_is_found_again_across_the_end_of_its_low_bits() {
        let mut window = Window::new(Duration::from_secs(8), 1000);
        let before = (1 << 32) - 5;
        window.insert(key(1), before, 1, 0);
        window.insert(key(2), (1 << 32) + 5, 1, 0);
        assert_eq!(window.find(key(1), (1 << 32) + 9), Some(before));
        assert_eq!(window.find(key(2), (1 << 32) + 9), Some((1 << 32) + 5));
    }

    #[test]
    fn over_its_bound_the_oldest_go_first() {
        let mut window = Window::new(Duration::from_secs(8), 100);
        for n in 0..150 {
            window.insert(key(n), n, i64::try_from(n / 75).unwrap(), i64::try_from(n / 75 * 1000).unwrap());
        }
        assert_eq!(window.expire(1000), (Some(0), true));
        assert_eq!(window.find(key(0), 150), None);
        assert_eq!(window.find(key(149), 150), Some(149));
    }

    #[test]
    fn a_full_window_takes_at_most_24_bytes_an_id() {
        let mut window = Window::new(Duration::from_secs(120), 1_000_000);
        for n in 0..270_000_u64 {
            window.insert(key(n), n, 1, i64::try_from(n / 2).unwrap());
            window.expire(i64::try_from(n / 2).unwrap());
        }
        let slots: usize = window.generations.iter().map(|g| g.table.slots.capacity()).sum();
        assert!(slots * size_of::<Slot>() < 270_000 * 24, "{} bytes", slots * size_of::<Slot>());
    }
}
