//! What a driver implements.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{Key, Space, StateError};

/// The shared state. See the crate's documentation for what is promised.
#[async_trait]
pub trait State: Send + Sync + 'static {
    /// What stands under a key.
    ///
    /// # Errors
    /// When the state is out of reach or refuses.
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError>;

    /// Writes, when what stands there is what is expected. An entry past its time to live may count as
    /// absent or as present, until it is forgotten.
    ///
    /// # Errors
    /// [`Conflict`](crate::StateErrorKind::Conflict) when it is not; else when the state is out of
    /// reach, refuses, or gave no answer.
    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError>;

    /// Removes, when what stands there is what is expected. Removing what is absent is no error when
    /// that is expected, or anything is.
    ///
    /// # Errors
    /// As [`State::put`].
    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError>;

    /// The entries of a space whose keys are under `prefix`, or all, by key.
    ///
    /// # Errors
    /// When the state is out of reach or refuses.
    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError>;

    /// Tells what is in a space, and what changes there.
    ///
    /// # Errors
    /// When the state is out of reach or refuses.
    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError>;

    /// Whether the state is in reach, as far as is known, now and whenever that changes.
    fn connected(&self) -> watch::Receiver<bool>;

    /// Stops, and releases what is held.
    async fn close(&self);
}

/// A watch.
#[async_trait]
pub trait Changes: Send {
    /// The next change; `None` once the watch is over. Safe to drop while waiting.
    async fn next(&mut self) -> Option<Change>;
}

/// When an entry was written, in the order of all writes of its space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// When it was written.
    pub revision: Revision,
}

/// What a write depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Anything,
    /// That nothing stands there.
    Absent,
    /// That this write stands there.
    At(Revision),
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This stands there now.
    Set(Key, Entry),
    /// Nothing stands there any more.
    Removed(Key),
    /// Everything that was there when the watch began has been told.
    Current,
}
