//! What the threads are given to do.

use chatbus_store::{StoreError, StoreErrorKind};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::store_error;

/// Work on a connection, and who waits for what comes of it.
pub(super) trait Job: Send {
    /// Does the work. What fails is the answer; it is not given yet.
    fn run(&mut self, db: &Connection);

    /// Whether it is much, and nobody goes on only when it is done.
    fn is_bulk(&self) -> bool;

    /// Whether the work failed, so that what it wrote is to be taken back.
    fn has_failed(&self) -> bool;

    /// Gives the answer, once that what was written is on the disk; or that it is not.
    fn finish(self: Box<Self>, committed: Result<(), &str>);
}

/// A job of any kind.
pub(super) struct Call<T, W> {
    is_bulk: bool,
    work: Option<W>,
    answer: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

// === impl Call ===

impl<T, W> Call<T, W>
where
    W: FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    T: Send + 'static,
{
    /// A job, and where its answer comes.
    pub(super) fn make(work: W, is_bulk: bool) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { is_bulk, work: Some(work), answer: None, reply }), answer)
    }
}

impl<T, W> Job for Call<T, W>
where
    W: FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    T: Send + 'static,
{
    fn run(&mut self, db: &Connection) {
        if let Some(work) = self.work.take() {
            self.answer = Some(work(db).map_err(WorkError::into_store));
        }
    }

    fn is_bulk(&self) -> bool {
        self.is_bulk
    }

    fn has_failed(&self) -> bool {
        !matches!(self.answer, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, committed: Result<(), &str>) {
        let lost = |why: &str| Err(StoreError::new(StoreErrorKind::Unavailable, why));
        let answer = match (self.answer, committed) {
            (Some(Err(error)), _) => Err(error),
            (Some(answer), Ok(())) => answer,
            (_, Err(why)) => lost(why),
            (None, Ok(())) => lost("the store did not do it"),
        };
        // Who asked may not wait any more.
        drop(self.reply.send(answer));
    }
}

/// Why work failed.
#[derive(Debug)]
pub(super) enum WorkError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

// === impl WorkError ===

impl WorkError {
    fn into_store(self) -> StoreError {
        match self {
            Self::Sqlite(error) => store_error("do it", error),
            Self::Store(error) => error,
        }
    }
}

impl From<rusqlite::Error> for WorkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for WorkError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
