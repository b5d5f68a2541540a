//! The writer's thread: the only one that changes the database.
//!
//! It is a thread and no task because SQLite blocks: a commit waits for the disk. It takes all that
//! waits, commits it as one group, and only then answers. While it syncs, the next group gathers.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chatbus_bus::{BusError, BusErrorKind, Group as GroupName, Record, Stored, Subscription};
use chatbus_event::{Timestamp, Topic};
use chatbus_sqlite::Checkpoints;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::commit::{Answer, Done, Now, Work};
use crate::dedupe::Window;
use crate::error::{bus_error, closed, is_full};
use crate::family;
use crate::group::{Group, Stored as StoredGroup};
use crate::queue::Woken;
use crate::retention;
use crate::schema::{self, Role};
use crate::seen::{self, Block};
use crate::shared::{Command, Shared, to_sql};
use crate::topics::Topics;

/// Bounds of one commit. Larger ones gain little and make the first in them wait for the last.
const COMMIT_ITEMS: usize = 1024;
const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// How long after opening the ids of the window are read, if nobody publishes before.
const LOAD_AFTER: Duration = Duration::from_millis(50);

/// How long nothing but what is asked is tried after a commit failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    path: PathBuf,
    db: Connection,
    topics: Topics,
    window: Window,
    block: Block,
    checkpoints: Arc<Checkpoints>,
    forget_blocks: Option<i64>,
    /// Whether the last commit failed: retention then waits a while instead of trying at once.
    failing: bool,
    /// What the clock that does not jump said when the bus was opened.
    opened: std::time::Instant,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        path: PathBuf,
        db: Connection,
        topics: Topics,
        checkpoints: Arc<Checkpoints>,
    ) -> Self {
        let config = &shared.config;
        let window = Window::new(config.dedupe_window, config.dedupe_ids);
        let opened = shared.runtime.clock.instant();
        let block = Block::default();
        Self {
            shared,
            path,
            db,
            topics,
            window,
            block,
            checkpoints,
            forget_blocks: None,
            failing: false,
            opened,
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(&mut self) {
        // A full window takes a while to read, and only publishing needs it: what makes the
        // process ready, declaring groups, comes first.
        let mut loaded = false;
        let mut commands = Vec::with_capacity(COMMIT_ITEMS);
        loop {
            let timeout = if loaded { self.next_due() } else { Some(LOAD_AFTER) };
            let woken = self.shared.writes.take(&mut commands, COMMIT_ITEMS, COMMIT_BYTES, timeout);
            if woken == Woken::Closed || self.shared.killed.load(Ordering::Acquire) {
                return;
            }
            let publishes = commands.iter().any(|command| matches!(command, Command::Publish { .. }));
            if !loaded && (publishes || woken == Woken::TimedOut) {
                if let Err(error) = self.load_window() {
                    commands
                        .drain(..)
                        .for_each(|c| self.refuse(c, &|| bus_error("read its database", &error)));
                    return self.fail_forever(&error);
                }
                loaded = true;
            }
            self.work(&mut commands);
        }
    }

    /// Leaves the log as it is, as a killed process does, instead of copying it into the database.
    pub(crate) fn leave_log(&self) {
        drop(self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true));
    }

    fn load_window(&mut self) -> rusqlite::Result<()> {
        let now = self.now();
        self.block = Block::after_last(&self.db)?;
        let to_window_ms =
            |wall_ms: i64| now.window_ms.saturating_sub(now.wall_ms.saturating_sub(wall_ms).max(0));
        let ids = seen::load(&self.db, &mut self.window, to_window_ms)?;
        tracing::debug!(event = "bus.window_loaded", ids, "message ids of the dedupe window are read");
        Ok(())
    }

    /// The ids of the window cannot be read: going on would let repeats through.
    fn fail_forever(&mut self, error: &rusqlite::Error) {
        tracing::error!(
            event = "bus.failed",
            errorCode = "sqlite",
            reason = %error,
            "the embedded bus cannot read its database and stops"
        );
        self.shared.begin_close("the embedded bus cannot read its database");
        let mut commands = Vec::new();
        while self.shared.writes.take(&mut commands, COMMIT_ITEMS, COMMIT_BYTES, None) == Woken::Items {
            let why = || bus_error("read its database", error);
            commands.drain(..).for_each(|command| self.refuse(command, &why));
        }
    }

    fn now(&self) -> Now {
        let clock = &self.shared.runtime.clock;
        let passed = clock.instant().saturating_duration_since(self.opened);
        Now {
            wall_ms: clock.now().as_millis(),
            window_ms: i64::try_from(passed.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// How long the thread may sleep when nothing is asked of it.
    fn next_due(&self) -> Option<Duration> {
        let now = self.now();
        let retention = retention::due_in_ms(&self.topics, &self.shared.config, now.wall_ms);
        let window = self.window.next_expiry_ms().map(|at| at.saturating_sub(now.window_ms));
        let due = retention.into_iter().chain(window).min()?;
        let due = Duration::from_millis(u64::try_from(due).unwrap_or(0));
        Some(if self.failing { due.max(PAUSE_AFTER_FAILURE) } else { due })
    }

    fn work(&mut self, commands: &mut Vec<Command>) {
        let (upto, early) = self.window.expire(self.now().window_ms);
        self.forget_blocks = self.forget_blocks.max(upto);
        if early {
            tracing::warn!(
                event = "bus.dedupe.full",
                reason = "too_many_ids",
                "more messages came within the dedupe window than ids are remembered"
            );
        }
        // A group must not get what was published before it was declared, in the same commit or not;
        // and what was settled before a group is deleted is settled.
        let mut group = Vec::with_capacity(commands.len());
        for command in commands.drain(..) {
            match command {
                Command::Declare { subscriptions, reply } => {
                    self.commit(std::mem::take(&mut group));
                    // Nobody waits for the answer any more: nothing is lost, the groups are there.
                    drop(reply.send(self.declare(&subscriptions)));
                }
                Command::DeleteGroup { topic, name, reply } => {
                    self.commit(std::mem::take(&mut group));
                    answer_with(reply, self.delete_group(&topic, &name));
                }
                command => group.push(command),
            }
        }
        self.commit(group);
        if !self.shared.killed.load(Ordering::Acquire) {
            self.checkpoints.after_commit(&self.db);
        }
    }

    /// Commits a group, and answers.
    fn commit(&mut self, commands: Vec<Command>) {
        let now = self.now();
        let idle = self.forget_blocks.is_none()
            && retention::due_in_ms(&self.topics, &self.shared.config, now.wall_ms) != Some(0);
        if commands.is_empty() && idle {
            return;
        }
        let error = match self.attempt(&commands, now) {
            Ok(done) => return self.apply(commands, done, now),
            Err(error) => error,
        };
        self.failed(&error);
        let why = || bus_error("store messages", &error);
        let (publishes, others): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| matches!(command, Command::Publish { .. }));
        let mixed = !publishes.is_empty();
        publishes.into_iter().for_each(|command| self.refuse(command, &why));
        // What was settled may make the very room that is missing.
        if mixed && !others.is_empty() {
            match self.attempt(&others, now) {
                Ok(done) => self.apply(others, done, now),
                Err(error) => {
                    self.failed(&error);
                    let why = || bus_error("settle messages", &error);
                    others.into_iter().for_each(|command| self.refuse(command, &why));
                }
            }
        } else {
            others.into_iter().for_each(|command| self.refuse(command, &why));
        }
    }

    fn attempt(&mut self, commands: &[Command], now: Now) -> rusqlite::Result<Done> {
        let mut done = Done::default();
        self.topics.begin();
        let mut work = Work {
            shared: &self.shared,
            db: &self.db,
            topics: &mut self.topics,
            window: &self.window,
            block: &self.block,
            now,
            forget_blocks: self.forget_blocks,
        };
        match work.run(commands, &mut done) {
            Ok(()) => {
                self.forget_blocks = None;
                Ok(done)
            }
            Err(error) => {
                self.topics.put_back();
                for (group, seq, lost) in &done.forgotten {
                    group.lock().remember(*seq, *lost);
                }
                Err(error)
            }
        }
    }

    /// Leaves the failed transaction, and the connection where that may help.
    fn failed(&mut self, error: &rusqlite::Error) {
        self.failing = true;
        tracing::error!(
            event = "bus.commit.failed",
            errorCode = if is_full(error) { "full" } else { "sqlite" },
            reason = %error,
            "the embedded bus could not commit; the messages of this group are refused"
        );
        let rolled_back = self.db.is_autocommit() || self.db.execute_batch("ROLLBACK").is_ok();
        if !rolled_back || !is_full(error) {
            let max_pages = self.shared.config.max_pages;
            match schema::connect(&self.path, Role::Writer, max_pages) {
                Ok(mut db) => {
                    if let Err(error) = self.checkpoints.watch(&mut db) {
                        tracing::warn!(event = "bus.reopen.failed", errorCode = "sqlite", reason = %error, "no checkpoints");
                    }
                    self.db = db;
                }
                Err(error) => tracing::error!(
                    event = "bus.reopen.failed",
                    errorCode = "sqlite",
                    reason = %error,
                    "the database could not be opened again"
                ),
            }
        }
        self.shared.set_status(Some(format!("the last commit failed: {error}")));
    }

    /// The commit is on disk: memory follows, members are given what is new, and all are answered.
    fn apply(&mut self, commands: Vec<Command>, done: Done, now: Now) {
        let Done { answers, groups, seen, .. } = done;
        seen.apply(&mut self.window, &mut self.block, now.window_ms);
        for known in &groups {
            let mut state = known.group.lock();
            state.mark = state.mark.max(known.mark);
            state.settled(&known.change);
        }
        let published_at = Timestamp::from_millis(now.wall_ms);
        let mut fresh: Vec<(usize, Vec<(Record, u64)>)> = Vec::new();
        let mut stored_any = false;
        // Members first: whoever is told that a message is stored finds it everywhere.
        let mut replies = Vec::with_capacity(answers.len());
        for (command, answer) in commands.into_iter().zip(answers) {
            match (command, answer) {
                (Command::Publish { topic, message, reply }, Answer::Stored { stored, topic: at, size }) => {
                    if !stored.duplicate {
                        stored_any = true;
                        if !self.topics.get(at).groups.is_empty() {
                            let record = Record { topic, seq: stored.seq, published_at, message };
                            match fresh.iter_mut().find(|(known, _)| *known == at) {
                                Some((_, records)) => records.push((record, size)),
                                None => fresh.push((at, vec![(record, size)])),
                            }
                        }
                    }
                    replies.push((reply, Ok(stored)));
                }
                (Command::Publish { reply, .. }, Answer::Refused(error)) => replies.push((reply, Err(error))),
                (Command::Settle { reply, .. } | Command::Remove { reply, .. }, _) => {
                    answer_with(reply, Ok(()));
                }
                (Command::Claim { group, claim }, _) => group.lock().claimed(&claim, true),
                _ => {}
            }
        }
        for (at, records) in fresh {
            self.offer(at, records);
        }
        if stored_any {
            self.shared.commits.send_modify(|n| *n = n.wrapping_add(1));
        }
        self.failing = false;
        self.shared.set_status(None);
        replies.into_iter().for_each(|(reply, answer)| answer_with(reply, answer));
    }

    fn offer(&self, at: usize, records: Vec<(Record, u64)>) {
        let groups = &self.topics.get(at).groups;
        let Some((last, others)) = groups.split_last() else { return };
        for group in others {
            group.lock().offer(records.iter().map(|(record, size)| (Cow::Borrowed(record), *size)));
        }
        last.lock().offer(records.into_iter().map(|(record, size)| (Cow::Owned(record), size)));
    }

    /// Answers a command that was not done.
    fn refuse(&self, command: Command, why: &dyn Fn() -> BusError) {
        match command {
            Command::Publish { reply, .. } => answer_with::<Stored>(reply, Err(why())),
            Command::Settle { group, seq, reply, .. } => {
                group.lock().not_settled(seq);
                answer_with(reply, Err(why()));
            }
            Command::Claim { group, claim } => group.lock().claimed(&claim, false),
            Command::Remove { reply, .. } | Command::DeleteGroup { reply, .. } => {
                answer_with(reply, Err(why()));
            }
            Command::Declare { reply, .. } => answer_with(reply, Err(why())),
            Command::Gone { .. } => {}
        }
    }

    fn declare(&mut self, subscriptions: &[Subscription]) -> Result<Vec<Arc<Group>>, BusError> {
        let mut groups = Vec::with_capacity(subscriptions.len());
        for wanted in subscriptions {
            let known = self.topics.find(&wanted.topic).and_then(|at| {
                let mut known = self.topics.get(at).groups.iter();
                known.find(|group| group.lock().name == wanted.group).cloned()
            });
            groups.push(match known {
                Some(group) => group,
                None => self.make_group(wanted)?,
            });
        }
        Ok(groups)
    }

    fn make_group(&mut self, wanted: &Subscription) -> Result<Arc<Group>, BusError> {
        let Subscription { topic, group: name, .. } = wanted;
        let holds = family::holds(topic.family());
        if holds
            && let Some(at) = self.topics.find(topic)
            && let Some(owner) = self.topics.get(at).groups.first()
        {
            let owner = owner.lock().name.clone();
            let why = format!("joining {topic} as {name}: it is read by {owner}, and a queue has one group");
            return Err(BusError::new(BusErrorKind::Refused, why));
        }
        self.topics.begin();
        match self.insert_group(wanted, name, holds) {
            Ok(Some(group)) => {
                self.shared.add_group(Arc::clone(&group));
                Ok(group)
            }
            Ok(None) => {
                self.topics.put_back();
                let why = format!("joining {topic} as {name}: there are too many topics");
                Err(BusError::new(BusErrorKind::Refused, why))
            }
            Err(error) => {
                self.topics.put_back();
                self.failed(&error);
                Err(bus_error("declare a group", &error))
            }
        }
    }

    fn delete_group(&mut self, topic: &Topic, name: &GroupName) -> Result<(), BusError> {
        let Some(at) = self.topics.find(topic) else { return Ok(()) };
        let of_name = |group: &Arc<Group>| group.lock().name == *name;
        let Some(place) = self.topics.get(at).groups.iter().position(of_name) else { return Ok(()) };
        let group = Arc::clone(&self.topics.get(at).groups[place]);
        if let Err(error) = self.delete_rows(group.id) {
            self.failed(&error);
            return Err(bus_error("delete a group", &error));
        }
        self.topics.get_mut(at).groups.remove(place);
        self.shared.remove_group(&group);
        group.lock().delete();
        Ok(())
    }

    fn delete_rows(&self, group: i64) -> rusqlite::Result<()> {
        let tx = self.db.unchecked_transaction()?;
        tx.execute("DELETE FROM unsettled WHERE consumer_group = ?1", [group])?;
        tx.execute("DELETE FROM consumer_group WHERE id = ?1", [group])?;
        tx.commit()
    }

    fn insert_group(
        &mut self,
        wanted: &Subscription,
        name: &GroupName,
        holds: bool,
    ) -> rusqlite::Result<Option<Arc<Group>>> {
        let tx = self.db.unchecked_transaction()?;
        let Some(at) = self.topics.find_or_make(&tx, &self.shared.prefix, &wanted.topic)? else {
            return Ok(None);
        };
        let (topic_id, counters) = (self.topics.get(at).id, self.topics.get(at).counters);
        // A queue's group has to settle all that is there, a log's group nothing that is.
        let settled = if holds {
            let sql = format!(
                "SELECT count(*) FROM message_{} WHERE topic = ?1",
                family::name(wanted.topic.family())
            );
            let kept: i64 = tx.query_row(&sql, [topic_id], |row| row.get(0))?;
            counters.published.saturating_sub(crate::shared::from_sql(kept))
        } else {
            counters.published
        };
        let cursor = if holds { 0 } else { counters.last_seq };
        let sql = "INSERT INTO consumer_group (topic, name, cursor, mark, settled, lost) VALUES (?1, ?2, ?3, ?3, ?4, 0)";
        tx.execute(sql, (topic_id, name.as_str(), to_sql(cursor), to_sql(settled)))?;
        let id = tx.last_insert_rowid();
        tx.commit()?;
        let stored = StoredGroup {
            name: name.clone(),
            cursor,
            mark: cursor,
            settled,
            lost: 0,
            published: counters.published,
            head: counters.last_seq,
            unsettled: Vec::new(),
        };
        let group = Arc::new(Group::new(id, wanted.topic.clone(), topic_id, stored));
        self.topics.get_mut(at).groups.push(Arc::clone(&group));
        Ok(Some(group))
    }
}

/// Nobody may wait for the answer any more; what was done stays done.
fn answer_with<T>(reply: crate::shared::Reply<T>, answer: Result<T, BusError>) {
    drop(reply.send(answer));
}

impl Drop for Writer {
    /// However the thread ends, nobody waits for it for ever.
    fn drop(&mut self) {
        self.shared.begin_close("the embedded bus has stopped");
        let mut left = Vec::new();
        while self.shared.writes.take(&mut left, COMMIT_ITEMS, COMMIT_BYTES, None) == Woken::Items {
            left.drain(..).for_each(|command| self.refuse(command, &closed));
        }
    }
}
