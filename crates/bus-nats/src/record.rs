//! What a stream keeps, as a record; and what the server says of a delivery in its reply subject.

use bytes::Bytes;
use chatbus_bus::{Message, Record};
use chatbus_event::{Timestamp, Topic};

use crate::headers;

/// Where a delivered message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) stream_seq: u64,
    pub(crate) consumer_seq: u64,
    /// Deliveries of this message to this consumer, this one included.
    pub(crate) deliveries: u32,
    pub(crate) published_at: Timestamp,
}

// === impl Place ===

impl Place {
    /// Reads `$JS.ACK.[domain.account.]stream.consumer.deliveries.stream-seq.consumer-seq.time.pending[.more]`.
    pub(crate) fn read(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let tokens: Vec<&str> = rest.split('.').collect();
        let at = match tokens.len() {
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
        })
    }
}

/// The record of a message with these headers and body.
pub(crate) fn record(topic: Topic, seq: u64, published_at: Timestamp, block: &[u8], body: Bytes) -> Record {
    let headers = headers::read(block);
    let id = headers::message_id(&headers, &topic, seq);
    Record { message: Message { id, attributes: headers.attributes, body }, topic, seq, published_at }
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
        };
        for reply in [
            "$JS.ACK.S.C.2.12.34.1763700000123456789.5",
            "$JS.ACK.hub.hAsH.S.C.2.12.34.1763700000123456789.5",
            "$JS.ACK._.hAsH.S.C.2.12.34.1763700000123456789.5.rand",
        ] {
            assert_eq!(Place::read(reply), Some(place), "{reply}");
        }
        for other in ["", "$JS.ACK.S.C", "$JS.ACK.S.C.x.12.34.5.6", "_INBOX.a"] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }
}
