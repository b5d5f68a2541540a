//! What a connector has to remember over a restart, or shares with its like in other processes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

/// Small notes, kept in the shared state for 30 days after they were last written.
#[async_trait]
pub trait Notes: Send + Sync + std::fmt::Debug {
    /// The note under a key.
    ///
    /// # Errors
    /// When the state is out of reach.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, NotesUnavailable>;

    /// Writes one. A value has at most 32 KiB.
    ///
    /// # Errors
    /// When the state is out of reach, or does not take it.
    async fn put(&self, key: &str, value: Bytes) -> Result<(), NotesUnavailable>;

    /// Writes one where there is none; gives whether there was none. Of several who try at one moment, one
    /// hears `true`.
    ///
    /// # Errors
    /// When the state is out of reach, or does not take it.
    async fn claim(&self, key: &str, value: Bytes) -> Result<bool, NotesUnavailable>;

    /// Removes one.
    ///
    /// # Errors
    /// When the state is out of reach.
    async fn remove(&self, key: &str) -> Result<(), NotesUnavailable>;
}

/// The notes are out of reach; why, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shared state cannot be asked: {0}")]
pub struct NotesUnavailable(pub String);

/// Notes that end with the process.
#[derive(Debug, Default)]
pub struct MemoryNotes(Mutex<HashMap<String, Bytes>>);

// === impl MemoryNotes ===

#[async_trait]
impl Notes for MemoryNotes {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, NotesUnavailable> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<(), NotesUnavailable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
        Ok(())
    }

    async fn claim(&self, key: &str, value: Bytes) -> Result<bool, NotesUnavailable> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !notes.contains_key(key);
        if is_first {
            notes.insert(key.to_owned(), value);
        }
        Ok(is_first)
    }

    async fn remove(&self, key: &str) -> Result<(), NotesUnavailable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }
}
