//! Copying the log into the database beside the writer, so that no commit waits for it.
//!
//! A checkpoint while the writer goes on is never done: there is always more. So the checkpointer
//! copies in rounds until little is left, and the writer copies that little between two commits and
//! begins the log anew. The log stays small that way, its file is reused in place, and a recovery
//! after a kill has little to read.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::Connection;

/// Pages in the log at which copying begins: 8 MiB.
const BEGIN_PAGES: u32 = 2048;
/// Pages left at which the writer finishes: 1 MiB.
const FINISH_PAGES: u32 = 256;
/// Pages at which the writer finishes whatever is left: 64 MiB. Reached only when the disk cannot
/// keep up with what is published, which then has to wait.
const FORCE_PAGES: u32 = 16_384;
/// Rounds in which less than [`FINISH_PAGES`] should be left.
const ROUNDS: usize = 8;

/// What the writer and the checkpointer tell each other.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
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

// === impl Checkpoints ===

impl Checkpoints {
    /// Counts pages after each commit of this connection.
    pub(crate) fn watch(self: &Arc<Self>, db: &mut Connection) -> rusqlite::Result<()> {
        let this = Arc::clone(self);
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            this.pages.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// For the writer, between two commits: begins or finishes a checkpoint when it is time.
    pub(crate) fn after_commit(&self, db: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.finish.swap(false, Ordering::AcqRel) || pages >= FORCE_PAGES {
            // RESTART waits for readers, who take a millisecond, so that the next commit begins anew.
            match copy(db, "RESTART") {
                Ok((_, _)) => self.pages.store(0, Ordering::Relaxed),
                Err(error) => tracing::warn!(
                    event = "bus.checkpoint.failed",
                    errorCode = "sqlite",
                    reason = %error,
                    "the log could not be copied into the database"
                ),
            }
        } else if pages >= BEGIN_PAGES {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut wanted.copy, true) {
                drop(wanted);
                self.wake.notify_one();
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_one();
    }

    /// The checkpointer's thread.
    pub(crate) fn run(&self, db: &Connection) {
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
                Err(error) => {
                    tracing::warn!(
                        event = "bus.checkpoint.failed",
                        errorCode = "sqlite",
                        reason = %error,
                        "the log could not be copied into the database"
                    );
                    return;
                }
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
