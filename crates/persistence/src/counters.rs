//! What persistence has written since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use chatbus_store::Entry;
use serde::Serialize;

/// Totals since the start; cheap to count, read by whoever shows them.
#[derive(Debug, Default)]
pub struct PersistenceCounters {
    steps: AtomicU64,
    letters: AtomicU64,
    sources: AtomicU64,
    raw: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    swept: AtomicU64,
}

/// The totals at one moment. What was handed over twice counts twice, though it is written once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistenceTotals {
    /// Steps of events' ways.
    pub steps: u64,
    /// Dead letters.
    pub letters: u64,
    /// What became known of sources.
    pub sources: u64,
    /// Messages kept as they are, because they are nothing that we know or because the store refused what was
    /// made of them.
    pub raw: u64,
    /// Of these, the refused ones.
    pub refused: u64,
    /// Messages that the store did not even take raw: their bytes are with the bus only.
    pub lost: u64,
    /// Records removed because they were past their time.
    pub swept: u64,
}

// === impl PersistenceCounters ===

impl PersistenceCounters {
    /// The totals now.
    pub fn totals(&self) -> PersistenceTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PersistenceTotals {
            steps: read(&self.steps),
            letters: read(&self.letters),
            sources: read(&self.sources),
            raw: read(&self.raw),
            refused: read(&self.refused),
            lost: read(&self.lost),
            swept: read(&self.swept),
        }
    }

    pub(crate) fn written(&self, entries: &[Entry]) {
        for entry in entries {
            let counter = match entry {
                Entry::Step(_) => &self.steps,
                Entry::Letter(_) => &self.letters,
                Entry::Source(_) => &self.sources,
                Entry::Raw { .. } => &self.raw,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn swept(&self, n: usize) {
        self.swept.fetch_add(n as u64, Ordering::Relaxed);
    }
}
