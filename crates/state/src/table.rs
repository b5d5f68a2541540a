//! The entries of all spaces in memory, and who watches them: what the drivers without a server share.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::space::entry_bytes;
use crate::{
    Change, Changes, Entry, Expected, Key, MAX_VALUE_BYTES, Revision, Space, StateError, StateErrorKind,
};

/// All spaces. Every call is told the time; one table's owner keeps it behind a lock.
#[derive(Debug)]
pub struct Table {
    shelves: [Shelf; Space::ALL.len()],
    last: u64,
}

/// A watch of a table.
#[derive(Debug)]
pub struct TableChanges(mpsc::Receiver<Change>);

#[derive(Debug)]
struct Shelf {
    space: Space,
    ttl: Option<Duration>,
    entries: BTreeMap<Key, Kept>,
    bytes: u64,
    /// When what is past its time is taken out next.
    sweep_at: Option<Instant>,
    watchers: Vec<mpsc::Sender<Change>>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    written: Instant,
}

/// Changes a watcher may be behind; one that is more ends, and is begun again by who needs it.
const MAX_BEHIND: usize = 65_536;

// === impl Table ===

impl Table {
    /// An empty table. `ttl` stands in for every space's own time to live that has one; for tests.
    pub fn new(ttl: Option<Duration>) -> Self {
        let shelf = |space: Space| Shelf {
            space,
            ttl: space.ttl().map(|own| ttl.unwrap_or(own)),
            entries: BTreeMap::new(),
            bytes: 0,
            sweep_at: None,
            watchers: Vec::new(),
        };
        Self { shelves: Space::ALL.map(shelf), last: 0 }
    }

    /// What stands under a key.
    pub fn get(&self, space: Space, key: &Key, now: Instant) -> Option<Entry> {
        self.shelf(space).get(key, now).map(|kept| kept.entry.clone())
    }

    /// Writes, when what stands there is what is expected.
    ///
    /// # Errors
    /// `Conflict`, `TooLarge`, or `Refused` when the space is full.
    pub fn put(
        &mut self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
        now: Instant,
    ) -> Result<Revision, StateError> {
        let shelf = self.shelf_mut(space);
        shelf.sweep(now);
        shelf.check(key, expected, now)?;
        shelf.check_room(key, &value)?;
        self.last += 1;
        let revision = Revision(self.last);
        self.insert(space, key, Entry { value, revision }, now);
        Ok(revision)
    }

    /// Removes, when what stands there is what is expected.
    ///
    /// # Errors
    /// `Conflict`.
    pub fn remove(
        &mut self,
        space: Space,
        key: &Key,
        expected: Expected,
        now: Instant,
    ) -> Result<(), StateError> {
        self.shelf(space).check(key, expected, now)?;
        self.take(space, key);
        Ok(())
    }

    /// The entries under `prefix`, or all, by key.
    pub fn list(&self, space: Space, prefix: Option<&Key>, now: Instant) -> Vec<(Key, Entry)> {
        let shelf = self.shelf(space);
        let living = shelf.entries.iter().filter(|(_, kept)| shelf.is_living(kept, now));
        living
            .filter(|(key, _)| prefix.is_none_or(|prefix| key.is_under(prefix)))
            .map(|(key, kept)| (key.clone(), kept.entry.clone()))
            .collect()
    }

    /// Begins a watch; what is there now waits in it already.
    pub fn watch(&mut self, space: Space, now: Instant) -> TableChanges {
        let there = self.list(space, None, now);
        let (sender, changes) = mpsc::channel(MAX_BEHIND + there.len() + 1);
        let told = there.into_iter().map(|(key, entry)| Change::Set(key, entry));
        for change in told.chain([Change::Current]) {
            // There is room for all of them.
            let _ = sender.try_send(change);
        }
        let watchers = &mut self.shelf_mut(space).watchers;
        watchers.retain(|watcher| !watcher.is_closed());
        watchers.push(sender);
        TableChanges(changes)
    }

    /// Ends every watch, once what waits in it was read.
    pub fn end_watches(&mut self) {
        for shelf in &mut self.shelves {
            shelf.watchers.clear();
        }
    }

    /// Whether there is room for such a write, for who decides elsewhere what is written.
    ///
    /// # Errors
    /// `TooLarge`, or `Refused` when the space is full.
    pub fn check_room(&self, space: Space, key: &Key, value: &Bytes) -> Result<(), StateError> {
        self.shelf(space).check_room(key, value)
    }

    /// Puts what was decided elsewhere, and tells it.
    pub fn insert(&mut self, space: Space, key: &Key, entry: Entry, written: Instant) {
        self.last = self.last.max(entry.revision.0);
        let shelf = self.shelf_mut(space);
        shelf.tell(&Change::Set(key.clone(), entry.clone()));
        shelf.bytes += entry_bytes(key, &entry.value);
        if let Some(old) = shelf.entries.insert(key.clone(), Kept { entry, written }) {
            shelf.bytes -= entry_bytes(key, &old.entry.value);
        }
    }

    /// Takes out what was removed elsewhere, and tells it.
    pub fn take(&mut self, space: Space, key: &Key) {
        let shelf = self.shelf_mut(space);
        if let Some(old) = shelf.entries.remove(key) {
            shelf.bytes -= entry_bytes(key, &old.entry.value);
            shelf.tell(&Change::Removed(key.clone()));
        }
    }

    /// Takes out what is past its time to live, where that was not done for a while. Nobody is told.
    pub fn sweep(&mut self, now: Instant) {
        for shelf in &mut self.shelves {
            shelf.sweep(now);
        }
    }

    fn shelf(&self, space: Space) -> &Shelf {
        &self.shelves[space as usize]
    }

    fn shelf_mut(&mut self, space: Space) -> &mut Shelf {
        &mut self.shelves[space as usize]
    }
}

// === impl Shelf ===

impl Shelf {
    fn is_living(&self, kept: &Kept, now: Instant) -> bool {
        self.ttl.is_none_or(|ttl| now.saturating_duration_since(kept.written) < ttl)
    }

    fn get(&self, key: &Key, now: Instant) -> Option<&Kept> {
        self.entries.get(key).filter(|kept| self.is_living(kept, now))
    }

    fn check(&self, key: &Key, expected: Expected, now: Instant) -> Result<(), StateError> {
        expected.check(key, self.get(key, now).map(|kept| kept.entry.revision))
    }

    fn check_room(&self, key: &Key, value: &Bytes) -> Result<(), StateError> {
        check_size(key, value)?;
        let replaced = self.entries.get(key).map_or(0, |old| entry_bytes(key, &old.entry.value));
        if self.bytes - replaced + entry_bytes(key, value) > self.space.max_bytes() {
            let why = format!("the space {} is full; {key} was not written", self.space.name());
            return Err(StateError::new(StateErrorKind::Refused, why));
        }
        Ok(())
    }

    /// Takes out what is past its time, now and then. Nobody is told.
    fn sweep(&mut self, now: Instant) {
        let Some(ttl) = self.ttl else { return };
        if self.sweep_at.is_some_and(|at| now < at) {
            return;
        }
        self.sweep_at = Some(now + ttl / 4);
        self.entries.retain(|_, kept| now.saturating_duration_since(kept.written) < ttl);
        self.bytes = self.entries.iter().map(|(key, kept)| entry_bytes(key, &kept.entry.value)).sum();
    }

    fn tell(&mut self, change: &Change) {
        self.watchers.retain(|watcher| watcher.try_send(change.clone()).is_ok());
    }
}

// === impl TableChanges ===

#[async_trait]
impl Changes for TableChanges {
    async fn next(&mut self) -> Option<Change> {
        self.0.recv().await
    }
}

// === impl Expected ===

impl Expected {
    /// Whether what stands there, by its revision, is what is expected.
    ///
    /// # Errors
    /// `Conflict` when it is not.
    pub fn check(self, key: &Key, there: Option<Revision>) -> Result<(), StateError> {
        let is_so = match self {
            Self::Anything => true,
            Self::Absent => there.is_none(),
            Self::At(revision) => there == Some(revision),
        };
        if is_so { Ok(()) } else { Err(StateError::conflict(key)) }
    }
}

/// Whether a value may be as large as this.
///
/// # Errors
/// `TooLarge`.
pub fn check_size(key: &Key, value: &Bytes) -> Result<(), StateError> {
    if value.len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    let why = format!("a value of {} bytes under {key} is over {MAX_VALUE_BYTES}", value.len());
    Err(StateError::new(StateErrorKind::TooLarge, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn what_is_past_its_time_is_absent_and_soon_takes_no_room() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let key = |text| Key::parse(text).unwrap();
        let mut table = Table::new(Some(Duration::from_secs(8)));
        for space in Space::ALL {
            table.put(space, &key("a"), Bytes::from_static(b"x"), Expected::Absent, at(0)).unwrap();
            assert!(table.get(space, &key("a"), at(7)).is_some());
            assert_eq!(table.get(space, &key("a"), at(8)).is_none(), space.ttl().is_some());
        }
        table.put(Space::Leases, &key("a"), Bytes::new(), Expected::Absent, at(9)).unwrap();
        table.put(Space::Leases, &key("b"), Bytes::new(), Expected::Absent, at(18)).unwrap();
        assert_eq!(table.shelf(Space::Leases).entries.len(), 1);
        assert_eq!(table.shelf(Space::Leases).bytes, entry_bytes(&key("b"), b""));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn a_full_space_refuses_what_is_new_and_takes_it_when_there_is_room() {
        let now = Instant::now();
        let mut table = Table::new(None);
        let value = Bytes::from(vec![0; MAX_VALUE_BYTES]);
        let key = |n: u64| Key::parse(&n.to_string()).unwrap();
        let mut put = |n| table.put(Space::Leases, &key(n), value.clone(), Expected::Anything, now);
        let full = (0..).find_map(|n| put(n).err()).unwrap();
        assert!(put(0).is_ok(), "what stands there may be written again");
        assert_eq!(full.kind(), StateErrorKind::Refused, "{full}");
        table.remove(Space::Leases, &key(0), Expected::Anything, now).unwrap();
        table.put(Space::Leases, &key(1_000_000), value.clone(), Expected::Absent, now).unwrap();
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    async fn a_watcher_that_is_too_far_behind_ends_instead_of_missing_a_change() {
        let now = Instant::now();
        let mut table = Table::new(None);
        let mut slow = table.watch(Space::Presence, now);
        let key = Key::parse("a").unwrap();
        for _ in 0..=MAX_BEHIND + 1 {
            table.put(Space::Presence, &key, Bytes::new(), Expected::Anything, now).unwrap();
        }
        let mut told = 0;
        while slow.next().await.is_some() {
            told += 1;
        }
        assert!(told <= MAX_BEHIND + 1, "{told}");
        assert!(table.shelf(Space::Presence).watchers.is_empty());
    }
}
