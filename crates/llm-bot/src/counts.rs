//! What the service counts. Whoever shows it reads [`Counts`].

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// All numbers, since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) answered: Counter,
    pub(crate) skipped: Counter,
    pub(crate) failed: Counter,
    pub(crate) over_budget: Counter,
    pub(crate) repeated: Counter,
    pub(crate) retries: Counter,
    pub(crate) given_back: Counter,
    pub(crate) personalities_resolved: Counter,
    pub(crate) personalities_missing: Counter,
    pub(crate) personalities_dropped: Counter,
    pub(crate) personalities_cut: Counter,
    pub(crate) personality_cache_hits: Counter,
    pub(crate) personality_cache_misses: Counter,
}

/// What the service counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that got a candidate.
    pub answered: u64,
    /// Events with nothing to ask, or whose answer was empty.
    pub skipped: u64,
    /// Events whose step failed, those over a budget included.
    pub failed: u64,
    /// Of these, because a user or a channel asked too often.
    pub over_budget: u64,
    /// Redeliveries that got what was remembered.
    pub repeated: u64,
    /// Further tries of a call.
    pub retries: u64,
    /// Events given back because the process stops.
    pub given_back: u64,
    /// Personalities that were used.
    pub personalities_resolved: u64,
    /// Skipped: unknown or not active.
    pub personalities_missing: u64,
    /// Skipped: more than one event may ask for.
    pub personalities_dropped: u64,
    /// Used, but cut to their bound.
    pub personalities_cut: u64,
    /// Look-ups answered from what was known.
    pub personality_cache_hits: u64,
    /// Look-ups that asked store and files.
    pub personality_cache_misses: u64,
}

// === impl Counter ===

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            answered: self.answered.get(),
            skipped: self.skipped.get(),
            failed: self.failed.get(),
            over_budget: self.over_budget.get(),
            repeated: self.repeated.get(),
            retries: self.retries.get(),
            given_back: self.given_back.get(),
            personalities_resolved: self.personalities_resolved.get(),
            personalities_missing: self.personalities_missing.get(),
            personalities_dropped: self.personalities_dropped.get(),
            personalities_cut: self.personalities_cut.get(),
            personality_cache_hits: self.personality_cache_hits.get(),
            personality_cache_misses: self.personality_cache_misses.get(),
        }
    }
}
