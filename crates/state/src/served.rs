//! What is left of a gateway's presence when its user is gone: `<user in hex>.<epoch, hashed>`, which names
//! instance and epoch.
//!
//! Presence says where a user is; a trace says where else the user was, so that nobody who asks what a
//! user was sent passes that gateway over in silence. It is left **before** the presence is removed, and
//! read after it: whoever served the user is found at one of the two places. It goes by itself.

use bytes::Bytes;
use chatbus_event::sha256_hex;

use crate::{Expected, Key, Space, State, StateError, StateErrorKind};

/// One life of a gateway that served a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trace {
    /// The instance.
    pub instance: String,
    /// Its life.
    pub epoch: String,
}

/// Enough of a hash that no two lives are one.
const EPOCH_DIGITS: usize = 32;

// === impl Trace ===

impl Trace {
    /// Leaves it, for [`Space::ttl`] at least.
    ///
    /// # Errors
    /// When the state is out of reach or refuses.
    pub async fn leave(&self, state: &dyn State, user: &str) -> Result<(), StateError> {
        let Self { instance, epoch } = self;
        let key = format!("{}.{}", Key::hex(user), &sha256_hex(epoch.as_bytes())[..EPOCH_DIGITS]);
        let key = Key::parse(&key).map_err(|invalid| {
            StateError::new(StateErrorKind::Refused, format!("leaving a trace: {invalid}"))
        })?;
        // No instance id holds a dot.
        let value = Bytes::from(format!("{instance}.{epoch}"));
        state.put(Space::Served, &key, value, Expected::Anything).await.map(|_| ())
    }

    /// Those of a user.
    ///
    /// # Errors
    /// When the state is out of reach or refuses.
    pub async fn of(state: &dyn State, user: &str) -> Result<Vec<Self>, StateError> {
        let Ok(prefix) = Key::parse(&Key::hex(user)) else { return Ok(Vec::new()) };
        let entries = state.list(Space::Served, Some(&prefix)).await?;
        let read = |(_, entry): (Key, crate::Entry)| {
            let (instance, epoch) = std::str::from_utf8(&entry.value).ok()?.split_once('.')?;
            Some(Self { instance: instance.to_owned(), epoch: epoch.to_owned() })
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chatbus_runtime::SystemClock;

    use super::*;
    use crate::MemoryStateStore;

    #[tokio::test]
    async fn every_life_that_served_a_user_is_found_and_nobody_elses() {
        let state = MemoryStateStore::new(Arc::new(SystemClock)).open();
        let trace = |instance: &str, epoch: &str| Trace { instance: instance.into(), epoch: epoch.into() };
        let (first, second, other) = (trace("a", "e1"), trace("a", "any text. at all"), trace("b", "e3"));
        for (user, trace) in [("u", &first), ("u", &second), ("u", &second), ("u", &other), ("v", &other)] {
            trace.leave(&*state, user).await.unwrap();
        }
        let mut found = Trace::of(&*state, "u").await.unwrap();
        found.sort();
        let mut left = [first, second, other.clone()];
        left.sort();
        assert_eq!(found, left);
        assert_eq!(Trace::of(&*state, "v").await.unwrap(), [other]);
        assert_eq!(Trace::of(&*state, "").await.unwrap(), []);
        assert!(trace("a", "e").leave(&*state, &"u".repeat(200)).await.is_err(), "no user is so long");
        state.set_connected(false);
        assert!(Trace::of(&*state, "u").await.is_err(), "nobody is no answer");
    }
}
