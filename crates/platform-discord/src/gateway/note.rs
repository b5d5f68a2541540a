//! What is remembered of a shard over a restart.
//!
//! Written after what it covers was handed over, so that a process that ends loses nothing of what Discord told:
//! the next one resumes the session, and hears again at most what the last moment before the end brought.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_connector::Notes;
use chatbus_event::{Timestamp, sha256_hex};
use chatbus_runtime::CancellationToken;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;

use super::life::Session;

/// A shard's session and what was heard in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) session: String,
    pub(crate) seq: u64,
    pub(crate) url: Option<String>,
    /// How many shards there were.
    pub(crate) total: u32,
    /// When all that was told was last known to be heard.
    pub(crate) at: Timestamp,
    /// The instance that holds the session; empty once it has let go.
    pub(crate) holder: String,
    /// The last message that was heard in each channel that is read.
    pub(crate) seen: BTreeMap<String, u64>,
}

/// A note is written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long writing or reading one may take.
const WITHIN: Duration = Duration::from_secs(5);
/// A holder that lives writes at least with every heartbeat, which are 41 seconds apart.
const HELD_FOR: Duration = Duration::from_secs(90);

// === impl Note ===

impl Default for Note {
    fn default() -> Self {
        Self {
            session: String::new(),
            seq: 0,
            url: None,
            total: 0,
            at: Timestamp::EPOCH,
            holder: String::new(),
            seen: BTreeMap::new(),
        }
    }
}

impl Note {
    pub(crate) fn session(&self) -> Session {
        Session { id: self.session.clone(), seq: self.seq, url: self.url.clone() }
    }

    /// Whether another instance may be using the session now.
    fn is_held(&self, instance: &str, now: Timestamp) -> bool {
        !self.holder.is_empty() && self.holder != instance && now.since(self.at) < HELD_FOR
    }
}

/// The key of a shard's note: nothing of the token can be learnt from it.
pub(crate) fn key(token: &SecretString, shard: u32) -> String {
    let hash = sha256_hex(token.expose_secret().as_bytes());
    format!("discord.gateway.{}.{shard}", hash.get(..16).unwrap_or_default())
}

/// The shard's note, and the key to write it under: another one while another instance uses the session, as two
/// cannot.
pub(crate) async fn recall(
    notes: &dyn Notes,
    key: String,
    instance: &str,
    now: Timestamp,
) -> (Option<Note>, String) {
    let found = read(notes, &key).await;
    if found.as_ref().is_none_or(|note| !note.is_held(instance, now)) {
        return (found, key);
    }
    let own = format!("{key}.{instance}");
    (read(notes, &own).await, own)
}

async fn read(notes: &dyn Notes, key: &str) -> Option<Note> {
    match tokio::time::timeout(WITHIN, notes.get(key)).await {
        Ok(Ok(bytes)) => serde_json::from_slice(&bytes?).ok(),
        Ok(Err(error)) => {
            warn!(event = "discord.gateway.note_unread", %error, "the last session is not known");
            None
        }
        Err(_) => {
            warn!(event = "discord.gateway.note_unread", "the last session is not known: no answer in time");
            None
        }
    }
}

/// Writes what is told, the latest only and not too often, until the teller is gone and the last one is written.
/// `over` ends the waits.
pub(crate) async fn write(
    notes: Arc<dyn Notes>,
    key: String,
    mut told: watch::Receiver<Option<Note>>,
    over: CancellationToken,
) {
    while told.changed().await.is_ok() {
        let note = told.borrow_and_update().clone();
        let Some(bytes) = note.and_then(|note| serde_json::to_vec(&note).ok()) else { continue };
        match tokio::time::timeout(WITHIN, notes.put(&key, Bytes::from(bytes))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(event = "discord.gateway.note_unwritten", %error, "a restart now would not resume");
            }
            Err(_) => warn!(event = "discord.gateway.note_unwritten", "a restart now would not resume"),
        }
        let _ = tokio::time::timeout(WRITE_EVERY, over.cancelled()).await;
    }
}

#[cfg(test)]
mod tests {
    use chatbus_connector::MemoryNotes;

    use super::*;

    fn note(holder: &str, seconds: i64) -> Note {
        let (session, at) = ("s".to_owned(), Timestamp::from_millis(seconds * 1000));
        Note { session, at, holder: holder.to_owned(), total: 1, ..Note::default() }
    }

    #[tokio::test]
    async fn a_session_that_another_instance_uses_is_left_to_it() {
        let now = Timestamp::from_millis(1_000_000);
        for (note, ours) in [
            (note("i-1", 999), true),
            (note("i-2", 999), false),
            (note("i-2", 100), true),
            (note("", 999), true),
        ] {
            let notes = MemoryNotes::default();
            notes.put("k", serde_json::to_vec(&note).unwrap().into()).await.unwrap();
            let (found, key) = recall(&notes, "k".to_owned(), "i-1", now).await;
            assert_eq!(
                (found.is_some(), &*key),
                if ours { (true, "k") } else { (false, "k.i-1") },
                "{note:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_note_is_written_however_soon_the_end_comes() {
        let notes = Arc::new(MemoryNotes::default());
        let (teller, told) = watch::channel(None);
        let over = CancellationToken::new();
        let writing = write(notes.clone(), "k".to_owned(), told, over.clone());
        let telling = async {
            for seconds in 0..5 {
                teller.send_replace(Some(note("i-1", seconds)));
                tokio::task::yield_now().await;
            }
            drop(teller);
            over.cancel();
        };
        tokio::join!(writing, telling);
        assert_eq!(read(&*notes, "k").await, Some(note("i-1", 4)));
    }
}
