//! Attributes as NATS headers, and back.
//!
//! Names and values go out as they are: [`Attributes`] hold no control characters, NATS passes any
//! other byte, and an empty value is a line that ends after its colon. What a third party wrote is
//! read leniently: a line that is no header is skipped, bytes that are no UTF-8 are replaced.
//! `Nats-*` is the server's own name space: never sent for an attribute, never shown as one.

use chatbus_event::{Attributes, MessageId, Topic, names};

use crate::names::write_msg_id;

/// Attributes of more bytes than this make a message too large; the room for them is in each
/// stream's own limit.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

const VERSION: &[u8] = b"NATS/1.0\r\n";
const MSG_ID: &str = "Nats-Msg-Id";

/// A header block as read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    pub(crate) attributes: Attributes,
    pub(crate) msg_id: Option<String>,
}

/// Appends the block for a message.
pub(crate) fn write(out: &mut Vec<u8>, topic: &Topic, id: &MessageId, attributes: &Attributes) {
    out.extend_from_slice(VERSION);
    out.extend_from_slice(b"Nats-Msg-Id: ");
    write_msg_id(out, topic, id);
    out.extend_from_slice(b"\r\n");
    for (name, value) in attributes.iter() {
        if is_servers_own(name) {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads a block.
pub(crate) fn read(block: &[u8]) -> Headers {
    let text = String::from_utf8_lossy(block);
    let mut headers = Headers { attributes: Attributes::with_capacity(16), msg_id: None };
    // The first line is the version, and a status if the server has one to tell.
    for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case(MSG_ID) {
            headers.msg_id = Some(value.trim().to_owned());
        } else if !is_servers_own(name) {
            headers.attributes.set_named(name, value.trim());
        }
    }
    headers
}

/// The status in a block's first line, such as 503 for no responders; `None` for a message.
pub(crate) fn status(block: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(block);
    let line = text.split("\r\n").next()?.strip_prefix("NATS/1.0")?.trim();
    let (code, description) = line.split_once(' ').unwrap_or((line, ""));
    Some((code.parse().ok()?, description.trim().to_owned()))
}

/// One of the server's own headers.
pub(crate) fn servers_own(block: &[u8], wanted: &str) -> Option<String> {
    let text = String::from_utf8_lossy(block);
    text.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim().to_owned())
}

/// The message's id: ours exactly where we published it on this topic, else what `messageId` says,
/// else the publisher's own dedupe id, else its place.
pub(crate) fn message_id(headers: &Headers, topic: &Topic, seq: u64) -> MessageId {
    let ours = headers.msg_id.as_deref().and_then(|id| id.strip_prefix(topic.as_str())?.strip_prefix('|'));
    let said = || headers.attributes.get(names::MESSAGE_ID).filter(|id| !id.is_empty());
    match ours.or_else(said).or(headers.msg_id.as_deref()).filter(|id| !id.is_empty()) {
        Some(id) => MessageId::new(id),
        None => MessageId::new(&format!("{topic}#{seq}")),
    }
}

fn is_servers_own(name: &str) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: &str, attributes: &Attributes) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, &Topic::ingress(), &MessageId::new(id), attributes);
        out
    }

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let sent: Attributes = [
            ("X-mIxEd", "a: b"),
            ("channel", "#straße"),
            ("emoji", "👩‍👩‍👧 \u{202e}x"),
            ("empty", ""),
            ("pct", "%41"),
        ]
        .into_iter()
        .collect();
        let read = read(&written("m-1", &sent));
        assert_eq!(read.attributes, sent);
        assert_eq!(message_id(&read, &Topic::ingress(), 1).as_str(), "m-1");
    }

    #[test]
    fn an_attribute_cannot_speak_for_the_server() {
        let sent: Attributes =
            [("Nats-Rollup", "all"), ("nats-msg-id", "x"), ("NATS", "kept")].into_iter().collect();
        let read = read(&written("m-1", &sent));
        assert_eq!(read.attributes.iter().collect::<Vec<_>>(), [("NATS", "kept")]);
        assert_eq!(read.msg_id.as_deref(), Some("internal.ingress.v1|m-1"));
    }

    #[test]
    fn what_is_no_header_stops_nothing() {
        let read = read(b"NATS/1.0\r\nno colon\r\nchannel:\xff#a\r\n: no name\r\nb:  2 \r\n\r\n");
        assert_eq!(read.attributes.get("channel"), Some("\u{fffd}#a"));
        assert_eq!(read.attributes.get("b"), Some("2"));
        assert_eq!(read.attributes.len(), 2);
    }

    #[test]
    fn a_message_is_known_by_the_best_id_it_has() {
        let topic = Topic::egress();
        let known = |block: &str| message_id(&read(format!("NATS/1.0\r\n{block}\r\n").as_bytes()), &topic, 7);
        assert_eq!(known("").as_str(), "internal.egress.v1#7");
        assert_eq!(known("Nats-Msg-Id: theirs\r\n").as_str(), "theirs");
        assert_eq!(known("MessageID: m\r\nNats-Msg-Id: internal.ingress.v1|x\r\n").as_str(), "m");
        assert_eq!(known("messageId: \r\nNats-Msg-Id: internal.egress.v1|x\r\n").as_str(), "x");
    }

    #[test]
    fn a_status_is_told_from_a_message() {
        assert_eq!(status(b"NATS/1.0\r\na: b\r\n\r\n"), None);
        assert_eq!(status(b"NATS/1.0 503\r\n\r\n"), Some((503, String::new())));
        let block = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n";
        assert_eq!(status(block), Some((408, "Request Timeout".into())));
        assert_eq!(servers_own(block, "nats-pending-messages").as_deref(), Some("3"));
    }
}
