//! What one group has read, holds and waits with. Pure: no messages, no clock, no lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// The bookkeeping of one group on one topic. Every place below `cursor` is settled, or in exactly
/// one of `returned`, `waiting` and `held`.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    /// The first place never delivered.
    cursor: u64,
    /// Given back: next, oldest first.
    returned: BTreeSet<u64>,
    /// Retried, by when they are due.
    waiting: BTreeSet<(Instant, u64)>,
    /// In a member's hands, by place, with the session that holds them.
    held: BTreeMap<u64, u64>,
    counts: HashMap<u64, Counts>,
    lost: u64,
    /// No other group of the space ever has the same.
    number: u64,
}

/// How often a message was delivered and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) failures: u32,
    pub(super) deliveries: u32,
}

// === impl GroupState ===

impl GroupState {
    /// A group that begins at `cursor`.
    pub(super) fn starting_at(cursor: u64, number: u64) -> Self {
        Self { cursor, number, ..Self::default() }
    }

    /// What tells it from a group of the same name that was there before or comes after.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Hands out the next message: what was given back, then what is due, then the first at or after
    /// the cursor that `fresh` knows.
    pub(super) fn take(
        &mut self,
        now: Instant,
        session: u64,
        fresh: impl FnOnce(u64) -> Option<u64>,
    ) -> Option<(u64, Counts)> {
        let seq = match self.returned.pop_first() {
            Some(seq) => seq,
            None => match self.waiting.first().copied().filter(|(due, _)| *due <= now) {
                Some(first) => {
                    self.waiting.remove(&first);
                    first.1
                }
                None => {
                    let seq = fresh(self.cursor)?;
                    self.cursor = seq + 1;
                    seq
                }
            },
        };
        self.held.insert(seq, session);
        let counts = self.counts.entry(seq).or_default();
        counts.deliveries = counts.deliveries.saturating_add(1);
        Some((seq, *counts))
    }

    /// When the next retry is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Settled for good. False when this session did not hold it.
    pub(super) fn ack(&mut self, seq: u64, session: u64) -> bool {
        let held = self.release(seq, session);
        if held {
            self.counts.remove(&seq);
        }
        held
    }

    /// Failed; due again at `due`.
    pub(super) fn retry(&mut self, seq: u64, session: u64, due: Instant) -> bool {
        let held = self.release(seq, session);
        if held {
            self.waiting.insert((due, seq));
            let counts = self.counts.entry(seq).or_default();
            counts.failures = counts.failures.saturating_add(1);
        }
        held
    }

    /// Given back untouched: the delivery did not count.
    pub(super) fn give_back(&mut self, seq: u64, session: u64) -> bool {
        let held = self.release(seq, session);
        if held {
            self.returned.insert(seq);
            let counts = self.counts.entry(seq).or_default();
            counts.deliveries = counts.deliveries.saturating_sub(1);
        }
        held
    }

    /// The session is gone: what it held comes again, and its deliveries did count.
    pub(super) fn abandon(&mut self, session: u64) {
        let gone: Vec<u64> =
            self.held.iter().filter(|(_, holder)| **holder == session).map(|(seq, _)| *seq).collect();
        for seq in gone {
            self.held.remove(&seq);
            self.returned.insert(seq);
        }
    }

    /// The message is no longer kept. `lost` when nobody removed it on purpose: then it is counted
    /// unless it was settled or a member holds it. A member that holds it keeps its copy, and what it
    /// says of it afterwards changes nothing.
    pub(super) fn forget(&mut self, seq: u64, lost: bool) {
        let unread = seq >= self.cursor;
        let returned = self.returned.remove(&seq);
        let waiting = self.waiting.iter().find(|(_, s)| *s == seq).copied();
        if let Some(entry) = waiting {
            self.waiting.remove(&entry);
        }
        self.held.remove(&seq);
        self.counts.remove(&seq);
        if lost && (unread || returned || waiting.is_some()) {
            self.lost += 1;
        }
    }

    /// The first place never delivered.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Places delivered and not settled, oldest first is not promised.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = u64> {
        self.returned
            .iter()
            .copied()
            .chain(self.waiting.iter().map(|(_, seq)| *seq))
            .chain(self.held.keys().copied())
    }

    /// How many deliveries members hold.
    pub(super) fn in_flight(&self) -> u64 {
        self.held.len() as u64
    }

    /// How many messages retention dropped before this group had read them.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn release(&mut self, seq: u64, session: u64) -> bool {
        if self.held.get(&seq) != Some(&session) {
            return false;
        }
        self.held.remove(&seq);
        true
    }
}

#[cfg(test)]
mod tests;
