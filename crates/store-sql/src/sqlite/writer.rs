//! The writer's thread: the only one of this process that changes the database.
//!
//! It is a thread and no task because a commit waits for the disk. It takes all calls that wait, commits them as
//! one transaction, and only then answers. Each call has a savepoint: one that fails takes back what it wrote,
//! and nothing of the others.

use std::path::PathBuf;
use std::sync::Arc;

use chatbus_sqlite::Checkpoints;
use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use super::connection::{Role, connect};
use super::jobs::Job;

/// Calls in one commit at most. Larger groups gain little and make the first in them wait for the last.
const GROUP: usize = 64;

/// The thread's state.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) db: Connection,
    pub(super) jobs: mpsc::Receiver<Box<dyn Job>>,
    pub(super) connected: watch::Sender<bool>,
    pub(super) checkpoints: Arc<Checkpoints>,
}

// === impl Writer ===

impl Writer {
    /// Works until nobody can ask any more and nothing waits.
    pub(super) fn run(&mut self) {
        let mut small: Vec<Box<dyn Job>> = Vec::new();
        let mut bulk: Vec<Box<dyn Job>> = Vec::new();
        let mut was_small = false;
        loop {
            if small.is_empty() && bulk.is_empty() {
                let Some(first) = self.jobs.blocking_recv() else { return };
                if first.is_bulk() { &mut bulk } else { &mut small }.push(first);
            }
            while small.len() + bulk.len() < GROUP
                && let Ok(next) = self.jobs.try_recv()
            {
                if next.is_bulk() { &mut bulk } else { &mut small }.push(next);
            }
            // Whoever goes on only when it is done does not wait for all that is merely kept; both in turn, so
            // that neither waits for ever.
            was_small = !small.is_empty() && (bulk.is_empty() || !was_small);
            let mut group = std::mem::take(if was_small { &mut small } else { &mut bulk });
            let committed = self.commit(&mut group).map_err(|error| self.recover(&error));
            self.tell(committed.is_ok());
            let outcome = committed.as_ref().copied().map_err(String::as_str);
            group.drain(..).for_each(|job| job.finish(outcome));
            self.checkpoints.after_commit(&self.db);
        }
    }

    fn commit(&self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let db = &self.db;
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for job in group {
            db.prepare_cached("SAVEPOINT call")?.execute([])?;
            job.run(db);
            if job.has_failed() {
                // Where the disk is full SQLite has taken back everything already, and this says so.
                db.prepare_cached("ROLLBACK TO call")?.execute([])?;
            }
            db.prepare_cached("RELEASE call")?.execute([])?;
        }
        db.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Leaves the failed transaction, and the connection where that may help; says what happened.
    fn recover(&mut self, error: &rusqlite::Error) -> String {
        let why = format!("the store could not commit: {error}");
        tracing::error!(event = "store.commit.failed", errorCode = "sqlite", reason = %error, "the store could not commit");
        if !self.db.is_autocommit() && self.db.execute_batch("ROLLBACK").is_err() {
            let opened = connect(&self.path, Role::Writer).and_then(|mut db| {
                self.checkpoints.watch(&mut db)?;
                Ok(db)
            });
            match opened {
                Ok(db) => self.db = db,
                Err(error) => tracing::error!(
                    event = "store.reopen.failed", errorCode = "sqlite", reason = %error,
                    "the database could not be opened again"
                ),
            }
        }
        why
    }

    fn tell(&self, connected: bool) {
        self.connected.send_if_modified(|now| std::mem::replace(now, connected) != connected);
    }
}

#[cfg(test)]
mod tests {
    use chatbus_sqlite::Readers;
    use chatbus_store::StoreErrorKind;

    use super::super::connection::open;
    use super::super::jobs::Call;
    use super::*;

    /// A job that writes so many bytes, done by a writer that then ends.
    fn write(writer: &mut Writer, sizes: &[i64]) -> Vec<Option<StoreErrorKind>> {
        let (way, jobs) = mpsc::channel(16);
        writer.jobs = jobs;
        let answers: Vec<_> = sizes
            .iter()
            .map(|&size| {
                let (job, answer) = Call::make(
                    move |db: &Connection| {
                        db.execute("INSERT INTO raw VALUES (random(), zeroblob(?1), '', 0, 0)", [size])?;
                        Ok(())
                    },
                    false,
                );
                assert!(way.try_send(job).is_ok());
                answer
            })
            .collect();
        drop(way);
        writer.run();
        answers
            .into_iter()
            .map(|answer| answer.blocking_recv().unwrap().err().map(|error| error.kind()))
            .collect()
    }

    #[test]
    fn a_full_disk_is_unavailable_until_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let (db, _) = open(&path, "id").unwrap();
        // The number of pages stands in for the disk: 8 KiB each.
        db.pragma_update(None, "max_page_count", 150).unwrap();
        let (connected, jobs) = (watch::Sender::new(true), mpsc::channel(1).1);
        let checkpoints = Arc::new(Checkpoints::new(Readers::Long));
        let mut writer = Writer { path, db, jobs, connected, checkpoints };
        assert_eq!(write(&mut writer, &[500_000]), [None]);
        let full = Some(StoreErrorKind::Unavailable);
        assert_eq!(write(&mut writer, &[10, 1_000_000]), [full; 2], "SQLite takes back the whole group");
        assert!(!*writer.connected.borrow());
        assert_eq!(write(&mut writer, &[10]), [None]);
        assert!(*writer.connected.borrow());
        writer.db.execute("DELETE FROM raw", []).unwrap();
        assert_eq!(write(&mut writer, &[500_000]), [None]);
    }
}
