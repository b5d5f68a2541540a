//! How often something may happen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most `MOST` in any stretch of time. Holds memory only once it is used.
#[derive(Debug, Default)]
pub(crate) struct Window<const MOST: usize>(VecDeque<Instant>);

/// At most so many in each stretch of time, the stretches following each other: a bound on nonsense
/// that costs no memory.
#[derive(Debug)]
pub(super) struct Count {
    since: Option<Instant>,
    count: u16,
}

// === impl Window ===

impl<const MOST: usize> Window<MOST> {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Whether one more may happen now; if so, it did.
    pub(crate) fn take(&mut self, within: Duration, now: Instant) -> bool {
        if self.is_full(within, now) {
            return false;
        }
        self.0.push_back(now);
        true
    }

    /// Whether `MOST` happened in the time before now.
    pub(crate) fn is_full(&mut self, within: Duration, now: Instant) -> bool {
        while self.0.pop_front_if(|at| now.saturating_duration_since(*at) >= within).is_some() {}
        self.0.len() >= MOST
    }

    /// Whether nothing happened in the time before now.
    pub(crate) fn is_idle(&self, within: Duration, now: Instant) -> bool {
        self.0.back().is_none_or(|at| now.saturating_duration_since(*at) >= within)
    }
}

// === impl Count ===

impl Count {
    pub(super) fn new() -> Self {
        Self { since: None, count: 0 }
    }

    /// Whether one more may happen now; if so, it did.
    pub(super) fn take(&mut self, most: u16, within: Duration, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= within) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= most
    }
}
