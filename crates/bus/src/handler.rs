//! Services as handlers: acknowledged only after what they published is.

mod batch;
mod conversations;
mod join;
mod policy;
mod publish;
mod run;
mod settle;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::{Attributes, Topic};

pub use batch::BatchLoop;
pub use policy::{HandlerPolicy, exhausted, next_settlement};
pub use run::HandlerLoop;

use crate::{Failure, Record};

/// A service: turns one message into others.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Its name: its group, and its label in logs and metrics.
    fn name(&self) -> &'static str;

    /// Handles one message. What it returns is published in order, each under the id
    /// `<input's messageId>/<step>`, before the input is acknowledged; so it may be called again
    /// for the same input, and must then return the same steps.
    ///
    /// # Errors
    /// See [`HandlerError`].
    async fn handle(&self, input: &Record) -> Result<Vec<Outgoing>, HandlerError>;
}

/// A service that takes what has come together: one trip to a store then serves many messages.
#[async_trait]
pub trait BatchHandler: Send + Sync {
    /// Its name: its group, and its label in logs and metrics.
    fn name(&self) -> &'static str;

    /// Handles messages of one topic, in their order; gives one answer for each, in the same order. What is
    /// said of [`Handler::handle`] holds for each of them: it may come again, alone or with others, and must
    /// then lead to the same steps.
    async fn handle(&self, inputs: &[&Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>>;

    /// Whether what it did of a message that leads to nothing is written down under the message's own id, so
    /// that the message may come again at any time and changes nothing. Such messages are acknowledged
    /// without waiting for the bus's word.
    fn is_recorded(&self) -> bool {
        false
    }

    /// How long a message waits for others, so that they are handled together. For whoever merely keeps what
    /// it reads: fewer and larger transactions are worth more to it than a few milliseconds.
    fn gathers(&self) -> Duration {
        Duration::ZERO
    }
}

/// Something a handler publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub topic: Topic,
    /// Names this output among those of its input, such as `enriched`.
    pub step: String,
    /// The attributes; `messageId` is set by the loop.
    pub attributes: Attributes,
    /// The event.
    pub body: Bytes,
}

/// Why a handler did not handle a message.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Something that passes: deliver it again with growing delay, at most MAX_DELIVERIES times.
    #[error("{0}")]
    Retry(String),
    /// Nothing of the message's own, as when the service stops before it could be handled: give it back
    /// untouched. It comes again at once and counts as nothing, so this is no answer while the service runs.
    #[error("{0}")]
    GiveBack(String),
    /// Something that never passes: make it a dead letter at once.
    #[error("{}: {}", .0.reason, .0.message)]
    GiveUp(Failure),
}
