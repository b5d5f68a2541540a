//! Messages that go without being settled: removed on purpose, or dropped by retention.

use super::{Forgot, GroupState, Place, Unsettled, bytes_of};

impl GroupState {
    /// A message is settled by not being there any more; `lost` when nobody removed it on purpose.
    pub(crate) fn forget(&mut self, seq: u64, lost: bool) -> Forgot {
        let forgot = match self.unsettled.get(&seq).map(|u| (u.place, u.stored)) {
            // Whoever holds it will settle it; nothing is lost.
            Some((Place::Held(_) | Place::Settling(_), _)) => return Forgot::Nothing,
            Some((_, stored)) => {
                self.unsettled.remove(&seq);
                self.returned.remove(&seq);
                self.due.retain(|(_, s)| *s != seq);
                Forgot::Unsettled { stored }
            }
            None if seq > self.handed && seq <= self.head => {
                if let Ok(at) = self.ready.binary_search_by_key(&seq, |e| e.record.seq)
                    && let Some(entry) = self.ready.remove(at)
                {
                    self.ready_bytes -= bytes_of(&entry);
                }
                Forgot::Unsettled { stored: self.known.remove(&seq).is_some() }
            }
            None => return Forgot::Nothing,
        };
        if self.reading {
            self.vanished.push(seq);
        }
        self.settled += 1;
        self.lost += u64::from(lost);
        forgot
    }

    /// It is there after all: the commit that should have removed it failed.
    pub(crate) fn remember(&mut self, seq: u64, lost: bool) {
        self.settled = self.settled.saturating_sub(1);
        self.lost = self.lost.saturating_sub(u64::from(lost));
        if seq > self.handed {
            self.read_anew();
            return self.wake();
        }
        self.unsettled.entry(seq).or_insert(Unsettled {
            failures: 0,
            deliveries: 0,
            recorded: 0,
            size: 0,
            not_before_ms: 0,
            stored: false,
            suspect: false,
            place: Place::Waiting,
        });
        self.put_back(seq);
        self.wake();
    }
}
