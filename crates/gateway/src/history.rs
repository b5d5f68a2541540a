//! What a user's connections were sent, for those that come back.
//!
//! Each user's last 100 frames are kept, all of them together within a number of bytes; when that is
//! full, the user whose frames were touched longest ago gives way. What was given up is noted, so that
//! nobody who asks for it is told that there was nothing.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;

/// A place among the frames of one instance for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// One life of one instance.
    pub(crate) epoch: String,
    /// The frame's place in it.
    pub(crate) seq: u64,
}

/// What an instance has for who was at a place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct After {
    /// What it sent after the place, all of it, in order.
    pub(crate) frames: Vec<Remembered>,
    /// The deliveries up to the place that it still knows.
    pub(crate) known: Vec<Arc<str>>,
    /// Since when other instances may have sent what this one did not: when the user first left it after
    /// the place. `None` when the user never did.
    pub(crate) gap: Option<Instant>,
}

/// A frame that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Its place among the instance's frames for the user.
    pub(crate) seq: u64,
    /// Names the delivery: the same on every instance that took part in it.
    pub(crate) delivery_id: Arc<str>,
    /// When it was sent.
    pub(crate) at: Instant,
    /// The frame as it was sent.
    pub(crate) frame: Bytes,
}

/// One user's frames.
#[derive(Debug, Default)]
pub(crate) struct History {
    frames: VecDeque<Remembered>,
    /// The tag of each frame's delivery, in the same order.
    tags: VecDeque<u64>,
    bytes: usize,
    /// The last frame's place, kept or not.
    last: u64,
    /// Frames up to this place are given up.
    evicted: u64,
    /// When the last of these was sent.
    evicted_at: Option<Instant>,
    /// When the user's last connection here ended, and what it had been sent: places up to it may be those
    /// of clients that were elsewhere since. The first is the longest ago, at most [`MAX_GAPS`].
    gaps: VecDeque<Gap>,
}

/// The user was not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    after: u64,
    began: Instant,
}

/// How many bytes all histories hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    used: AtomicUsize,
}

/// Frames kept of a user.
const MAX_FRAMES: usize = 100;
/// Bytes kept of a user: what a connection that resumes can be sent at once.
const MAX_BYTES: usize = 512 * 1024;
/// Gaps kept of a user; of more, the two oldest count as one.
const MAX_GAPS: usize = 8;
/// What a frame costs beside its bytes.
const OVERHEAD: usize = 104;

// === impl History ===

impl History {
    /// One whose first frame comes after `base`, which is as good as given up.
    pub(crate) fn after_base(base: u64) -> Self {
        Self { last: base, evicted: base, ..Self::default() }
    }

    /// The last frame's place.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The place of the next frame, which is taken with this.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps a frame. An older one of the same delivery, which was sent again, gives way to it.
    pub(crate) fn keep(&mut self, frame: Remembered, budget: &Budget) {
        let tag = tag_of(&frame.delivery_id);
        if let Some(at) = self.place_of(tag, &frame.delivery_id) {
            self.drop_at(at, budget);
        }
        let size = cost(&frame);
        self.bytes += size;
        budget.used.fetch_add(size, Ordering::Relaxed);
        self.frames.push_back(frame);
        self.tags.push_back(tag);
        while self.frames.len() > MAX_FRAMES || self.bytes > MAX_BYTES {
            self.evict_oldest(budget);
        }
    }

    /// Forgets a frame that was not sent to anybody.
    pub(crate) fn unsent(&mut self, seq: u64, budget: &Budget) {
        if let Some(at) = self.frames.iter().rposition(|frame| frame.seq == seq) {
            self.drop_at(at, budget);
        }
    }

    /// What came after this place; `None` when some of it is gone, or nobody knows.
    pub(crate) fn after(&self, seq: u64) -> Option<After> {
        if seq < self.evicted || seq > self.last {
            return None;
        }
        let (before, after): (Vec<_>, Vec<_>) =
            self.frames.iter().cloned().partition(|frame| frame.seq <= seq);
        let gap = self.gaps.iter().find(|gap| gap.after >= seq).map(|gap| gap.began);
        let known = before.into_iter().map(|frame| frame.delivery_id).collect();
        Some(After { frames: after, known, gap })
    }

    /// What was sent since then; `None` when some of it is gone.
    pub(crate) fn since(&self, then: Instant) -> Option<Vec<Remembered>> {
        if self.evicted_at.is_some_and(|at| at >= then) {
            return None;
        }
        Some(self.frames.iter().filter(|frame| frame.at >= then).cloned().collect())
    }

    /// The user has left.
    pub(crate) fn left(&mut self, now: Instant) {
        if self.gaps.len() == MAX_GAPS
            && let (Some(first), Some(second)) = (self.gaps.pop_front(), self.gaps.pop_front())
        {
            self.gaps.push_front(Gap { after: second.after, began: first.began });
        }
        self.gaps.push_back(Gap { after: self.last, began: now });
    }

    /// Since when the user may have been elsewhere.
    pub(crate) fn first_gap(&self) -> Option<Instant> {
        self.gaps.front().map(|gap| gap.began)
    }

    /// In the gaps that began between these, nothing was sent elsewhere.
    pub(crate) fn close_gaps(&mut self, from: Instant, until: Instant) {
        self.gaps.retain(|gap| !(from..=until).contains(&gap.began));
    }

    /// Gives all frames up.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        while !self.frames.is_empty() {
            self.evict_oldest(budget);
        }
        self.evicted = self.last;
    }

    /// Where the frame of a delivery stands. Looking at the tags alone touches little memory, which counts as
    /// this is asked for every frame.
    fn place_of(&self, tag: u64, delivery_id: &str) -> Option<usize> {
        let (older, newer) = self.tags.as_slices();
        if !older.contains(&tag) && !newer.contains(&tag) {
            return None;
        }
        let same = |at: &usize| self.frames.get(*at).is_some_and(|frame| &*frame.delivery_id == delivery_id);
        let tagged = self.tags.iter().enumerate().filter(|(_, known)| **known == tag);
        tagged.map(|(at, _)| at).find(same)
    }

    fn evict_oldest(&mut self, budget: &Budget) {
        if let Some((seq, at)) = self.frames.front().map(|frame| (frame.seq, frame.at)) {
            self.evicted = self.evicted.max(seq);
            self.evicted_at = Some(at);
            self.drop_at(0, budget);
        }
    }

    fn drop_at(&mut self, at: usize, budget: &Budget) {
        self.tags.remove(at);
        if let Some(frame) = self.frames.remove(at) {
            let size = cost(&frame);
            self.bytes = self.bytes.saturating_sub(size);
            budget.used.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

/// What tells nearly all deliveries apart.
fn tag_of(delivery_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    delivery_id.hash(&mut hasher);
    hasher.finish()
}

fn cost(frame: &Remembered) -> usize {
    frame.frame.len() + frame.delivery_id.len() + OVERHEAD
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.most
    }

    /// Whether a tenth of it is free.
    pub(crate) fn has_room(&self) -> bool {
        self.used() <= self.most / 10 * 9
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the global clock")]
    fn begin() -> Instant {
        static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *BEGIN
    }

    /// So many seconds after the begin, at which a frame of the same number is sent.
    fn at(second: u64) -> Instant {
        begin() + Duration::from_secs(second)
    }

    fn frame(seq: u64, delivery: &str, bytes: usize) -> Remembered {
        Remembered { seq, delivery_id: delivery.into(), at: at(seq), frame: vec![b'x'; bytes].into() }
    }

    fn seqs(after: Option<After>) -> Option<Vec<u64>> {
        after.map(|after| after.frames.iter().map(|frame| frame.seq).collect())
    }

    #[test]
    fn what_was_given_up_is_never_passed_over_in_silence() {
        let budget = Budget::new(1 << 20);
        let mut history = History::default();
        assert_eq!(seqs(history.after(0)), Some(vec![]));
        assert_eq!(seqs(history.after(1)), None, "a place that never was");
        for n in 1..=150_u64 {
            let seq = history.next();
            history.keep(frame(seq, &n.to_string(), 10), &budget);
        }
        assert_eq!(seqs(history.after(49)), None, "frame 50 is gone");
        assert_eq!(seqs(history.after(50)).map(|all| all.len()), Some(100));
        assert_eq!(seqs(history.after(148)), Some(vec![149, 150]));
        history.clear(&budget);
        assert_eq!((seqs(history.after(149)), seqs(history.after(150))), (None, Some(vec![])));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_delivery_stands_there_once_and_only_when_it_was_sent() {
        let budget = Budget::new(1 << 20);
        let mut history = History::after_base(7);
        assert_eq!(seqs(history.after(6)), None, "nobody knows what came before the base");
        for delivery in ["a", "b", "a", "c"] {
            let seq = history.next();
            history.keep(frame(seq, delivery, 10), &budget);
        }
        assert_eq!(seqs(history.after(7)), Some(vec![9, 10, 11]));
        history.unsent(10, &budget);
        assert_eq!(seqs(history.after(7)), Some(vec![9, 11]));
    }

    #[test]
    fn a_users_frames_are_bounded_in_bytes() {
        let budget = Budget::new(100_000);
        let mut history = History::default();
        for n in 0..10_u64 {
            let seq = history.next();
            history.keep(frame(seq, &n.to_string(), 200_000), &budget);
        }
        assert!(budget.is_over() && budget.used() < MAX_BYTES);
        assert_eq!(seqs(history.after(8)), Some(vec![9, 10]));
        assert_eq!(seqs(history.after(7)), None);
    }

    fn send(history: &mut History, budget: &Budget) -> u64 {
        let seq = history.next();
        history.keep(frame(seq, &seq.to_string(), 10), budget);
        seq
    }

    #[test]
    fn what_was_sent_since_a_moment_is_told_whole_or_not_at_all() {
        let budget = Budget::new(1 << 20);
        let mut history = History::default();
        let since = |history: &History, second| {
            history.since(at(second)).map(|frames| frames.iter().map(|f| f.seq).collect::<Vec<_>>())
        };
        assert_eq!(since(&history, 0), Some(vec![]));
        for _ in 1..=102 {
            send(&mut history, &budget);
        }
        assert_eq!(since(&history, 2), None, "the second is given up");
        assert_eq!(since(&history, 3).map(|all| all.len()), Some(100));
        assert_eq!((since(&history, 102), since(&history, 103)), (Some(vec![102]), Some(vec![])));
        history.clear(&budget);
        assert_eq!((since(&history, 102), since(&history, 103)), (None, Some(vec![])));
    }

    #[test]
    fn a_place_is_told_since_when_its_client_may_have_been_elsewhere() {
        let budget = Budget::new(1 << 20);
        let mut history = History::default();
        let gap = |history: &History, seq| history.after(seq).unwrap().gap;
        send(&mut history, &budget);
        assert_eq!(gap(&history, 1), None, "the user is here");
        history.left(at(10));
        send(&mut history, &budget);
        history.left(at(20));
        assert_eq!(
            (gap(&history, 0), gap(&history, 1), gap(&history, 2)),
            (Some(at(10)), Some(at(10)), Some(at(20)))
        );
        assert_eq!(history.after(1).unwrap().known, ["1".into()]);
        history.close_gaps(at(20), at(30));
        assert_eq!((gap(&history, 1), gap(&history, 2)), (Some(at(10)), None));
        // However often the user comes and goes, no gap is forgotten.
        for second in 30..60 {
            history.left(at(second));
        }
        assert_eq!(history.gaps.len(), MAX_GAPS);
        assert_eq!((gap(&history, 1), gap(&history, 2)), (Some(at(10)), Some(at(10))));
    }
}
