//! What a driver gives the suite so that it can be opened, closed and cut off.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_runtime::Runtime;

use crate::Store;

/// One fresh, empty database and the stores opened on it. Each promise is tested on a harness of its own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Clock, randomness and spawning for the suite itself.
    fn runtime(&self) -> Runtime;

    /// Opens the database, and waits until it is in reach. Called again it is another process where the driver
    /// can have several, else another handle of the same.
    async fn open(&self) -> Arc<dyn Store>;
}

/// A harness that can take the database away. For drivers where that can happen.
#[async_trait]
pub trait Outage: Harness {
    /// Puts the database out of reach of every store, and returns once that is so (a store may take a while to
    /// notice). What was answered stays.
    async fn outage(&self);

    /// Brings it back.
    async fn restore(&self);
}
