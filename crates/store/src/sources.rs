//! Where events come from, and how that is.

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::StoreError;

/// What became known of a source. What is `None` stays; one that is older than what is known changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceChange {
    /// The platform.
    pub platform: String,
    /// The account or the broadcaster there.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// The connection: `CONNECTED`, `DISCONNECTED`, …
    pub status: Option<String>,
    /// Whether a stream is on: `ONLINE` or `OFFLINE`.
    pub stream: Option<String>,
    /// The name as shown.
    pub display_name: Option<String>,
    /// More about it: a JSON object.
    pub detail: Option<Bytes>,
}

/// A source as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The platform.
    pub platform: String,
    /// The account or the broadcaster there.
    pub id: String,
    /// The connection, and when that was told.
    pub status: Option<(String, Timestamp)>,
    /// Whether a stream is on, and when that was told.
    pub stream: Option<(String, Timestamp)>,
    /// The name as shown.
    pub display_name: Option<String>,
    /// A JSON object.
    pub detail: Option<Bytes>,
}

/// Sources. They are written with [`Events::record`](crate::Events::record).
#[async_trait]
pub trait Sources: Send + Sync {
    /// All sources, by platform and id.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn sources(&self) -> Result<Vec<SourceRow>, StoreError>;
}
