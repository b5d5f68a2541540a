//! The driver: opens, hands work to the threads, closes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusErrorKind, BusStatus, Consumer, DeadLettering, Lag, Message, Publish, Receipt, Record,
    Records, Scan, Subscription, Waiting, limits,
};
use chatbus_event::{Family, Timestamp, Topic};
use chatbus_runtime::Runtime;
use chatbus_sqlite::{Checkpoints, Readers};
use chatbus_state::State;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{oneshot, watch};

use crate::consumer::EmbeddedConsumer;
use crate::error::closed;
use crate::group::Group;
use crate::queue::Refused;
use crate::reader::Reader;
use crate::scan::EmbeddedRecords;
use crate::schema::{self, Role};
use crate::shared::{Command, Read, Reply, Shared};
use crate::subject::Prefix;
use crate::topics::Topics;
use crate::writer::Writer;
use crate::{DataLock, EmbeddedConfig, OpenError, load, state};

/// SQLite needs far less; the default of two megabytes is for unknown recursion.
const STACK_BYTES: usize = 512 * 1024;

/// The embedded bus. Closing it, or dropping the last of it and of its members, ends its threads and
/// frees the lock.
#[derive(Debug)]
pub struct EmbeddedBus {
    shared: Arc<Shared>,
    state: Arc<state::Shared>,
    threads: Arc<Threads>,
}

/// The bus's threads, joined when the last holder goes.
#[derive(Debug)]
pub(crate) struct Threads {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Resolves when the writer, which ends last, has ended.
    ended: watch::Receiver<bool>,
}

// === impl EmbeddedBus ===

impl EmbeddedBus {
    /// Locks DATA_DIR, opens or makes the database in `DATA_DIR/bus`, and starts the threads.
    /// `dead_lettering` goes into every delivery.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        config: EmbeddedConfig,
        dead_lettering: Arc<dyn DeadLettering>,
        runtime: Runtime,
    ) -> Result<Arc<Self>, OpenError> {
        let lock = DataLock::acquire(&config.dir)?;
        Self::open_locked(config, lock, dead_lettering, runtime)
    }

    /// The same for whoever holds the lock of `config.dir` already. The bus keeps it until it is closed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_locked(
        config: EmbeddedConfig,
        lock: DataLock,
        dead_lettering: Arc<dyn DeadLettering>,
        runtime: Runtime,
    ) -> Result<Arc<Self>, OpenError> {
        let prefix = Prefix::parse(&config.prefix)?;
        let path = config.dir.join("bus").join(prefix.file_name());
        let max_pages = config.max_pages;
        let database = |path: &PathBuf| {
            let path = path.clone();
            move |source| OpenError::Database { path, source }
        };
        let mut db = schema::open(&path, max_pages)?;
        let checkpoints = Arc::new(Checkpoints::new(Readers::Brief));
        checkpoints.watch(&mut db).map_err(database(&path))?;
        let mut topics = Topics::load(&db, &prefix).map_err(database(&path))?;
        let groups = load::groups(&db, &mut topics, &runtime).map_err(database(&path))?;
        let reader_db = side_connection(&path, Role::Reader).map_err(database(&path))?;
        let checkpoint_db = side_connection(&path, Role::Checkpointer).map_err(database(&path))?;
        let state_path = path.with_file_name(prefix.state_file_name());
        let (state, mut state_writer) =
            state::Shared::open(&state_path, &config, Arc::clone(&runtime.clock))?;
        let shared = Arc::new(Shared::new(config, prefix, runtime, dead_lettering, groups));

        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
            builder.spawn(work).map_err(|source| OpenError::Io { path: path.clone(), source })
        };
        let copier = Arc::clone(&checkpoints);
        let copying = spawn("bus-checkpoint", Box::new(move || copier.run(&checkpoint_db)))?;
        let mut reader = Reader::new(Arc::clone(&shared), reader_db);
        let reading = spawn("bus-read", Box::new(move || reader.run()))?;
        let writing_state = spawn("state-write", Box::new(move || state_writer.run()))?;
        let (ending, ended) = watch::channel(false);
        let mut writer = Writer::new(Arc::clone(&shared), path.clone(), db, topics, Arc::clone(&checkpoints));
        let (for_writer, for_state) = (Arc::clone(&shared), Arc::clone(&state));
        let writing = spawn(
            "bus-write",
            Box::new(move || {
                writer.run();
                // The others first: the last connection to close copies the log and removes it.
                for_writer.reads.close();
                checkpoints.stop();
                for_state.begin_close();
                for thread in [reading, copying, writing_state] {
                    if thread.join().is_err() {
                        tracing::error!(event = "bus.thread_failed", "a thread of the embedded bus panicked");
                    }
                }
                if for_writer.killed.load(Ordering::Acquire) {
                    writer.leave_log();
                }
                drop(writer);
                drop(lock);
                ending.send_replace(true);
            }),
        )?;
        let writer = Mutex::new(Some(writing));
        let threads = Threads { shared: Arc::clone(&shared), writer, ended };
        Ok(Arc::new(Self { shared, state, threads: Arc::new(threads) }))
    }

    /// The shared state in the same DATA_DIR. It ends with the bus.
    pub fn state(&self) -> Arc<dyn State> {
        self.state.handle()
    }

    /// Ends the bus as `kill -9` would: what waits is not committed, nothing is copied or tidied up.
    /// For tests of what a kill leaves behind.
    pub async fn kill(&self) {
        self.shared.killed.store(true, Ordering::Release);
        self.state.kill();
        self.shared.begin_close("killed");
        self.threads.ended().await;
    }
}

/// Has the writer make what groups are missing.
pub(crate) async fn declared(
    shared: &Shared,
    subscriptions: Vec<Subscription>,
) -> Result<Vec<Arc<Group>>, BusError> {
    let (reply, answer) = oneshot::channel();
    let command = Command::Declare { subscriptions, reply };
    shared.writes.push_bounded_elsewhere(command).map_err(|_| closed())?;
    answer.await.unwrap_or_else(|_| Err(closed()))
}

/// A connection that leaves tidying up to the writer's, which is closed last.
fn side_connection(path: &std::path::Path, role: Role) -> rusqlite::Result<Connection> {
    let db = schema::connect(path, role, None)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

/// Asks the reader.
pub(crate) async fn ask<T>(shared: &Shared, request: impl FnOnce(Reply<T>) -> Read) -> Result<T, BusError> {
    let (reply, answer) = oneshot::channel();
    match shared.reads.push(request(reply), 1) {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(closed())),
        Err(Refused::Closed) => Err(closed()),
        Err(Refused::Full) => {
            Err(BusError::new(BusErrorKind::Refused, "too much is being read from the embedded bus"))
        }
    }
}

impl Publish for EmbeddedBus {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        let (size, limit) = (message.body.len(), self.shared.config.max_message_bytes);
        if size > limit {
            let why = format!("publishing to {topic}: {size} bytes are over the limit of {limit}");
            return Receipt::ready(Err(BusError::new(BusErrorKind::TooLarge, why)));
        }
        let (reply, answer) = oneshot::channel();
        // The attributes and the bookkeeping count as well.
        let cost = size + 1024;
        match self.shared.writes.push(Command::Publish { topic: topic.clone(), message, reply }, cost) {
            Ok(()) => Receipt::oneshot(answer),
            Err(Refused::Closed) => Receipt::ready(Err(closed())),
            Err(Refused::Full) => {
                let why = format!("publishing to {topic}: too much waits for the disk");
                Receipt::ready(Err(BusError::new(BusErrorKind::Full, why)))
            }
        }
    }

    fn max_message_bytes(&self) -> usize {
        self.shared.config.max_message_bytes
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        declared(&self.shared, subscriptions.to_vec()).await.map(drop)
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let groups = declared(&self.shared, vec![subscription.clone()]).await?;
        let group = groups.into_iter().next().ok_or_else(closed)?;
        let (shared, threads) = (Arc::clone(&self.shared), Arc::clone(&self.threads));
        Ok(Box::new(EmbeddedConsumer::new(shared, group, subscription, threads)))
    }

    async fn scan(&self, scan: Scan) -> Result<Box<dyn Records>, BusError> {
        let (shared, threads) = (Arc::clone(&self.shared), Arc::clone(&self.threads));
        Ok(Box::new(EmbeddedRecords::begin(shared, scan, threads).await?))
    }

    async fn fetch(&self, topic: &Topic, seq: u64) -> Result<Option<Record>, BusError> {
        let topic = topic.clone();
        ask(&self.shared, |reply| Read::Fetch { topic, seq, reply }).await
    }

    async fn remove(&self, topic: &Topic, seq: u64) -> Result<(), BusError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Remove { topic: topic.clone(), seq, reply };
        self.shared.writes.push_bounded_elsewhere(command).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.shared.status.subscribe()
    }

    async fn lag(&self) -> Result<Vec<Lag>, BusError> {
        let groups = self.shared.groups();
        let standings: Vec<_> = groups.iter().map(|group| group.lock().standing()).collect();
        let firsts = groups.iter().zip(&standings).map(|(group, s)| (Arc::clone(group), s.first)).collect();
        let ages = ask(&self.shared, |reply| Read::Ages { firsts, reply }).await?;
        let now = self.shared.runtime.clock.now();
        let lag = |((group, standing), at_ms): ((&Arc<Group>, crate::group::Standing), Option<i64>)| Lag {
            family: group.family,
            topic: group.topic.clone(),
            group: standing.name,
            pending: standing.pending,
            in_flight: standing.in_flight,
            oldest: at_ms
                .filter(|_| standing.pending > 0)
                .map(|at_ms| now.since(Timestamp::from_millis(at_ms))),
            lost: standing.lost,
        };
        Ok(groups.iter().zip(standings).zip(ages).map(lag).collect())
    }

    async fn waiting(&self, family: Family) -> Result<Vec<Waiting>, BusError> {
        if !crate::family::holds(family) {
            return Ok(Vec::new());
        }
        let counts = ask(&self.shared, |reply| Read::Counts { family, reply }).await?;
        let entry = |(topic, messages): (Topic, u64)| {
            (topic.clone(), Waiting { topic, messages, groups: Vec::new() })
        };
        let mut waiting: BTreeMap<Topic, Waiting> = counts.into_iter().map(entry).collect();
        for group in self.shared.groups().iter().filter(|group| group.family == family) {
            let none = || Waiting { topic: group.topic.clone(), messages: 0, groups: Vec::new() };
            let name = group.lock().name.clone();
            waiting.entry(group.topic.clone()).or_insert_with(none).groups.push(name);
        }
        Ok(waiting.into_values().take(limits::MAX_WAITING).collect())
    }

    async fn delete_group(&self, topic: &Topic, group: &chatbus_bus::Group) -> Result<(), BusError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::DeleteGroup { topic: topic.clone(), name: group.clone(), reply };
        self.shared.writes.push_bounded_elsewhere(command).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn close(&self) {
        self.shared.begin_close("the bus is closed");
        self.threads.ended().await;
    }
}

// === impl Threads ===

impl Threads {
    async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the writer's thread is gone, which is the same.
        drop(ended.wait_for(|ended| *ended).await);
    }
}

impl Drop for Threads {
    /// Waits for the last commit, a few milliseconds, so that the folder can be opened again.
    fn drop(&mut self) {
        self.shared.begin_close("the bus was dropped");
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(event = "bus.thread_failed", "a thread of the embedded bus panicked");
        }
    }
}
