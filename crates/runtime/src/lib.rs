//! What is ambient elsewhere, passed as a value here: clock, randomness, spawning, stopping, backoff.
//!
//! A component takes a [`Runtime`]. In production the supervisor of the binary makes it; in tests
//! `chatbus-testkit` does, with fake time and seeded randomness.

mod backoff;
mod fence;
pub mod settings;
mod system;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use backoff::Backoff;
pub use fence::Fence;
pub use system::{SystemClock, SystemEntropy};
pub use tokio_util::sync::CancellationToken;

use chatbus_event::{Clock, Entropy};

/// A task, boxed so that it can be handed over.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Starts tasks. Only the supervisor's implementation calls the executor, so every task has a
/// name, an owner and a place in the drain.
pub trait Spawner: Send + Sync + fmt::Debug {
    /// Starts `task`. `name` is a stable dotted name for logs, such as `twitch.irc`.
    fn spawn(&self, name: &'static str, task: Task);
}

/// Clock, randomness, spawning and the stop signal of one process.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Starts tasks.
    pub spawner: Arc<dyn Spawner>,
    /// Cancelled when the process begins to stop: take nothing new, finish what is in hand.
    pub stop: CancellationToken,
}

// === impl Runtime ===

impl Runtime {
    /// Starts a task; see [`Spawner::spawn`].
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(name, Box::pin(task));
    }
}
