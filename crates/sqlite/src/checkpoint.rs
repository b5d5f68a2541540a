//! Copying the log into the database beside the writer, so that no commit waits for it.
//!
//! A checkpoint while the writer goes on is never done: there is always more. So the checkpointer
//! copies in rounds until little is left, and the writer copies that little between two commits and
//! begins the log anew. The log stays small that way, its file is reused in place, and a recovery
//! after a kill has little to read.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use crate::PAGE_BYTES;

/// Pages in the log at which copying begins: 8 MiB.
const BEGIN_PAGES: u32 = 8 * 1024 * 1024 / PAGE_BYTES;
/// Pages left at which the writer finishes: 1 MiB.
const FINISH_PAGES: u32 = 1024 * 1024 / PAGE_BYTES;
/// Pages at which the writer finishes whatever is left: 64 MiB. Reached only when the disk cannot
/// keep up with what is written, which then has to wait.
const FORCE_PAGES: u32 = 64 * 1024 * 1024 / PAGE_BYTES;
/// Rounds in which less than [`FINISH_PAGES`] should be left.
const ROUNDS: usize = 8;

/// What is known of those who read the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// They take a millisecond: the writer waits for them, so that the next commit begins the log anew.
    Brief,
    /// They may take long, or be other processes: the log begins anew when it happens that none reads it.
    Long,
}

/// What the writer and the checkpointer tell each other.
#[derive(Debug)]
pub struct Checkpoints {
    readers: Readers,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// Pages in the log, as of the last commit.
    pages: AtomicU32,
    finish: AtomicBool,
}

#[derive(Debug, Default)]
struct Wanted {
    copy: bool,
    stop: bool,
}

// === impl Readers ===

impl Readers {
    fn last_copy(self) -> &'static str {
        match self {
            Self::Brief => "RESTART",
            Self::Long => "PASSIVE",
        }
    }
}

// === impl Checkpoints ===

impl Checkpoints {
    /// Of a database with such readers.
    pub fn new(readers: Readers) -> Self {
        Self {
            readers,
            wanted: Mutex::default(),
            wake: Condvar::new(),
            pages: AtomicU32::new(0),
            finish: AtomicBool::new(false),
        }
    }

    /// Counts pages after each commit of this connection, whose own checkpoints have to be off
    /// (`wal_autocheckpoint = 0`).
    ///
    /// # Errors
    /// SQLite's, when it takes no hook.
    pub fn watch(self: &Arc<Self>, db: &mut Connection) -> rusqlite::Result<()> {
        let this = Arc::clone(self);
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            this.pages.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// For the writer, between two commits: begins or finishes a checkpoint when it is time.
    pub fn after_commit(&self, db: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.finish.swap(false, Ordering::AcqRel) || pages >= FORCE_PAGES {
            match copy(db, self.readers.last_copy()) {
                Ok((_, _)) => self.pages.store(0, Ordering::Relaxed),
                Err(error) => report(db, &error),
            }
        } else if pages >= BEGIN_PAGES {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut wanted.copy, true) {
                drop(wanted);
                self.wake.notify_one();
            }
        }
    }

    /// Ends the checkpointer's thread.
    pub fn stop(&self) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_one();
    }

    /// The checkpointer's thread, with a connection of its own.
    pub fn run(&self, db: &Connection) {
        loop {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            while !wanted.copy && !wanted.stop {
                wanted = self.wake.wait(wanted).unwrap_or_else(PoisonError::into_inner);
            }
            if wanted.stop {
                return;
            }
            drop(wanted);
            self.copy_most(db);
            self.finish.store(true, Ordering::Release);
            self.wanted.lock().unwrap_or_else(PoisonError::into_inner).copy = false;
        }
    }

    fn copy_most(&self, db: &Connection) {
        for _ in 0..ROUNDS {
            match copy(db, "PASSIVE") {
                Ok((_, copied)) => {
                    if self.pages.load(Ordering::Relaxed).saturating_sub(copied) < FINISH_PAGES {
                        return;
                    }
                }
                Err(error) => return report(db, &error),
            }
        }
    }
}

/// Pages in the log, and pages of it that are copied.
fn copy(db: &Connection, how: &str) -> rusqlite::Result<(u32, u32)> {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    db.prepare_cached(&sql)?.query_row([], |row| {
        let number = |at| row.get::<_, i64>(at).map(|n| u32::try_from(n).unwrap_or(0));
        Ok((number(1)?, number(2)?))
    })
}

fn report(db: &Connection, error: &rusqlite::Error) {
    tracing::warn!(
        event = "sqlite.checkpoint.failed",
        errorCode = "sqlite",
        database = db.path().unwrap_or_default(),
        reason = %error,
        "the log could not be copied into the database"
    );
}
