//! What becomes ready: offered by the writer as it commits, or read back.

use std::borrow::Cow;
use std::time::Instant;

use chatbus_bus::Record;

use super::{BATCH, Entry, GroupState, Place, Plan, READ_RETRY, READY_BYTES, READY_ITEMS, bytes_of};

impl GroupState {
    /// How far the mark moves with a commit that puts this place at the end of the topic: what members
    /// will find ready counts as handed out.
    pub(crate) fn mark_with(&self, last: u64) -> u64 {
        let ready = self.read == self.head && !self.members.is_empty() && self.ready.len() < READY_ITEMS;
        if ready { self.mark.max(last) } else { self.mark }
    }

    /// Takes what the writer has just committed, in order.
    pub(crate) fn offer<'a>(&mut self, records: impl ExactSizeIterator<Item = (Cow<'a, Record>, u64)>) {
        let mut offered = false;
        for (record, size) in records {
            let seq = record.seq;
            let caught_up = self.read == self.head;
            self.published += 1;
            self.head = seq;
            if caught_up
                && !self.members.is_empty()
                && self.ready.len() < READY_ITEMS
                && self.ready_bytes < READY_BYTES
            {
                self.read = seq;
                let record = record.into_owned();
                self.push_ready(Entry { record, size, prior: 0, recorded: 0, suspect: false });
            }
            offered = true;
        }
        if offered {
            self.wake();
        }
    }

    /// Has what was given back or is due read back.
    pub(super) fn plan_again(&mut self) -> Plan {
        let mut seqs = Vec::new();
        while let Some(seq) = (seqs.len() < BATCH).then(|| self.returned.pop_first()).flatten() {
            if let Some(unsettled) = self.unsettled.get_mut(&seq) {
                unsettled.place = Place::Coming;
                seqs.push(seq);
            }
        }
        self.reading = true;
        Plan::These(seqs)
    }

    /// Sorts out what was read: what can be handed out, and the places that are there no more.
    pub(crate) fn sort_out(&self, plan: &Plan, records: Vec<(Record, u64)>) -> (Vec<Entry>, Vec<u64>) {
        let mut entries = Vec::with_capacity(records.len());
        for (record, size) in records {
            let entry = match (plan, self.unsettled.get(&record.seq)) {
                (Plan::These(_), Some(u)) => {
                    Entry { record, size, prior: u.deliveries, recorded: u.recorded, suspect: u.suspect }
                }
                // It waits for its retry, or was removed from what waits.
                (Plan::These(_), None) | (Plan::After(..), Some(_)) => continue,
                (Plan::After(..), None) => {
                    let suspect = record.seq <= self.old_mark;
                    let prior = u32::from(suspect);
                    Entry { record, size, prior, recorded: prior, suspect }
                }
            };
            entries.push(entry);
        }
        let mut gone = Vec::new();
        if let Plan::These(seqs) = plan {
            gone.extend(seqs.iter().filter(|seq| !entries.iter().any(|e| e.record.seq == **seq)));
        }
        (entries, gone)
    }

    /// Takes what was read. `upto` is how far an [`Plan::After`] looked.
    pub(crate) fn filled(&mut self, plan: &Plan, mut entries: Vec<Entry>, gone: &[u64], upto: u64) {
        self.reading = false;
        let vanished = std::mem::take(&mut self.vanished);
        entries.retain(|entry| !vanished.contains(&entry.record.seq));
        match plan {
            Plan::After(after, _) => {
                // The last member may have left and rewound while this was being read.
                if *after == self.read && !self.members.is_empty() {
                    for entry in entries {
                        self.push_ready(entry);
                    }
                    self.read = self.read.max(upto);
                }
            }
            Plan::These(_) => {
                for seq in gone {
                    self.forget(*seq, false);
                }
                if self.members.is_empty() {
                    for entry in entries {
                        self.put_back(entry.record.seq);
                    }
                } else {
                    self.again.extend(entries);
                }
            }
        }
        self.wake();
    }

    /// The database could not be read.
    pub(crate) fn not_filled(&mut self, plan: &Plan, now: Instant) {
        self.reading = false;
        self.vanished.clear();
        self.read_not_before = Some(now + READ_RETRY);
        if let Plan::These(seqs) = plan {
            for seq in seqs {
                self.put_back(*seq);
            }
        }
        self.wake();
    }

    /// What is ready is read from the database again, when somebody asks.
    pub(super) fn read_anew(&mut self) {
        self.read = self.handed;
        self.ready.clear();
        self.ready_bytes = 0;
    }

    fn push_ready(&mut self, entry: Entry) {
        self.ready_bytes += bytes_of(&entry);
        self.ready.push_back(entry);
    }
}
