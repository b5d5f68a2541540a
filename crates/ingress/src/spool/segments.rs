//! Which segment files there are and what they hold. Pure: says what to create and delete, does neither.

use std::collections::VecDeque;

/// One file of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of its first record, and its name.
    pub(crate) first: u64,
    /// The number after its last record.
    pub(crate) end: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

/// All segments, oldest first; only the last is written to.
#[derive(Debug, Clone)]
pub(crate) struct Segments {
    list: VecDeque<Segment>,
    max_bytes: u64,
    segment_bytes: u64,
}

/// A segment is closed at this length, or at an eighth of the bound, so that dropping the oldest one
/// never drops more than that share.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

// === impl Segments ===

impl Segments {
    /// None yet.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { list: VecDeque::new(), max_bytes, segment_bytes: (max_bytes / 8).clamp(1, SEGMENT_BYTES) }
    }

    /// The length of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.bytes).sum()
    }

    /// At which length a segment is closed.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The oldest.
    pub(crate) fn oldest(&self) -> Option<Segment> {
        self.list.front().copied()
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<Segment> {
        self.list.back().copied()
    }

    /// The one that holds this record, or the first that holds later ones.
    pub(crate) fn holding(&self, number: u64) -> Option<Segment> {
        self.list.iter().find(|segment| segment.end > number).copied()
    }

    /// Adds one at the end; the one before it ends where it begins.
    pub(crate) fn push(&mut self, segment: Segment) {
        self.list.push_back(segment);
    }

    /// Takes the oldest out.
    pub(crate) fn pop_oldest(&mut self) -> Option<Segment> {
        self.list.pop_front()
    }

    /// Takes the newest out.
    pub(crate) fn pop_newest(&mut self) -> Option<Segment> {
        self.list.pop_back()
    }

    /// Notes that records up to before `end` were written to the newest.
    pub(crate) fn grew(&mut self, end: u64, bytes: u64) {
        if let Some(newest) = self.list.back_mut() {
            newest.end = end;
            newest.bytes += bytes;
        }
    }

    /// Whether the newest has no room for `bytes` more. An empty one has room for anything.
    pub(crate) fn is_full(&self, bytes: u64, header: u64) -> bool {
        self.list.back().is_some_and(|s| s.bytes > header && s.bytes + bytes > self.segment_bytes)
    }

    /// Whether `bytes` more would be over the bound.
    pub(crate) fn over(&self, bytes: u64) -> bool {
        self.bytes() + bytes > self.max_bytes
    }

    /// Takes out every segment whose records are all before `cursor`.
    pub(crate) fn take_done(&mut self, cursor: u64) -> Vec<Segment> {
        let done = self.list.iter().take_while(|segment| segment.end <= cursor).count();
        self.list.drain(..done).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(ends: &[u64]) -> Segments {
        let mut all = Segments::new(800);
        let mut first = 0;
        for &end in ends {
            all.push(Segment { first, end, bytes: 100 });
            first = end;
        }
        all
    }

    #[test]
    fn a_segment_is_full_at_an_eighth_of_the_bound_but_never_while_empty() {
        let mut all = segments(&[10]);
        assert!(all.is_full(1, 16));
        all.push(Segment { first: 10, end: 10, bytes: 16 });
        assert!(!all.is_full(5000, 16), "a record longer than a segment has one for itself");
        all.grew(11, 50);
        assert!(!all.is_full(34, 16));
        assert!(all.is_full(35, 16));
        assert_eq!(all.newest(), Some(Segment { first: 10, end: 11, bytes: 66 }));
        assert!(!Segments::new(0).is_full(1, 16));
    }

    #[test]
    fn only_segments_whose_records_are_all_acknowledged_are_done() {
        let mut all = segments(&[10, 20, 30]);
        assert!(all.take_done(9).is_empty());
        assert_eq!(all.take_done(20).len(), 2);
        assert_eq!(all.oldest().map(|s| s.first), Some(20));
        assert_eq!(all.take_done(30).len(), 1);
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn a_record_is_looked_for_in_the_segment_that_holds_it_or_the_next_later_one() {
        let all = segments(&[10, 20]);
        assert_eq!(all.holding(9).map(|s| s.first), Some(0));
        assert_eq!(all.holding(10).map(|s| s.first), Some(10));
        assert_eq!(all.holding(20), None);
        assert!(all.over(601) && !all.over(600));
    }
}
