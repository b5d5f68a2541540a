//! The message that is published again and again, under ever new ids.

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use chatbus_bus::{Message, Record};
use chatbus_event::{Attributes, MessageId, Topic, names};

/// A message to make others from.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    topic: Topic,
    attributes: Attributes,
    body: Bytes,
    /// Begins every id, so that two runs never make the same.
    run: String,
}

/// With its id and attributes about 1.2 KiB, as an envelope of a line of chat is.
const BODY_BYTES: usize = 850;

// === impl Sample ===

impl Sample {
    /// One as long as an envelope of a line of chat.
    pub(super) fn typical(run: &str) -> Self {
        let id = "3e8b9f7c-0000-4000-8000-000000000000";
        let attributes = [
            (names::CORRELATION_ID, id),
            (names::TYPE, "chat.message.v1"),
            (names::SOURCE, "ingress.twitch"),
            (names::MESSAGE_ID, id),
            (names::CHANNEL, "#my_channel"),
            (names::CE_ID, id),
            (names::CE_TYPE, "chat.message.v1"),
            (names::CE_SOURCE, "ingress.twitch"),
            (names::CE_SPECVERSION, "1.0"),
        ];
        Self {
            topic: Topic::ingress(),
            attributes: attributes.into_iter().collect(),
            body: vec![b'x'; BODY_BYTES].into(),
            run: run.to_owned(),
        }
    }

    /// One that was found on the bus.
    pub(super) fn of(record: &Record, run: &str) -> Self {
        Self {
            topic: record.topic.clone(),
            attributes: record.message.attributes.clone(),
            body: record.message.body.clone(),
            run: run.to_owned(),
        }
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The id of message n.
    pub(super) fn id(&self, n: u64) -> String {
        format!("bench:{}-{n:012}", self.run)
    }

    /// Which message an id is of.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        id.strip_prefix("bench:")?.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok()
    }

    /// Message n, for a driver.
    pub(super) fn message(&self, n: u64) -> Message {
        let id = self.id(n);
        let mut attributes = self.attributes.clone();
        attributes.set(names::MESSAGE_ID, id.as_str());
        Message::new(MessageId::new(&id), attributes, self.body.clone())
    }

    /// The attributes as a bare client's headers; `Nats-Msg-Id` and `messageId` change with each.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.attributes.iter() {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// As many bytes as a driver stores of one.
    pub(super) fn stored_bytes(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        self.id(0).len() + attributes + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_again_by_its_id() {
        let sample = Sample::typical("r1");
        assert_eq!(sample.number_of(sample.message(42).id.as_str()), Some(42));
        assert_eq!(Sample::typical("r2").number_of(&sample.id(42)), None);
        assert_eq!(sample.message(1).attributes.get(names::MESSAGE_ID), Some(sample.id(1).as_str()));
    }

    #[test]
    fn both_sides_carry_the_same_headers() {
        let sample = Sample::typical("r");
        assert_eq!(sample.headers().len(), sample.message(0).attributes.len());
    }
}
