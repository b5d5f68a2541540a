//! Deliveries that more than one instance has to do with: who decides how they end.
//!
//! The straight way needs no ledger: one instance sends, publishes the outcome and acknowledges, and a
//! redelivery finds that outcome. The ledger is for when that instance's lease was lost in between. Then
//! whoever writes first decides: the one that takes the delivery over, or the one that wakes up with a
//! verdict in its hands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_event::{ErrorInfo, Reason, sha256_hex};
use chatbus_runtime::{Backoff, Runtime};
use chatbus_state::{Expected, Key, Space, State};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::decide::Ending;

/// Who decides. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    state: Arc<dyn State>,
    runtime: Runtime,
    me: Arc<str>,
}

/// What stands in the ledger of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
enum Line {
    /// It was taken over, and goes on elsewhere.
    Claimed { by: String },
    /// It ended, as the instance found that had sent it.
    Done { by: String, ending: Told },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
enum Told {
    Sent { provider_message_id: Option<String> },
    Accepted,
    Failed { reason: String, code: String, message: String },
}

/// What became of an attempt to take a delivery over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It goes on with whoever asked.
    Ours,
    /// It ended so.
    Ended(Ending),
}

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

// === impl Ledger ===

impl Ledger {
    /// The ledger as this instance writes it.
    pub fn new(state: Arc<dyn State>, runtime: Runtime, me: &str) -> Self {
        Self { state, runtime, me: me.into() }
    }

    /// Takes a delivery over from an instance that is gone. Asks until it is answered.
    pub(crate) async fn claim(&self, delivery: &str) -> Claim {
        let line = Line::Claimed { by: self.me.to_string() };
        match self.write_first(delivery, &line).await {
            Line::Claimed { .. } => Claim::Ours,
            Line::Done { ending, .. } => Claim::Ended(ending.into()),
        }
    }

    /// Whether an instance whose lease was lost may still say how a delivery ended. Asks until it is
    /// answered.
    pub(crate) async fn decides(&self, delivery: &str, ending: &Ending) -> bool {
        let line = Line::Done { by: self.me.to_string(), ending: ending.into() };
        self.write_first(delivery, &line).await == line
    }

    /// Writes a line where there is none; gives the one that stands there then.
    async fn write_first(&self, delivery: &str, line: &Line) -> Line {
        let Ok(key) = Key::parse(&sha256_hex(delivery.as_bytes())) else { return line.clone() };
        let value: Bytes = serde_json::to_vec(line).unwrap_or_default().into();
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            let failed = match self.state.put(Space::Ledger, &key, value.clone(), Expected::Absent).await {
                Ok(_) => return line.clone(),
                Err(error) if error.is_conflict() => match self.state.get(Space::Ledger, &key).await {
                    // A line that nobody can read decides nothing; it is never written by us.
                    Ok(Some(entry)) => {
                        return serde_json::from_slice(&entry.value).unwrap_or_else(|_| line.clone());
                    }
                    // Forgotten in between.
                    Ok(None) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if backoff.attempts() == 0 {
                warn!(event = "egress.ledger_unwritten", deliveryId = delivery, reason = %failed, "not written yet");
            }
            tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await;
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("me", &self.me).finish_non_exhaustive()
    }
}

// === impl Told ===

impl From<&Ending> for Told {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::Sent { provider_message_id } => {
                Self::Sent { provider_message_id: provider_message_id.clone() }
            }
            Ending::Accepted => Self::Accepted,
            Ending::Failed { reason, error } => Self::Failed {
                reason: reason.as_str().to_owned(),
                code: error.code.clone(),
                message: error.message.clone(),
            },
        }
    }
}

impl From<Told> for Ending {
    fn from(told: Told) -> Self {
        match told {
            Told::Sent { provider_message_id } => Self::Sent { provider_message_id },
            Told::Accepted => Self::Accepted,
            Told::Failed { reason, code, message } => Self::Failed {
                reason: Reason::parse(&reason).unwrap_or(Reason::Rejected),
                error: ErrorInfo { code, message },
            },
        }
    }
}
