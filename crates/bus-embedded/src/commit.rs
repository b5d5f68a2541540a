//! One commit: everything that waited for the writer, in one transaction with one sync.
//!
//! While it runs, memory changes only where it can be put back: counters through
//! [`Topics::begin`], groups through [`Change`]s that are applied after the commit, ids through
//! [`Added`]. So a commit that fails leaves memory as the database is.

use std::collections::HashMap;
use std::sync::Arc;

use chatbus_bus::{BusError, BusErrorKind, Message, Stored};
use chatbus_event::Topic;
use rusqlite::{Connection, OptionalExtension as _};

use crate::codec;
use crate::dedupe::{Key, Window};
use crate::family;
use crate::group::{Change, Claim, Forgot, Group, Retried, Row};
use crate::seen::{self, Added, Block};
use crate::shared::{Command, Settle, Shared, to_sql};
use crate::table;
use crate::topics::Topics;

/// What a transaction works on.
pub(crate) struct Work<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) db: &'a Connection,
    pub(crate) topics: &'a mut Topics,
    pub(crate) window: &'a Window,
    pub(crate) block: &'a Block,
    pub(crate) now: Now,
    /// Blocks of `seen` to be removed.
    pub(crate) forget_blocks: Option<i64>,
}

/// The time of a commit: for people, and for the dedupe window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall_ms: i64,
    pub(crate) window_ms: i64,
}

/// What a transaction did, to be applied after the commit.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) answers: Vec<Answer>,
    pub(crate) groups: Vec<GroupDone>,
    pub(crate) seen: Added,
    /// What groups have already forgotten, in case the commit fails.
    pub(crate) forgotten: Vec<(Arc<Group>, u64, bool)>,
    /// The keys of this commit's messages.
    keys: HashMap<Key, u64>,
    added: Vec<(Key, u64)>,
    json: String,
}

/// What a command comes to, in the order of the commands.
#[derive(Debug)]
pub(crate) enum Answer {
    Stored { stored: Stored, topic: usize, size: u64 },
    Refused(BusError),
    Done,
}

#[derive(Debug)]
pub(crate) struct GroupDone {
    pub(crate) group: Arc<Group>,
    pub(crate) change: Change,
    pub(crate) mark: u64,
}

// === impl Work ===

impl Work<'_> {
    /// Runs the transaction up to and with its commit. What was done is in `done` either way, since
    /// what groups have forgotten must be put back after a failure.
    pub(crate) fn run(&mut self, commands: &[Command], done: &mut Done) -> rusqlite::Result<()> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for command in commands {
            let answer = self.one(command, done)?;
            done.answers.push(answer);
        }
        if let Some(upto) = self.forget_blocks {
            seen::forget(self.db, upto)?;
        }
        let keys = std::mem::take(&mut done.added);
        let fresh = self.window.begins_generation(self.now.window_ms);
        done.seen = seen::save(self.db, self.block, keys, fresh, self.now.wall_ms)?;
        self.retain(done)?;
        self.topics.save_touched(self.db)?;
        self.save_groups(done)?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn one(&mut self, command: &Command, done: &mut Done) -> rusqlite::Result<Answer> {
        match command {
            // What members of a deleted group say comes too late: the message is the next group's, and
            // so may the number be by which the tables know the group.
            Command::Settle { group, .. } | Command::Claim { group, .. } | Command::Gone { group, .. }
                if group.lock().is_deleted() =>
            {
                Ok(Answer::Done)
            }
            Command::Publish { topic, message, .. } => self.publish(topic, message, done),
            Command::Settle { group, seq, how, .. } => {
                self.settle(group, *seq, *how, done)?;
                Ok(Answer::Done)
            }
            Command::Claim { group, claim } => {
                let at = done.group(group);
                match claim {
                    Claim::Mark(mark) => done.groups[at].mark = done.groups[at].mark.max(*mark),
                    Claim::Rows(rows) => {
                        let sql = "INSERT INTO unsettled (consumer_group, seq, failures, deliveries, not_before) \
                                   VALUES (?1, ?2, 0, ?3, 0) ON CONFLICT DO UPDATE SET deliveries = excluded.deliveries";
                        let mut statement = self.db.prepare_cached(sql)?;
                        for (seq, deliveries) in rows {
                            statement.execute((group.id, to_sql(*seq), deliveries))?;
                        }
                    }
                }
                Ok(Answer::Done)
            }
            Command::Gone { group, seqs } => {
                done.group(group);
                for seq in seqs {
                    delete_row(self.db, group.id, *seq)?;
                }
                Ok(Answer::Done)
            }
            Command::Remove { topic, seq, .. } => {
                self.remove(topic, *seq, done)?;
                Ok(Answer::Done)
            }
            // Each in a transaction of its own.
            Command::Declare { .. } | Command::DeleteGroup { .. } => Ok(Answer::Done),
        }
    }

    fn publish(&mut self, topic: &Topic, message: &Message, done: &mut Done) -> rusqlite::Result<Answer> {
        let Some(at) = self.topics.find_or_make(self.db, &self.shared.prefix, topic)? else {
            let why = format!("publishing to {topic}: there are too many topics");
            return Ok(Answer::Refused(BusError::new(BusErrorKind::Refused, why)));
        };
        let (id, family) = (self.topics.get(at).id, topic.family());
        let key = Key::new(topic.as_str(), message.id.as_str());
        let head = self.topics.family(family).last_seq;
        let first = done.keys.get(&key).copied().or_else(|| self.window.find(key, head));
        if let Some(seq) = first {
            return Ok(Answer::Stored { stored: Stored { seq, duplicate: true }, topic: at, size: 0 });
        }
        codec::attributes_to_json(&message.attributes, &mut done.json);
        let size = table::size_of(message.id.as_str(), &done.json, &message.body);
        if family::holds(family)
            && self.topics.family(family).bytes.saturating_add(size) > self.shared.config.queue_bytes
        {
            let why = format!("publishing to {topic}: its family holds all it may until some is settled");
            return Ok(Answer::Refused(BusError::new(BusErrorKind::Full, why)));
        }
        let seq = self.topics.count_in(at, size, self.now.wall_ms);
        self.db.prepare_cached(&family::sql(family).insert)?.execute((
            to_sql(seq),
            id,
            self.now.wall_ms,
            message.id.as_str(),
            done.json.as_str(),
            &*message.body,
        ))?;
        done.keys.insert(key, seq);
        done.added.push((key, seq));
        Ok(Answer::Stored { stored: Stored { seq, duplicate: false }, topic: at, size })
    }

    fn settle(&mut self, group: &Arc<Group>, seq: u64, how: Settle, done: &mut Done) -> rusqlite::Result<()> {
        let at = done.group(group);
        match how {
            Settle::Ack => {
                done.groups[at].change.acked.push(seq);
                if family::holds(group.family) {
                    let size = group.lock().size_of(seq);
                    self.delete(group.family, group.topic_id, seq, size)?;
                }
            }
            Settle::Retry { after } => {
                // Far enough to be never, near enough to be a time.
                let after = after.min(std::time::Duration::from_secs(365 * 24 * 3600));
                let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
                done.groups[at].change.retried.push(Retried {
                    seq,
                    not_before_ms: self.now.wall_ms.saturating_add(millis),
                    due: self.shared.runtime.clock.instant() + after,
                });
            }
        }
        Ok(())
    }

    fn remove(&mut self, topic: &Topic, seq: u64, done: &mut Done) -> rusqlite::Result<()> {
        let Some(at) = self.topics.find(topic) else { return Ok(()) };
        let (id, family) = (self.topics.get(at).id, topic.family());
        let mut statement = self.db.prepare_cached(&family::sql(family).size)?;
        let size: Option<i64> = statement.query_row((to_sql(seq), id), |row| row.get(0)).optional()?;
        drop(statement);
        if let Some(size) = size {
            self.delete(family, id, seq, crate::shared::from_sql(size))?;
            self.forget(at, seq, false, done)?;
        }
        Ok(())
    }

    /// Deletes one message's row.
    pub(crate) fn delete(
        &mut self,
        family: chatbus_event::Family,
        topic_id: i64,
        seq: u64,
        size: u64,
    ) -> rusqlite::Result<()> {
        let deleted = self.db.prepare_cached(&family::sql(family).delete)?.execute([to_sql(seq)])?;
        if deleted > 0
            && let Some(at) = self.topics.find_id(topic_id)
        {
            self.topics.count_out(at, size);
        }
        Ok(())
    }

    /// Tells the groups of a topic that a message is there no more.
    pub(crate) fn forget(
        &mut self,
        at: usize,
        seq: u64,
        lost: bool,
        done: &mut Done,
    ) -> rusqlite::Result<()> {
        for group in &self.topics.get(at).groups {
            let forgot = group.lock().forget(seq, lost);
            if let Forgot::Unsettled { stored } = forgot {
                done.forgotten.push((Arc::clone(group), seq, lost));
                done.group(group);
                if stored {
                    delete_row(self.db, group.id, seq)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the groups that changed, and those whose members will find this commit's messages ready.
    fn save_groups(&mut self, done: &mut Done) -> rusqlite::Result<()> {
        let fresh: Vec<usize> =
            self.topics.touched().filter(|at| self.topics.published_since(*at) > 0).collect();
        for at in fresh {
            let entry = self.topics.get(at);
            for group in &entry.groups {
                let mark = group.lock().mark_with(entry.counters.last_seq);
                if mark > group.lock().mark {
                    let known = done.group(group);
                    done.groups[known].mark = done.groups[known].mark.max(mark);
                }
            }
        }
        let sql = "UPDATE consumer_group SET cursor = ?2, mark = ?3, settled = ?4, lost = ?5 WHERE id = ?1";
        let mut save_group = self.db.prepare_cached(sql)?;
        for GroupDone { group, change, mark } in &mut done.groups {
            let (settled, lost) = {
                let state = group.lock();
                state.plan(change);
                (state.settled + change.acked.len() as u64, state.lost)
            };
            for seq in &change.deleted_rows {
                delete_row(self.db, group.id, *seq)?;
            }
            for row in &change.rows {
                save_row(self.db, group.id, row)?;
            }
            save_group.execute((
                group.id,
                to_sql(change.cursor),
                to_sql(*mark),
                to_sql(settled),
                to_sql(lost),
            ))?;
        }
        Ok(())
    }
}

// === impl Done ===

impl Done {
    /// The place of a group among those that this commit changes.
    fn group(&mut self, group: &Arc<Group>) -> usize {
        if let Some(at) = self.groups.iter().position(|known| known.group.id == group.id) {
            return at;
        }
        let mark = group.lock().mark;
        self.groups.push(GroupDone { group: Arc::clone(group), change: Change::default(), mark });
        self.groups.len() - 1
    }
}

fn save_row(db: &Connection, group: i64, row: &Row) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO unsettled (consumer_group, seq, failures, deliveries, not_before) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?
        .execute((group, to_sql(row.seq), row.failures, row.deliveries, row.not_before_ms))
        .map(drop)
}

fn delete_row(db: &Connection, group: i64, seq: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM unsettled WHERE consumer_group = ?1 AND seq = ?2";
    db.prepare_cached(sql)?.execute((group, to_sql(seq))).map(drop)
}
