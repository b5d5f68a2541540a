//! What connectors remember, in the shared state.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_connector::{Notes, NotesUnavailable};
use chatbus_event::sha256_hex;
use chatbus_state::{Expected, Key, Space, State, StateError, StateErrorKind};

/// Notes under the hash of their key: keys of connectors are any text.
pub(super) struct StateNotes(Arc<dyn State>);

// === impl StateNotes ===

impl StateNotes {
    pub(super) fn new(state: Arc<dyn State>) -> Self {
        Self(state)
    }
}

#[async_trait]
impl Notes for StateNotes {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, NotesUnavailable> {
        let found = self.0.get(Space::Notes, &hashed(key)?).await.map_err(|error| unavailable(&error))?;
        Ok(found.map(|entry| entry.value))
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<(), NotesUnavailable> {
        let put = self.0.put(Space::Notes, &hashed(key)?, value, Expected::Anything).await;
        put.map(drop).map_err(|error| unavailable(&error))
    }

    async fn claim(&self, key: &str, value: Bytes) -> Result<bool, NotesUnavailable> {
        match self.0.put(Space::Notes, &hashed(key)?, value, Expected::Absent).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == StateErrorKind::Conflict => Ok(false),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn remove(&self, key: &str) -> Result<(), NotesUnavailable> {
        let removed = self.0.remove(Space::Notes, &hashed(key)?, Expected::Anything).await;
        removed.map_err(|error| unavailable(&error))
    }
}

impl std::fmt::Debug for StateNotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateNotes")
    }
}

fn hashed(key: &str) -> Result<Key, NotesUnavailable> {
    Key::parse(&format!("note.{}", sha256_hex(key.as_bytes())))
        .map_err(|error| NotesUnavailable(error.to_string()))
}

fn unavailable(error: &StateError) -> NotesUnavailable {
    NotesUnavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use chatbus_runtime::SystemClock;
    use chatbus_state::MemoryStateStore;

    use super::*;

    #[tokio::test]
    async fn of_several_who_claim_a_note_the_first_has_it_and_any_text_is_a_key() {
        let store = MemoryStateStore::new(Arc::new(SystemClock));
        let notes = StateNotes::new(store.open());
        let key = "discord session/../\u{1F40C}*.>";
        assert_eq!(notes.get(key).await, Ok(None));
        assert_eq!(notes.claim(key, Bytes::from_static(b"1")).await, Ok(true));
        assert_eq!(notes.claim(key, Bytes::from_static(b"2")).await, Ok(false));
        assert_eq!(notes.get(key).await, Ok(Some(Bytes::from_static(b"1"))));
        notes.put(key, Bytes::from_static(b"3")).await.unwrap();
        notes.remove(key).await.unwrap();
        assert_eq!(notes.get(key).await, Ok(None));
    }
}
