//! The threads: one that writes, one that copies the log into the database, and a few that read.
//!
//! A database call blocks on the disk, which the executor must not.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use chatbus_sqlite::{Checkpoints, Readers};
use chatbus_store::{StoreError, StoreErrorKind};
use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use super::connection::{Role, connect};
use super::error::opening_error;
use super::jobs::Job;
use super::writer::Writer;

/// SQLite needs far less; the default of two megabytes is for unknown recursion.
const STACK_BYTES: usize = 512 * 1024;

/// Two, so that a search through all that was said does not keep a short look-up waiting.
const READERS: usize = 2;

/// Calls that may wait for one kind of thread.
const BACKLOG: usize = 256;

/// The ways to the threads. When both are dropped the threads end, the last of them after what waits is done.
pub(super) struct Ways {
    pub(super) writes: mpsc::Sender<Box<dyn Job>>,
    pub(super) reads: mpsc::Sender<Box<dyn Job>>,
    /// Closed once every thread has ended.
    pub(super) ended: watch::Receiver<()>,
}

type Jobs = Arc<Mutex<mpsc::Receiver<Box<dyn Job>>>>;

/// Starts them over the writer's connection.
pub(super) fn start(
    path: &Path,
    mut db: Connection,
    connected: watch::Sender<bool>,
) -> Result<Ways, StoreError> {
    let (writes, jobs) = mpsc::channel(BACKLOG);
    let (reads, read_jobs) = mpsc::channel(BACKLOG);
    let (ending, ended) = watch::channel(());
    let read_jobs: Jobs = Arc::new(Mutex::new(read_jobs));
    for _ in 0..READERS {
        let db =
            connect(path, Role::Reader).map_err(|error| opening_error("open its file for reading", error))?;
        let (jobs, ending) = (Arc::clone(&read_jobs), ending.clone());
        spawn("store-read", move || {
            read(&db, &jobs);
            drop(ending);
        })?;
    }
    // A search through all that was said takes long, and other processes of the machine may read too.
    let checkpoints = Arc::new(Checkpoints::new(Readers::Long));
    checkpoints.watch(&mut db).map_err(|error| opening_error("watch its log", error))?;
    let checkpoint_db = connect(path, Role::Checkpointer)
        .map_err(|error| opening_error("open its file for checkpoints", error))?;
    let (copier, copier_ending) = (Arc::clone(&checkpoints), ending.clone());
    spawn("store-checkpoint", move || {
        copier.run(&checkpoint_db);
        drop(checkpoint_db);
        drop(copier_ending);
    })?;
    let mut writer = Writer { path: path.to_owned(), db, jobs, connected, checkpoints };
    spawn("store-write", move || {
        writer.run();
        writer.checkpoints.stop();
        drop(writer);
        drop(ending);
    })?;
    Ok(Ways { writes, reads, ended })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let started = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work);
    started.map(drop).map_err(|error| {
        let why = format!("the store cannot start a thread: {error}");
        StoreError::new(StoreErrorKind::Unavailable, why).caused_by(error)
    })
}

fn read(db: &Connection, jobs: &Jobs) {
    loop {
        // Whoever waits for work holds the lock; the others wait for the lock.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(mut job) = job else { return };
        job.run(db);
        job.finish(Ok(()));
    }
}
