//! What settling changes of a group: first as a plan for the tables, then, once that is committed,
//! in memory.
//!
//! A log's group is one place, `cursor`, and a row for each message before it that is not settled.
//! Messages are mostly settled in order, so mostly there are no rows. A queue's message is gone from
//! its table once it is settled, so its group has rows only to count with.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{GroupState, Place, StoredUnsettled};

/// A retry that a member asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retried {
    pub(crate) seq: u64,
    pub(crate) not_before_ms: i64,
    pub(crate) due: Instant,
}

/// A row of the table `unsettled` to be written.
pub(crate) type Row = StoredUnsettled;

/// Everything that one commit changes of one group.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) acked: Vec<u64>,
    pub(crate) retried: Vec<Retried>,
    /// What the plan made of them.
    pub(crate) cursor: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) deleted_rows: Vec<u64>,
}

impl GroupState {
    /// A member settles what it holds. False when that was removed: then there is nothing to settle.
    pub(crate) fn begin_settling(&mut self, seq: u64) -> bool {
        let Some(unsettled) = self.unsettled.get_mut(&seq) else { return false };
        let Place::Held(member) = unsettled.place else { return false };
        unsettled.place = Place::Settling(member);
        true
    }

    /// What the tables must say of this change.
    pub(crate) fn plan(&self, change: &mut Change) {
        change.cursor = self.cursor;
        if !self.holds
            && let Some(last) = change.acked.iter().max()
        {
            change.cursor = change.cursor.max(*last);
        }
        let settling: BTreeSet<u64> =
            change.acked.iter().copied().chain(change.retried.iter().map(|r| r.seq)).collect();
        if change.cursor > self.cursor {
            for (seq, unsettled) in self.unsettled.range(self.cursor + 1..=change.cursor) {
                if !unsettled.stored && !settling.contains(seq) {
                    change.rows.push(Row {
                        seq: *seq,
                        failures: unsettled.failures,
                        deliveries: unsettled.deliveries,
                        not_before_ms: unsettled.not_before_ms,
                        due: None,
                    });
                }
            }
        }
        for retried in &change.retried {
            if let Some(unsettled) = self.unsettled.get(&retried.seq) {
                change.rows.push(Row {
                    seq: retried.seq,
                    failures: unsettled.failures.saturating_add(1),
                    deliveries: unsettled.deliveries,
                    not_before_ms: retried.not_before_ms,
                    due: Some(retried.due),
                });
            }
        }
        let stored = |seq: &&u64| self.unsettled.get(seq).is_some_and(|u| u.stored);
        change.deleted_rows.extend(change.acked.iter().filter(stored));
    }

    /// The size of a message that is held or being settled.
    pub(crate) fn size_of(&self, seq: u64) -> u64 {
        self.unsettled.get(&seq).map_or(0, |u| u.size)
    }

    /// The change is committed.
    pub(crate) fn settled(&mut self, change: &Change) {
        self.cursor = change.cursor;
        for row in &change.rows {
            if let Some(unsettled) = self.unsettled.get_mut(&row.seq) {
                unsettled.stored = true;
                unsettled.recorded = unsettled.recorded.max(row.deliveries);
            }
        }
        for seq in &change.acked {
            if let Some(unsettled) = self.unsettled.remove(seq) {
                self.settled += 1;
                self.release(unsettled.place);
            }
        }
        for retried in &change.retried {
            let Some(unsettled) = self.unsettled.get_mut(&retried.seq) else { continue };
            unsettled.failures = unsettled.failures.saturating_add(1);
            unsettled.not_before_ms = retried.not_before_ms;
            let place = std::mem::replace(&mut unsettled.place, Place::Waiting);
            self.due.insert((retried.due, retried.seq));
            self.release(place);
        }
        self.wake();
    }

    /// The commit that should have settled it failed: it comes again.
    pub(crate) fn not_settled(&mut self, seq: u64) {
        if let Some(unsettled) = self.unsettled.get_mut(&seq) {
            let place = std::mem::replace(&mut unsettled.place, Place::Waiting);
            self.returned.insert(seq);
            self.release(place);
            self.wake();
        }
    }

    /// Given back untouched, or dropped: the delivery did not count.
    pub(crate) fn give_back(&mut self, seq: u64) {
        let Some(unsettled) = self.unsettled.get_mut(&seq) else { return };
        if matches!(unsettled.place, Place::Held(_)) {
            unsettled.deliveries = unsettled.deliveries.saturating_sub(1);
            let place = std::mem::replace(&mut unsettled.place, Place::Waiting);
            self.returned.insert(seq);
            self.release(place);
            self.wake();
        }
    }

    fn release(&mut self, place: Place) {
        if let Place::Held(member) | Place::Settling(member) = place
            && let Some(member) = self.members.get_mut(&member)
        {
            member.held = member.held.saturating_sub(1);
        }
    }
}
