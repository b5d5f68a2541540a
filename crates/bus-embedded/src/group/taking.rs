//! Handing out: what comes again first, then what is new, each recorded before it is handed out.

use std::time::Instant;

use super::{
    BATCH, Claim, Entry, GroupState, MAX_UNSETTLED, Place, Plan, Taken, Taking, Unsettled, bytes_of,
};

impl GroupState {
    /// The next thing for this member.
    pub(crate) fn take(&mut self, member: u64, now: Instant) -> Taken {
        if self.deleted {
            return Taken::Deleted;
        }
        if self.claiming || self.members.get(&member).is_none_or(|m| m.held >= m.max) {
            return Taken::Wait(None);
        }
        while let Some(&(due, seq)) = self.due.first().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, seq));
            self.returned.insert(seq);
        }
        // What comes again comes first.
        while let Some(entry) = self.again.pop_front() {
            let removed = self.unsettled.get(&entry.record.seq).is_none_or(|u| u.place != Place::Coming);
            if removed {
                continue;
            }
            if entry.recorded > entry.prior {
                return Taken::Delivery(Box::new(self.hand_out(entry, member)));
            }
            self.again.push_front(entry);
            return self.claim_rows();
        }
        if let Some(until) = self.read_not_before.filter(|until| *until > now) {
            return Taken::Wait(Some(until));
        }
        self.read_not_before = None;
        if !self.returned.is_empty() {
            return if self.reading { Taken::Wait(None) } else { Taken::Read(self.plan_again()) };
        }
        if self.unsettled.len() < MAX_UNSETTLED {
            while let Some(entry) = self.ready.pop_front() {
                let Some(row) = self.known.remove(&entry.record.seq) else {
                    return self.take_new(entry, member);
                };
                self.ready_bytes -= bytes_of(&entry);
                self.handed = row.seq;
                self.wait_with(row);
                if !self.returned.is_empty() {
                    break;
                }
            }
            if !self.returned.is_empty() {
                return if self.reading { Taken::Wait(None) } else { Taken::Read(self.plan_again()) };
            }
            if self.read < self.head && !self.reading {
                self.reading = true;
                return Taken::Read(Plan::After(self.read, self.head));
            }
        }
        Taken::Wait(self.due.first().map(|(due, _)| *due))
    }

    fn take_new(&mut self, entry: Entry, member: u64) -> Taken {
        let seq = entry.record.seq;
        if entry.prior == 0 && seq > self.mark {
            let last =
                self.ready.iter().take(BATCH).map_while(|e| (e.prior == 0).then_some(e.record.seq)).last();
            self.ready.push_front(entry);
            self.claiming = true;
            return Taken::Record(Claim::Mark(last.unwrap_or(seq)));
        }
        if entry.prior > 0 && entry.recorded <= entry.prior {
            let claim = Claim::Rows(vec![(seq, entry.prior.saturating_add(1))]);
            self.ready.push_front(entry);
            self.claiming = true;
            return Taken::Record(claim);
        }
        self.ready_bytes -= bytes_of(&entry);
        Taken::Delivery(Box::new(self.hand_out(entry, member)))
    }

    /// What waits at the front of `again`: a suspect alone, others together.
    fn claim_rows(&mut self) -> Taken {
        self.claiming = true;
        let alone = self.again.front().is_some_and(|e| e.suspect);
        let rows = self.again.iter().take(if alone { 1 } else { BATCH }).filter(|e| alone || !e.suspect);
        Taken::Record(Claim::Rows(rows.map(|e| (e.record.seq, e.prior.saturating_add(1))).collect()))
    }

    /// The writer has recorded a claim, or cannot: then what was claimed is handed out nevertheless,
    /// since a count matters less than a delivery.
    pub(crate) fn claimed(&mut self, claim: &Claim, stored: bool) {
        self.claiming = false;
        match claim {
            Claim::Mark(mark) => self.mark = self.mark.max(*mark),
            Claim::Rows(rows) => {
                for (seq, deliveries) in rows {
                    let entries = self.again.iter_mut().chain(self.ready.iter_mut());
                    for entry in entries.filter(|e| e.record.seq == *seq) {
                        entry.recorded = *deliveries;
                    }
                    if let Some(unsettled) = self.unsettled.get_mut(seq) {
                        unsettled.recorded = *deliveries;
                        unsettled.stored |= stored;
                    }
                }
            }
        }
        self.wake();
    }

    fn hand_out(&mut self, entry: Entry, member: u64) -> Taking {
        let deliveries = entry.prior.saturating_add(1);
        let unsettled = self.unsettled.entry(entry.record.seq).or_insert(Unsettled {
            failures: 0,
            deliveries,
            recorded: deliveries,
            size: entry.size,
            not_before_ms: 0,
            // A new message that was delivered before has the row that its claim made.
            stored: entry.prior > 0,
            suspect: false,
            place: Place::Held(member),
        });
        unsettled.place = Place::Held(member);
        unsettled.deliveries = deliveries;
        unsettled.size = entry.size;
        unsettled.suspect = false;
        let failures = unsettled.failures;
        self.handed = self.handed.max(entry.record.seq);
        if let Some(member) = self.members.get_mut(&member) {
            member.held += 1;
        }
        Taking { record: entry.record, failures, deliveries }
    }
}
