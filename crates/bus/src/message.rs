//! What is published, and what is read back.

use bytes::Bytes;
use chatbus_event::{Attributes, MessageId, Timestamp, Topic};

/// Something to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The dedupe id on its topic.
    pub id: MessageId,
    /// Small named texts for routing; the body is the truth.
    pub attributes: Attributes,
    /// The event, usually JSON, passed on untouched.
    pub body: Bytes,
}

/// A message as the bus holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its topic, without prefix.
    pub topic: Topic,
    /// Its place: grows with every message of the topic's family; not dense.
    pub seq: u64,
    /// When the bus accepted it.
    pub published_at: Timestamp,
    /// The message. A third party that set no id gets one made from topic and `seq`.
    pub message: Message,
}

// === impl Message ===

impl Message {
    /// A message.
    pub fn new(id: MessageId, attributes: Attributes, body: impl Into<Bytes>) -> Self {
        Self { id, attributes, body: body.into() }
    }
}
