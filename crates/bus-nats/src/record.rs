//! What a stream keeps, as a record; and what the server says of a delivery in its reply subject.

use bytes::Bytes;
use chatbus_bus::{Message, Record};
use chatbus_event::{Attributes, MessageId, Timestamp, Topic};
use memchr::memchr_iter;

use crate::headers;

/// Where a delivered message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) stream_seq: u64,
    pub(crate) consumer_seq: u64,
    /// Deliveries of this message to this consumer, this one included.
    pub(crate) deliveries: u32,
    pub(crate) published_at: Timestamp,
    /// Messages for this consumer that wait behind it.
    pub(crate) pending: u64,
}

// === impl Place ===

impl Place {
    /// Reads `$JS.ACK.[domain.account.]stream.consumer.deliveries.stream-seq.consumer-seq.time.pending[.more]`.
    pub(crate) fn read(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let mut tokens = [""; 9];
        let mut count = 0;
        let mut from = 0;
        for dot in memchr_iter(b'.', rest.as_bytes()).chain([rest.len()]) {
            if let Some(token) = tokens.get_mut(count) {
                *token = &rest[from..dot];
            }
            (count, from) = (count + 1, dot + 1);
        }
        let at = match count {
            7 => 2,
            n if n >= 9 => 4,
            _ => return None,
        };
        let nanos: i64 = tokens[at + 3].parse().ok()?;
        Some(Self {
            deliveries: tokens[at].parse().ok()?,
            stream_seq: tokens[at + 1].parse().ok()?,
            consumer_seq: tokens[at + 2].parse().ok()?,
            published_at: Timestamp::from_millis(nanos / 1_000_000),
            pending: tokens[at + 4].parse().ok()?,
        })
    }
}

/// The record of a message with these headers and body.
pub(crate) fn record(topic: Topic, seq: u64, published_at: Timestamp, block: &[u8], body: Bytes) -> Record {
    let (id, attributes) = described(&topic, seq, block);
    Record { message: Message { id, attributes, body }, topic, seq, published_at }
}

/// What a message's headers and its place say of it.
pub(crate) fn described(topic: &Topic, seq: u64, block: &[u8]) -> (MessageId, Attributes) {
    let headers = headers::read(block);
    (headers::message_id(&headers, topic, seq), headers.attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_with_and_without_a_domain() {
        let place = Place {
            stream_seq: 12,
            consumer_seq: 34,
            deliveries: 2,
            published_at: Timestamp::from_millis(1_763_700_000_123),
            pending: 5,
        };
        for reply in [
            "$JS.ACK.S.C.2.12.34.1763700000123456789.5",
            "$JS.ACK.hub.hAsH.S.C.2.12.34.1763700000123456789.5",
            "$JS.ACK._.hAsH.S.C.2.12.34.1763700000123456789.5.rand",
            "$JS.ACK._.hAsH.S.C.2.12.34.1763700000123456789.5.rand.and.more",
        ] {
            assert_eq!(Place::read(reply), Some(place), "{reply}");
        }
        for other in [
            "",
            "$JS.ACK.",
            "$JS.ACK.S.C",
            "$JS.ACK.S.C.2.12.34.5",
            "$JS.ACK.S.C.2.12.34.5.6.7",
            "$JS.ACK.S.C.x.12.34.5.6",
            "$JS.ACK.S.C..12.34.5.6",
            "_INBOX.a",
        ] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }
}
