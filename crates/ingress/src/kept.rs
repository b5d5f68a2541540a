//! An event while the pipeline answers for it: from the socket to the bus's acknowledgement.
//!
//! Publishing takes the attributes away by value, yet a resend and the spool need them again. They
//! are therefore packed into one block when the event arrives, which costs one allocation where a
//! copy of them would cost one for each.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_bus::Message;
use chatbus_connector::Inbound;
use chatbus_event::{Attributes, MessageId, Timestamp};

use crate::pack::{pack, unpack};

/// What is kept of an event until the bus has it; also what the spool holds. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The dedupe id.
    pub(crate) id: MessageId,
    /// The attributes, packed.
    pub(crate) attributes: Bytes,
    /// The envelope.
    pub(crate) body: Bytes,
    /// What order holds within. Nothing is decided by it here, since all events keep one order; it
    /// is written down for whoever reads a spool.
    pub(crate) conversation: Arc<str>,
    /// When it was read, by the wall clock: all that is left of its age after a restart.
    pub(crate) received_at: Timestamp,
    /// The platform it came from, a label.
    pub(crate) platform: &'static str,
    /// Where it goes.
    pub(crate) route: Route,
}

/// Where an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the topic of what platforms said.
    Ingress,
    /// To the dead letters: this is what stands for an event that the bus can never take.
    DeadLetter,
}

// === impl Kept ===

impl Kept {
    /// Packs an event, and gives its attributes back for the first publish.
    pub(crate) fn new(platform: &'static str, inbound: Inbound) -> (Self, Attributes) {
        let Inbound { id, attributes, body, conversation, received_at } = inbound;
        let packed = pack(&attributes);
        let kept =
            Self { id, attributes: packed, body, conversation, received_at, platform, route: Route::Ingress };
        (kept, attributes)
    }

    /// The message as it was first published.
    pub(crate) fn message(&self) -> Message {
        Message { id: self.id.clone(), attributes: unpack(&self.attributes), body: self.body.clone() }
    }

    /// About how much memory it holds.
    pub(crate) fn size(&self) -> usize {
        self.body.len() + self.attributes.len() + self.id.as_str().len() + OVERHEAD_BYTES
    }
}

/// The structs and counters around an event's bytes.
const OVERHEAD_BYTES: usize = 200;
