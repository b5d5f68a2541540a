//! Taking part in conversations: each once, whichever instance hears of it first.
//!
//! A note says when somebody began to join, so that another goes on with what a process left undone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chatbus_connector::{Notes, NotesUnavailable};
use chatbus_event::Timestamp;
use tracing::{info, warn};

use crate::PLATFORM;
use crate::api::Api;
use crate::verdict::{Class, Refusal};

/// Conversations that are known to have been joined; beyond that it is looked up again.
const JOINED_KEPT: usize = 10_000;
/// The note of a conversation that was joined, or never can be.
const OVER: &[u8] = b"over";
/// Whoever began to join and has not come to an end after so long is gone.
const JOIN_WITHIN: Duration = Duration::from_secs(60);

/// Whose turn it is to join a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Ours,
    Others,
    Over,
}

/// Makes the bot take part.
#[derive(Debug)]
pub(crate) struct Joining {
    api: Arc<Api>,
    /// Who it is in conversations; without one it joins none.
    identity: Option<String>,
    notes: Arc<dyn Notes>,
    joined: Mutex<HashSet<String>>,
}

// === impl Joining ===

impl Joining {
    pub(crate) fn new(api: Arc<Api>, identity: Option<String>, notes: Arc<dyn Notes>) -> Self {
        Self { api, identity, notes, joined: Mutex::new(HashSet::new()) }
    }

    /// Joins once, whichever instance hears of the conversation first; says whether it need not be tried again.
    pub(crate) async fn join(&self, conversation: &str, now: Timestamp) -> bool {
        let Some(identity) = self.identity.as_deref() else { return true };
        if self.joined.lock().unwrap_or_else(PoisonError::into_inner).contains(conversation) {
            return true;
        }
        let key = format!("twilio.joined.{conversation}");
        match self.turn(&key, now).await {
            Ok(Turn::Ours) => {}
            Ok(Turn::Others) => return true,
            Ok(Turn::Over) => {
                self.remember(conversation);
                return true;
            }
            Err(error) => {
                warn!(event = "twilio.conversation.not_joined", platform = PLATFORM, conversation, %error);
                return false;
            }
        }
        let joined = self.api.join(conversation, identity).await;
        let (noted, is_over) = match &joined {
            Err(refusal) if !matches!(refusal.class, Class::Permanent(_)) => {
                (self.notes.remove(&key).await, false)
            }
            // What never works is over too.
            _ => (self.notes.put(&key, Bytes::from_static(OVER)).await, true),
        };
        match joined {
            Ok(()) => {
                info!(event = "twilio.conversation.joined", platform = PLATFORM, conversation, "joined");
            }
            Err(Refusal { code, message, .. }) => {
                warn!(
                    event = "twilio.conversation.not_joined",
                    platform = PLATFORM,
                    conversation,
                    code,
                    message
                );
            }
        }
        if let Err(error) = noted {
            warn!(event = "twilio.conversation.not_noted", platform = PLATFORM, conversation, %error);
        } else if is_over {
            self.remember(conversation);
        }
        is_over
    }

    /// Whose turn it is, noted where it is ours.
    async fn turn(&self, key: &str, now: Timestamp) -> Result<Turn, NotesUnavailable> {
        let began = Bytes::from(now.as_millis().to_string());
        if self.notes.claim(key, began.clone()).await? {
            return Ok(Turn::Ours);
        }
        let turn = Turn::of(self.notes.get(key).await?.as_deref(), now);
        if turn == Turn::Ours {
            self.notes.put(key, began).await?;
        }
        Ok(turn)
    }

    fn remember(&self, conversation: &str) {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if joined.len() >= JOINED_KEPT {
            joined.clear();
        }
        joined.insert(conversation.to_owned());
    }
}

// === impl Turn ===

impl Turn {
    /// What a note says: when somebody began to join, or that it is over. What was begun and abandoned may have
    /// been done, and doing it again does no harm.
    fn of(note: Option<&[u8]>, now: Timestamp) -> Self {
        match note {
            Some(OVER) => Self::Over,
            Some(began) => {
                let began = std::str::from_utf8(began).ok().and_then(|ms| ms.parse().ok());
                let began = Timestamp::from_millis(began.unwrap_or_default());
                if now.since(began) > JOIN_WITHIN { Self::Ours } else { Self::Others }
            }
            // It was removed a moment ago, as it failed: the next event is whose turn it is.
            None => Self::Others,
        }
    }
}
