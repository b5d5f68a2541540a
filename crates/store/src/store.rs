//! All repositories together.

use async_trait::async_trait;
use chatbus_event::Timestamp;
use tokio::sync::watch;

use crate::{Accounts, Channels, DeadLetters, Documents, Events, Sources, StoreError, Tokens, Users};

/// One database.
#[async_trait]
pub trait Store:
    Events + DeadLetters + Users + Tokens + Accounts + Documents + Sources + Channels + Send + Sync + 'static
{
    /// The id that was made with the database: two processes have one store when it is the same.
    fn id(&self) -> &str;

    /// Whether it serves processes of more than one machine.
    fn is_shared(&self) -> bool;

    /// Whether the database is in reach, as far as is known, now and whenever that changes.
    fn connected(&self) -> watch::Receiver<bool>;

    /// Removes what is past its time (events with their timelines, dead letters, what is raw, keys of sightings),
    /// at most so many in one call; gives how many went, so that who gets `limit` calls again.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Waits for what is being written, and releases what is held.
    async fn close(&self);
}
