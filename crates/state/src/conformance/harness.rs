//! What a driver gives the suite so that it can be opened, killed and cut off.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_runtime::Runtime;

use crate::State;

/// One fresh, empty backing store (a server, a folder, a value) and the handles opened on it.
/// Each promise is tested on a harness of its own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Clock, randomness and spawning for the suite itself.
    fn runtime(&self) -> Runtime;

    /// Opens the store, and waits until it is in reach. Called again with the same options it is
    /// another process where the driver can have several, else another handle of the same.
    async fn open_with(&self, options: OpenOptions) -> Arc<dyn State>;

    /// Ends every process that was opened as `kill -9` would, as nearly as the driver can.
    async fn crash(&self);
}

/// A harness that can take the server away. For drivers that have one.
#[async_trait]
pub trait Outage: Harness {
    /// Puts the store out of reach of every handle, and returns once that is so (a handle may take a
    /// while to notice). What is durable stays.
    async fn outage(&self);

    /// Brings it back.
    async fn restore(&self);
}

/// How to open a store. All opens of one store use the same time to live.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// BUS_PREFIX.
    pub prefix: String,
    /// Stands in for the time to live of every space that has one.
    pub ttl: Option<Duration>,
}

/// What the suite adds to every harness.
#[async_trait]
pub(super) trait HarnessExt {
    /// The store with nothing special.
    async fn open(&self) -> Arc<dyn State>;
}

#[async_trait]
impl<H: Harness + ?Sized> HarnessExt for H {
    async fn open(&self) -> Arc<dyn State> {
        self.open_with(OpenOptions::default()).await
    }
}
