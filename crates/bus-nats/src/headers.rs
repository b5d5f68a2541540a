//! Attributes as NATS headers, and back.
//!
//! Names and values go out as they are: [`Attributes`] hold no control characters, NATS passes any
//! other byte, and an empty value is a line that ends after its colon. What a third party wrote is
//! read leniently: a line that is no header is skipped, bytes that are no UTF-8 are replaced.
//! `Nats-*` is the server's own name space: never sent for an attribute, never shown as one.

use std::borrow::Cow;

use chatbus_event::{Attributes, MessageId, Topic, names};
use memchr::memchr;

use crate::names::write_msg_id;

/// Attributes of more bytes than this make a message too large; the room for them is in each
/// stream's own limit.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

const VERSION: &[u8] = b"NATS/1.0\r\n";
const MSG_ID: &str = "Nats-Msg-Id";

/// A header block as read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers<'a> {
    pub(crate) attributes: Attributes,
    pub(crate) msg_id: Option<Cow<'a, str>>,
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
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads a block.
pub(crate) fn read(block: &[u8]) -> Headers<'_> {
    // Looking once whether all is text is far cheaper than looking for what is none.
    match std::str::from_utf8(block) {
        Ok(text) => {
            let (attributes, msg_id) = read_text(text);
            Headers { attributes, msg_id: msg_id.map(Cow::Borrowed) }
        }
        Err(_) => {
            let text = String::from_utf8_lossy(block);
            let (attributes, msg_id) = read_text(&text);
            Headers { attributes, msg_id: msg_id.map(|id| Cow::Owned(id.to_owned())) }
        }
    }
}

fn read_text(text: &str) -> (Attributes, Option<&str>) {
    let mut msg_id = None;
    let place = |part: &str| {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        start..start + part.len()
    };
    // The first line is the version, and a status if the server has one to tell.
    let (_, mut rest) = cut_line(text);
    let places = std::iter::from_fn(|| {
        loop {
            let line;
            (line, rest) = cut_line(rest?);
            let Some(colon) = memchr(b':', line.as_bytes()) else { continue };
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            if !is_servers_own(name) {
                return Some((place(name), place(value)));
            }
            if name.eq_ignore_ascii_case(MSG_ID) {
                msg_id = Some(value);
            }
        }
    });
    // One copy of the whole block costs less than one of each value.
    let attributes = Attributes::within(text.to_owned(), 14, places);
    (attributes, msg_id)
}

/// The first line, and what is behind its end if it has one.
fn cut_line(text: &str) -> (&str, Option<&str>) {
    let mut from = 0;
    while let Some(at) = memchr(b'\r', &text.as_bytes()[from..]) {
        let at = from + at;
        if text.as_bytes().get(at + 1) == Some(&b'\n') {
            return (&text[..at], Some(&text[at + 2..]));
        }
        from = at + 1;
    }
    (text, None)
}

/// Nearly every value stands behind one space and ends with what is no white space in any script.
fn trim(value: &str) -> &str {
    let value = value.strip_prefix(' ').unwrap_or(value);
    let ends = [value.as_bytes().first(), value.as_bytes().last()];
    if ends.iter().all(|end| end.is_some_and(u8::is_ascii_graphic)) { value } else { value.trim() }
}

/// The status in a block's first line, such as 503 for no responders; `None` for a message.
pub(crate) fn status(block: &[u8]) -> Option<(u16, String)> {
    let first = block.strip_prefix(b"NATS/1.0")?;
    if first.starts_with(b"\r\n") {
        return None;
    }
    let text = String::from_utf8_lossy(first);
    let line = text.split("\r\n").next()?.trim();
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
pub(crate) fn message_id(headers: &Headers<'_>, topic: &Topic, seq: u64) -> MessageId {
    let ours = headers.msg_id.as_deref().and_then(|id| id.strip_prefix(topic.as_str())?.strip_prefix('|'));
    let said = || headers.attributes.get(names::MESSAGE_ID).filter(|id| !id.is_empty());
    match ours.or_else(said).or(headers.msg_id.as_deref()).filter(|id| !id.is_empty()) {
        Some(id) => MessageId::new(id),
        None => MessageId::new(&format!("{topic}#{seq}")),
    }
}

fn is_servers_own(name: &str) -> bool {
    matches!(name.as_bytes(), [b'n' | b'N', b'a' | b'A', b't' | b'T', b's' | b'S', b'-', ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The plain way to read a block, which each faster one has to agree with.
        #[test]
        fn any_block_is_read_as_the_plain_way_reads_it(
            lines in proptest::collection::vec(
                proptest::string::bytes_regex(
                    "(?s-u)(nats-msg-id|Nats-Msg-Id|NATS-x|channel|Channel|messageId|x-y|a b|)[: ]{0,3}(.|[a-z#]){0,12}\r?\n?"
                ).unwrap(),
                0..8,
            ),
            between in prop_oneof![Just("\r\n"), Just("\n"), Just("\r"), Just("\r\r\n")],
        ) {
            let block = [&b"NATS/1.0\r\n"[..], &lines.join(between.as_bytes()), b"\r\n\r\n"].concat();
            let text = String::from_utf8_lossy(&block);
            let (mut attributes, mut msg_id) = (Attributes::new(), None);
            for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
                if name.eq_ignore_ascii_case("nats-msg-id") {
                    msg_id = Some(value.trim());
                } else if !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
                    attributes.set(name.to_owned(), value.trim());
                }
            }
            let read = read(&block);
            prop_assert_eq!(read.attributes, attributes);
            prop_assert_eq!(read.msg_id.as_deref(), msg_id);
        }
    }

    #[test]
    fn a_block_without_end_or_lines_is_read_as_far_as_it_goes() {
        for block in [&b""[..], b"\r\n", b"NATS/1.0", b"NATS/1.0\r\n", b"a: b", b"\xff"] {
            assert_eq!(read(block), Headers { attributes: Attributes::with_capacity(0), msg_id: None });
        }
        assert_eq!(read(b"NATS/1.0\r\na:\xe3\x80\x80b\xc2\xa0\r").attributes.get("a"), Some("b"));
        assert_eq!(read(b"\r\nNats-Msg-Id:\xff ").msg_id.as_deref(), Some("\u{fffd}"));
        assert_eq!(read(b"\r\na: 1\r\nA: 2\r\n").attributes.iter().collect::<Vec<_>>(), [("a", "2")]);
    }

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
        let block = written("m-1", &sent);
        let read = read(&block);
        assert_eq!(read.attributes, sent);
        assert_eq!(message_id(&read, &Topic::ingress(), 1).as_str(), "m-1");
    }

    #[test]
    fn an_attribute_cannot_speak_for_the_server() {
        let sent: Attributes =
            [("Nats-Rollup", "all"), ("nats-msg-id", "x"), ("NATS", "kept")].into_iter().collect();
        let block = written("m-1", &sent);
        let read = read(&block);
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
        assert_eq!(status(b"NATS/1.0 404"), Some((404, String::new())));
        for none in [&b""[..], b"NATS/1.0", b"NATS/1.0 \r\n", b"NATS/1.0 x\r\n", b"HTTP/1.0 503\r\n"] {
            assert_eq!(status(none), None);
        }
        let block = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n";
        assert_eq!(status(block), Some((408, "Request Timeout".into())));
        assert_eq!(servers_own(block, "nats-pending-messages").as_deref(), Some("3"));
    }
}
