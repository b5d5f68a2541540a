//! The reading half of a platform.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::{Attributes, MessageId, Timestamp};
use chatbus_runtime::Runtime;

use crate::{Share, Sink, Status, Webhook};

/// A platform, configured and not yet running.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Its name, such as `twitch`: a label in metrics, logs and paths.
    fn platform(&self) -> &'static str;

    /// Its state, shared with whoever shows it.
    fn status(&self) -> Status;

    /// Its saying half; the same one at every call.
    fn sink(&self) -> Arc<dyn Sink>;

    /// Its part of its account's limits, where it heeds one; the same one at every call.
    fn share(&self) -> Option<Share> {
        None
    }

    /// Its part that is called over HTTP, where it has one; the same one at every call.
    fn webhook(&self) -> Option<Arc<dyn Webhook>> {
        None
    }

    /// All channels that are to be joined beside the configured ones, in the platform's form or as
    /// people write them: what is no longer among them is left, what is new is joined, and one that was
    /// taken out and is added again is tried again even if the platform refused it. The configured ones
    /// stay joined whatever it says.
    ///
    /// Called before the connector runs and whenever the list changes, with the whole list each time.
    /// Returns at once; [`Connector::status`] tells what became of it. A platform takes a bounded number,
    /// the first ones of the list, and says in its status that it left some out. Does nothing where
    /// channels are not joined.
    fn set_channels(&self, added: Vec<String>) {
        drop(added);
    }

    /// Connects, reads and reconnects until `runtime.stop` is cancelled. It stops reading then,
    /// but keeps its connection for what the sink still has in hand, until `drained` is cancelled.
    async fn run(
        self: Arc<Self>,
        runtime: Runtime,
        emit: Arc<dyn Emit>,
        drained: chatbus_runtime::CancellationToken,
    );
}

/// Something a platform said, normalised and encoded, ready for the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The dedupe id, derived from the platform's own id, so that two instances that read the same
    /// message publish it once.
    pub id: MessageId,
    /// The attributes of contract section 3, `messageId` and `ce-*` included.
    pub attributes: Attributes,
    /// The envelope, encoded.
    pub body: Bytes,
    /// What order holds within: the channel, or whatever stands for it.
    pub conversation: Arc<str>,
    /// When it was read from the socket.
    pub received_at: Timestamp,
}

/// Where a connector puts what it read.
#[async_trait]
pub trait Emit: Send + Sync {
    /// Takes events in order. It waits only for a bounded queue before the publisher, never for the
    /// bus: the socket is always read.
    async fn emit(&self, events: Vec<Inbound>) -> Emitted;
}

/// What became of emitted events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emitted {
    /// Taken: on the bus or in the spool soon, or counted as dropped.
    Taken,
    /// The publisher has stopped; nothing more will be taken.
    Stopped,
}
