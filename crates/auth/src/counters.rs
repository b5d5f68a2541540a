//! What auth has done since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::enrich::Ignored;

/// Totals since the start; cheap to count, read by whoever shows them.
#[derive(Debug, Default)]
pub struct AuthCounters {
    pub(crate) total: AtomicU64,
    pub(crate) matched: AtomicU64,
    pub(crate) unmatched: AtomicU64,
    pub(crate) invalid: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) first_messages: AtomicU64,
    pub(crate) new_sessions: AtomicU64,
    ignored: [AtomicU64; Ignored::ALL.len()],
}

/// The totals at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthTotals {
    /// Events handled, repeats included.
    pub total: u64,
    /// Of these, with a user.
    pub matched: u64,
    /// Of these, without one.
    pub unmatched: u64,
    /// Messages that were no events, or too long.
    pub invalid: u64,
    /// Events whose user the store can never write: forwarded without it.
    pub refused: u64,
    /// Late events that had been forwarded before, and were not again.
    pub repeated: u64,
    /// Users who were new.
    pub created: u64,
    /// First messages ever.
    pub first_messages: u64,
    /// Sessions begun.
    pub new_sessions: u64,
    /// Messages that default rules are not to answer, by the reason's word.
    pub ignored: Vec<(&'static str, u64)>,
}

// === impl AuthCounters ===

impl AuthCounters {
    /// The totals now.
    pub fn totals(&self) -> AuthTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuthTotals {
            total: read(&self.total),
            matched: read(&self.matched),
            unmatched: read(&self.unmatched),
            invalid: read(&self.invalid),
            refused: read(&self.refused),
            repeated: read(&self.repeated),
            created: read(&self.created),
            first_messages: read(&self.first_messages),
            new_sessions: read(&self.new_sessions),
            ignored: Ignored::ALL.iter().zip(&self.ignored).map(|(why, n)| (why.as_str(), read(n))).collect(),
        }
    }

    pub(crate) fn count_ignored(&self, why: Ignored) {
        for (_, counter) in Ignored::ALL.iter().zip(&self.ignored).filter(|(one, _)| **one == why) {
            count(counter);
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
