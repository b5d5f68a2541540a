//! What a user's connections were sent, for those that come back.
//!
//! Each user's last 100 frames are kept, all of them together within a number of bytes; when that is
//! full, the user whose frames were touched longest ago gives way. What was given up is noted, so that
//! nobody who asks for it is told that there was nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

/// Asked what came after a frame. Within one instance the gateway answers itself; whoever merges what
/// several instances hold implements this, and asks each of them through [`crate::Gateway::recall`].
#[async_trait]
pub trait Histories: Send + Sync {
    /// What the user was sent after the one place, whichever instance sent it, each delivery once.
    /// Never a part of it. `until` is the last place of this instance that the connection did not get
    /// itself: what came after it is not to be repeated.
    async fn after(&self, user: &str, after: Mark, until: Mark) -> Recall;
}

/// A place among the frames of one instance for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// One life of one instance.
    pub epoch: String,
    /// The frame's place in it.
    pub seq: u64,
}

/// What came after a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// All of it, in order.
    Frames(Vec<Remembered>),
    /// Some of it is gone, or nobody knows.
    Gone,
}

/// A frame that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its place among the instance's frames for the user.
    pub seq: u64,
    /// Names the delivery: the same on every instance that took part in it.
    pub delivery_id: Arc<str>,
    /// The frame as it was sent.
    pub frame: Bytes,
}

/// One user's frames.
#[derive(Debug, Default)]
pub(crate) struct History {
    frames: VecDeque<Remembered>,
    bytes: usize,
    /// The last frame's place, kept or not.
    last: u64,
    /// Frames up to this place are given up.
    evicted: u64,
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
/// What a frame costs beside its bytes.
const OVERHEAD: usize = 96;

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
        if let Some(at) = self.frames.iter().rposition(|old| old.delivery_id == frame.delivery_id) {
            self.drop_at(at, budget);
        }
        let size = cost(&frame);
        self.bytes += size;
        budget.used.fetch_add(size, Ordering::Relaxed);
        self.frames.push_back(frame);
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

    /// What came after this place.
    pub(crate) fn after(&self, seq: u64) -> Recall {
        if seq < self.evicted || seq > self.last {
            return Recall::Gone;
        }
        Recall::Frames(self.frames.iter().filter(|frame| frame.seq > seq).cloned().collect())
    }

    /// Gives all frames up.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        while !self.frames.is_empty() {
            self.evict_oldest(budget);
        }
        self.evicted = self.last;
    }

    fn evict_oldest(&mut self, budget: &Budget) {
        if let Some(seq) = self.frames.front().map(|frame| frame.seq) {
            self.evicted = self.evicted.max(seq);
            self.drop_at(0, budget);
        }
    }

    fn drop_at(&mut self, at: usize, budget: &Budget) {
        if let Some(frame) = self.frames.remove(at) {
            let size = cost(&frame);
            self.bytes = self.bytes.saturating_sub(size);
            budget.used.fetch_sub(size, Ordering::Relaxed);
        }
    }
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
    use super::*;

    fn frame(seq: u64, delivery: &str, bytes: usize) -> Remembered {
        Remembered { seq, delivery_id: delivery.into(), frame: vec![b'x'; bytes].into() }
    }

    fn seqs(recall: Recall) -> Option<Vec<u64>> {
        match recall {
            Recall::Frames(frames) => Some(frames.iter().map(|frame| frame.seq).collect()),
            Recall::Gone => None,
        }
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
}
