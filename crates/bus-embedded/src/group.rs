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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_bus::{Group as GroupName, Record};
use chatbus_event::{Family, Topic};
use tokio::sync::Notify;

mod reading;
mod settling;
mod taking;
#[cfg(test)]
mod tests;
mod vanishing;

pub(crate) use settling::{Change, Retried, Row};

/// Bounds of what is ready in memory for one group; the rest waits in the database.
const READY_ITEMS: usize = 512;
const READY_BYTES: usize = 1024 * 1024;
/// How many messages are read back at a time.
pub(crate) const BATCH: usize = 256;
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
    /// Rows found when the bus was opened, of messages after `handed`. Each joins `unsettled` when
    /// its turn comes, and not before: else it could be settled, and the cursor pass what
    /// nobody had yet.
    known: BTreeMap<u64, StoredUnsettled>,
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
    /// It is in the tables no more; whatever its members do has no effect.
    deleted: bool,
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
    /// The group was deleted.
    Deleted,
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
            known: BTreeMap::new(),
            due: BTreeSet::new(),
            returned: BTreeSet::new(),
            reading: false,
            claiming: false,
            vanished: Vec::new(),
            read_not_before: None,
            members: BTreeMap::new(),
            next_member: 0,
            deleted: false,
        };
        for row in stored.unsettled {
            if row.seq > state.handed {
                state.known.insert(row.seq, row);
            } else {
                state.wait_with(row);
            }
        }
        state
    }

    /// A message of an earlier life that has a row waits for its retry, or to come again at once.
    fn wait_with(&mut self, row: StoredUnsettled) {
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
        self.unsettled.insert(row.seq, unsettled);
        match row.due {
            Some(due) => drop(self.due.insert((due, row.seq))),
            None => drop(self.returned.insert(row.seq)),
        }
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
            self.read_anew();
            for entry in std::mem::take(&mut self.again) {
                self.put_back(entry.record.seq);
            }
        }
        self.wake();
    }

    fn put_back(&mut self, seq: u64) {
        if let Some(unsettled) = self.unsettled.get_mut(&seq) {
            unsettled.place = Place::Waiting;
            self.returned.insert(seq);
        }
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

    /// It is gone from the tables. What was ready or held is the next group's, who reads it anew.
    pub(crate) fn delete(&mut self) {
        self.deleted = true;
        self.ready.clear();
        self.again.clear();
        self.wake_all();
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Wakes every member that could take something.
    pub(crate) fn wake(&self) {
        for member in self.members.values().filter(|m| m.held < m.max) {
            member.notify.notify_one();
        }
    }

    /// Wakes every member, because the bus closes or the group is deleted.
    pub(crate) fn wake_all(&self) {
        for member in self.members.values() {
            member.notify.notify_one();
        }
    }
}

fn bytes_of(entry: &Entry) -> usize {
    usize::try_from(entry.size).unwrap_or(usize::MAX)
}
