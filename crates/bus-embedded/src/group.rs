//! A group in memory: what is ready for its members, what they hold, what waits to come again.
//!
//! Nothing here does I/O. The writer offers what it has just committed; what does not fit, or was
//! there before, is read back in batches ([`Plan`]); a member takes one delivery at a time.
//!
//! What is known of a message that is not settled has two forms, by how far it came:
//! * after `handed`: not handed out in this life of the process, so nothing is kept of it;
//! * at or before it: it is in `unsettled`, or else it is settled.
//!
//! **Counting deliveries over a kill.** A delivery is in the tables before it is handed out. For a new
//! message that costs nothing: the commit that stores it also moves the group's `mark`, before
//! which everything may have been handed out. Whatever is found unsettled at or before the mark after
//! a restart counts one delivery, at most one too many, since it may have been ready and not yet taken.
//! From then on such a message is counted exactly, one commit a delivery ([`Claim`]): a message that
//! kills the process each time does not take its neighbours with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_bus::{Group as GroupName, Record};
use chatbus_event::{Family, Topic};
use tokio::sync::Notify;

mod settling;
#[cfg(test)]
mod tests;

pub(crate) use settling::{Change, Retried, Row};

/// Bounds of what is ready in memory for one group; the rest waits in the database.
const READY_ITEMS: usize = 512;
const READY_BYTES: usize = 1024 * 1024;
/// How many messages are read back at a time.
pub(crate) const BATCH: usize = 64;
/// How many unsettled messages a group may have before it gets no new ones: those that wait for
/// their retry are no member's, so no member's bound holds them.
const MAX_UNSETTLED: usize = 65_536;
/// How long to wait before reading again after the database could not be read.
const READ_RETRY: Duration = Duration::from_secs(1);

/// A group on one topic, shared by its members and the bus's threads.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: i64,
    pub(crate) topic: Topic,
    pub(crate) topic_id: i64,
    pub(crate) family: Family,
    state: Mutex<GroupState>,
}

/// What the tables know of a group.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: GroupName,
    /// Everything up to here is settled, except what is in `unsettled`. Not used where messages
    /// are held until they are settled: there, what is in the table is not settled.
    pub(crate) cursor: u64,
    /// Nothing after this was ever handed out.
    pub(crate) mark: u64,
    pub(crate) settled: u64,
    pub(crate) lost: u64,
    /// How many messages the topic ever had, and its last place.
    pub(crate) published: u64,
    pub(crate) head: u64,
    pub(crate) unsettled: Vec<StoredUnsettled>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredUnsettled {
    pub(crate) seq: u64,
    pub(crate) failures: u32,
    pub(crate) deliveries: u32,
    pub(crate) not_before_ms: i64,
    /// The same on the clock that does not jump; `None` when it has passed.
    pub(crate) due: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct GroupState {
    pub(crate) name: GroupName,
    pub(crate) cursor: u64,
    /// As the tables have it.
    pub(crate) mark: u64,
    pub(crate) settled: u64,
    pub(crate) lost: u64,
    published: u64,
    head: u64,
    holds: bool,
    /// The mark when the bus was opened.
    old_mark: u64,
    /// The last place that was handed out, and the last that is ready.
    handed: u64,
    read: u64,
    ready: VecDeque<Entry>,
    ready_bytes: usize,
    again: VecDeque<Entry>,
    unsettled: BTreeMap<u64, Unsettled>,
    due: BTreeSet<(Instant, u64)>,
    returned: BTreeSet<u64>,
    /// Whether something is being read back, and whether deliveries are being recorded.
    reading: bool,
    claiming: bool,
    /// What was forgotten while something was being read, and so may be in what was read.
    vanished: Vec<u64>,
    read_not_before: Option<Instant>,
    members: BTreeMap<u64, Member>,
    next_member: u64,
}

/// A message ready to be handed out.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) size: u64,
    /// How often it was handed out before.
    prior: u32,
    /// How many of its deliveries the tables know. A new message has the mark instead.
    recorded: u32,
    /// It was perhaps in somebody's hands when the process was killed.
    suspect: bool,
}

#[derive(Debug)]
struct Unsettled {
    failures: u32,
    deliveries: u32,
    recorded: u32,
    size: u64,
    not_before_ms: i64,
    /// Whether it has a row in the table `unsettled`.
    stored: bool,
    suspect: bool,
    place: Place,
}

/// Where an unsettled message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// With this member.
    Held(u64),
    /// With the writer, which will settle it; this member's bound still counts it.
    Settling(u64),
    /// In `due` or `returned`.
    Waiting,
    /// Being read back, or in `again`.
    Coming,
}

#[derive(Debug)]
struct Member {
    max: usize,
    held: usize,
    notify: Arc<Notify>,
}

/// What a member gets when it asks for work.
#[derive(Debug)]
pub(crate) enum Taken {
    Delivery(Box<Taking>),
    /// Have this read back, then ask again.
    Read(Plan),
    /// Have this recorded, then ask again.
    Record(Claim),
    /// Wait to be notified, at most until then.
    Wait(Option<Instant>),
}

/// One message handed out.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) record: Record,
    pub(crate) failures: u32,
    pub(crate) deliveries: u32,
}

/// What to read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The next ones after this place, up to that one.
    After(u64, u64),
    /// These again.
    These(Vec<u64>),
}

/// Deliveries to record before they are handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// First ones of everything up to here.
    Mark(u64),
    /// These messages, with how often each was handed out then.
    Rows(Vec<(u64, u32)>),
}

/// Whether a group had a message unsettled, and whether the table `unsettled` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgot {
    Nothing,
    Unsettled { stored: bool },
}

/// How a group stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) name: GroupName,
    pub(crate) pending: u64,
    pub(crate) in_flight: u64,
    pub(crate) lost: u64,
    /// A place at or before the oldest unsettled message.
    pub(crate) first: u64,
}

// === impl Group ===

impl Group {
    pub(crate) fn new(id: i64, topic: Topic, topic_id: i64, stored: Stored) -> Self {
        let family = topic.family();
        let state = GroupState::new(crate::family::holds(family), stored);
        Self { id, topic, topic_id, family, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl GroupState ===

impl GroupState {
    fn new(holds: bool, stored: Stored) -> Self {
        let start = if holds { 0 } else { stored.cursor };
        let mut state = Self {
            name: stored.name,
            cursor: stored.cursor,
            mark: stored.mark,
            settled: stored.settled,
            lost: stored.lost,
            published: stored.published,
            head: stored.head,
            holds,
            old_mark: stored.mark,
            handed: start,
            read: start,
            ready: VecDeque::new(),
            ready_bytes: 0,
            again: VecDeque::new(),
            unsettled: BTreeMap::new(),
            due: BTreeSet::new(),
            returned: BTreeSet::new(),
            reading: false,
            claiming: false,
            vanished: Vec::new(),
            read_not_before: None,
            members: BTreeMap::new(),
            next_member: 0,
        };
        for row in stored.unsettled {
            let unsettled = Unsettled {
                failures: row.failures,
                deliveries: row.deliveries,
                recorded: row.deliveries,
                size: 0,
                not_before_ms: row.not_before_ms,
                stored: true,
                suspect: true,
                place: Place::Waiting,
            };
            state.unsettled.insert(row.seq, unsettled);
            match row.due {
                Some(due) => drop(state.due.insert((due, row.seq))),
                None => drop(state.returned.insert(row.seq)),
            }
        }
        state
    }

    pub(crate) fn join(&mut self, max: usize, notify: Arc<Notify>) -> u64 {
        self.next_member += 1;
        self.members.insert(self.next_member, Member { max: max.max(1), held: 0, notify });
        self.next_member
    }

    /// The member goes; what it holds stays with whoever has it, until it is settled or dropped.
    pub(crate) fn leave(&mut self, member: u64) {
        self.members.remove(&member);
        if self.members.is_empty() {
            // Nobody may come for these; they can be read again.
            if let Some(first) = self.ready.front() {
                self.read = first.record.seq - 1;
            }
            self.ready.clear();
            self.ready_bytes = 0;
            for entry in std::mem::take(&mut self.again) {
                self.put_back(entry.record.seq);
            }
        }
        self.wake();
    }

    /// The next thing for this member.
    pub(crate) fn take(&mut self, member: u64, now: Instant) -> Taken {
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
            if let Some(entry) = self.ready.pop_front() {
                return self.take_new(entry, member);
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

    fn plan_again(&mut self) -> Plan {
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

    fn push_ready(&mut self, entry: Entry) {
        self.ready_bytes += bytes_of(&entry);
        self.ready.push_back(entry);
    }

    fn put_back(&mut self, seq: u64) {
        if let Some(unsettled) = self.unsettled.get_mut(&seq) {
            unsettled.place = Place::Waiting;
            self.returned.insert(seq);
        }
    }

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
                Forgot::Unsettled { stored: false }
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
        if seq > self.read {
            return;
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

    pub(crate) fn standing(&self) -> Standing {
        let held = |u: &&Unsettled| matches!(u.place, Place::Held(_) | Place::Settling(_));
        Standing {
            name: self.name.clone(),
            pending: self.published.saturating_sub(self.settled),
            in_flight: self.unsettled.values().filter(held).count() as u64,
            lost: self.lost,
            first: self
                .unsettled
                .first_key_value()
                .map_or(self.handed + 1, |(s, _)| (*s).min(self.handed + 1)),
        }
    }

    /// Wakes every member that could take something.
    pub(crate) fn wake(&self) {
        for member in self.members.values().filter(|m| m.held < m.max) {
            member.notify.notify_one();
        }
    }

    /// Wakes every member, because the bus closes.
    pub(crate) fn wake_all(&self) {
        for member in self.members.values() {
            member.notify.notify_one();
        }
    }
}

fn bytes_of(entry: &Entry) -> usize {
    usize::try_from(entry.size).unwrap_or(usize::MAX)
}
