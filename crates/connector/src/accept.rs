//! Where something is put that must be known to be safe before anybody is told.

use async_trait::async_trait;

use crate::Inbound;

/// Takes one event and waits until it is safe: for clients that are told so.
#[async_trait]
pub trait Accept: Send + Sync {
    /// Publishes it, and resolves once it is on the bus or synced in the spool. Events of one
    /// conversation keep the order in which the returned futures were first polled. Dropping the
    /// future gives up the answer, not the event.
    async fn accept(&self, event: Inbound) -> Accepted;
}

/// What became of an accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// On the bus, acknowledged.
    Bus,
    /// The bus had one with the same id within its dedupe window; this one was dropped.
    Duplicate,
    /// Synced in the spool on disk; it goes to the bus in its turn.
    Spooled,
    /// Neither, and it never will be: why, for people.
    Refused(String),
}
