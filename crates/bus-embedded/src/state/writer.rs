//! The thread that writes to the disk: a thread and no task, because a commit waits for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_state::{Entry, Key, Revision, Space, StateError, StateErrorKind};

use super::file::File;
use super::{Shared, Write};
use crate::queue::Woken;

/// Bounds of one commit.
const COMMIT_ITEMS: usize = 1024;
const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// The thread's state.
#[derive(Debug)]
pub(crate) struct StateWriter {
    shared: Arc<Shared>,
    file: File,
    /// The largest revision there ever was.
    revision: u64,
    ttl: Option<Duration>,
    forget_at: Option<Instant>,
}

/// What a group of writes does, not yet told to anybody.
#[derive(Default)]
struct Group {
    done: Vec<(Space, Key, Option<Entry>)>,
    /// What stands under the keys that the group has written.
    now: BTreeMap<(Space, Key), Option<Revision>>,
    revision: u64,
}

// === impl StateWriter ===

impl StateWriter {
    pub(super) fn new(shared: Arc<Shared>, file: File, revision: u64, ttl: Option<Duration>) -> Self {
        Self { shared, file, revision, ttl, forget_at: None }
    }

    /// Writes until the state is closed and nothing waits.
    pub(crate) fn run(&mut self) {
        let mut batch = Vec::new();
        while self.shared.writes.take(&mut batch, COMMIT_ITEMS, COMMIT_BYTES, None) != Woken::Closed {
            if self.shared.killed.load(Ordering::Acquire) {
                self.file.leave_log();
                return;
            }
            self.write(std::mem::take(&mut batch));
        }
        if self.shared.killed.load(Ordering::Acquire) {
            self.file.leave_log();
        }
    }

    /// One transaction; answers after its commit.
    fn write(&mut self, batch: Vec<Write>) {
        let mut group = Group { revision: self.revision, ..Group::default() };
        let mut answers = Vec::with_capacity(batch.len());
        let committed = self.file.begin().and_then(|()| {
            for write in &batch {
                answers.push(self.one(&mut group, write)?);
            }
            self.tidy()?;
            self.file.commit(group.revision)
        });
        if let Err(error) = committed {
            self.file.roll_back();
            tracing::warn!(event = "state.not_written", reason = %error, "the embedded state could not write");
            for write in batch {
                let why = format!("writing {}: {error}", write.key);
                let _ = write.reply.send(Err(StateError::new(StateErrorKind::Refused, why)));
            }
            return;
        }
        self.revision = group.revision;
        let instant = self.shared.clock.instant();
        {
            let mut table = self.shared.table();
            for (space, key, entry) in group.done {
                match entry {
                    Some(entry) => table.insert(space, &key, entry, instant),
                    None => table.take(space, &key),
                }
            }
        }
        for (write, answer) in batch.into_iter().zip(answers) {
            // Who asked may not wait any more.
            let _ = write.reply.send(answer);
        }
    }

    /// Does one write within the transaction.
    ///
    /// # Errors
    /// When the file fails, and with it the whole group; that a write is refused is an answer.
    fn one(&self, group: &mut Group, write: &Write) -> rusqlite::Result<Result<Revision, StateError>> {
        let at = (write.space, write.key.clone());
        let there = match group.now.get(&at) {
            Some(there) => *there,
            None => {
                let table = self.shared.table();
                table.get(at.0, &at.1, self.shared.clock.instant()).map(|entry| entry.revision)
            }
        };
        if let Err(conflict) = write.expected.check(&write.key, there) {
            return Ok(Err(conflict));
        }
        let Some(value) = &write.value else {
            if there.is_some() {
                self.file.remove(write.space, &write.key)?;
                group.done.push((write.space, write.key.clone(), None));
                group.now.insert(at, None);
            }
            return Ok(Ok(Revision(group.revision)));
        };
        if let Err(refused) = self.shared.table().check_room(write.space, &write.key, value) {
            return Ok(Err(refused));
        }
        group.revision += 1;
        let revision = Revision(group.revision);
        self.file.put(write.space, &write.key, value, revision.0, self.shared.clock.now())?;
        let entry = Entry { value: Bytes::clone(value), revision };
        group.done.push((write.space, write.key.clone(), Some(entry)));
        group.now.insert(at, Some(revision));
        Ok(Ok(revision))
    }

    /// Now and then removes what is past its time to live from memory and file.
    fn tidy(&mut self) -> rusqlite::Result<()> {
        let durable = Space::ALL.into_iter().filter(|space| space.is_durable());
        let shortest = durable.filter_map(|space| space.ttl().map(|own| self.ttl.unwrap_or(own))).min();
        let Some(shortest) = shortest else { return Ok(()) };
        let instant = self.shared.clock.instant();
        if self.forget_at.is_some_and(|at| instant < at) {
            return Ok(());
        }
        self.forget_at = Some(instant + shortest / 4);
        self.shared.table().sweep(instant);
        self.file.forget(self.shared.clock.now(), self.ttl)
    }
}
