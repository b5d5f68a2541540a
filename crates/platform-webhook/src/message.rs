//! What others post: one message as JSON.

use std::sync::Arc;

use chatbus_event::Timestamp;
use serde::Deserialize;

use crate::PLATFORM;
use crate::channel::channel_name;

/// A message that somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The sender's id of it, by which a repeat is known.
    pub(crate) id: String,
    /// In our form.
    pub(crate) channel: Arc<str>,
    pub(crate) user: User,
    pub(crate) text: String,
    /// When it was said, where the sender tells.
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) badges: Vec<String>,
}

/// Who said it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) display_name: Option<String>,
    #[serde(default)]
    pub(crate) is_mod: bool,
    #[serde(default)]
    pub(crate) is_subscriber: bool,
}

/// Why a body is no message: a stable code, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// The only type of message there is. It may be left out.
const TYPE: &str = "chat.message";
/// The longest id of a message, in bytes.
const MAX_ID: usize = 200;
/// The longest id and name of a user, in bytes.
const MAX_USER: usize = 128;
/// The longest text, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// The most badges.
const MAX_BADGES: usize = 32;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    id: String,
    channel: String,
    user: User,
    text: String,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    badges: Vec<String>,
}

// === impl Message ===

impl Message {
    /// Reads a body. Members that it does not know are no error.
    ///
    /// # Errors
    /// When it is no message.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let no = |code, message: &str| Err(Unreadable { code, message: message.to_owned() });
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| Unreadable { code: "bad_body", message: error.to_string() })?;
        if body.kind.is_some_and(|kind| kind != TYPE) {
            return no("unknown_type", "type is chat.message, or is left out");
        }
        if !is_plain(&body.id, MAX_ID) {
            return no("bad_id", "id is 1 to 200 bytes without control characters");
        }
        let Some(channel) = channel_name(&body.channel) else {
            return no("bad_channel", "channel is 1 to 64 of a-z 0-9 _ -, with or without #");
        };
        if user_id(&body.user.id).as_deref() != Some(&*body.user.id) {
            return no("bad_user", "user.id is 1 to 128 visible ASCII characters and no colon");
        }
        let names = [&body.user.name, &body.user.display_name];
        if !names.into_iter().flatten().all(|name| is_plain(name, MAX_USER)) {
            return no("bad_user", "a name of a user is 1 to 128 bytes without control characters");
        }
        if body.text.trim().is_empty() || body.text.len() > MAX_TEXT {
            return no("bad_text", "text is not blank and at most 64 KiB");
        }
        let sent_at = body.timestamp.as_deref().map(Timestamp::parse);
        if sent_at == Some(None) {
            return no("bad_time", "timestamp is a date and time of RFC 3339, such as 2025-11-21T17:02:00Z");
        }
        if body.badges.len() > MAX_BADGES || !body.badges.iter().all(|badge| is_plain(badge, MAX_USER)) {
            return no("bad_badges", "badges are at most 32 texts of 1 to 128 bytes");
        }
        let Body { id, user, text, badges, .. } = body;
        Ok(Self { id, channel, user, text, sent_at: sent_at.flatten(), badges })
    }
}

/// The raw id of a user, this platform's prefix stripped: 1 to 128 visible ASCII characters and no colon, which
/// would be another platform's prefix. `None` when it is no user's.
pub(crate) fn user_id(text: &str) -> Option<Arc<str>> {
    let raw = text.strip_prefix(PLATFORM).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text);
    let valid = (1..=MAX_USER).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    valid.then(|| raw.into())
}

fn is_plain(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn whole() -> Value {
        json!({
            "type": "chat.message", "id": "m-1", "channel": "Hall", "text": "hello", "badges": ["staff"],
            "user": { "id": "7", "name": "ada", "displayName": "Ada L.", "isMod": true, "colour": "red" },
            "timestamp": "2025-11-21T17:02:00Z", "thread": { "id": 3 },
        })
    }

    #[test]
    fn a_message_is_read_and_what_is_not_needed_may_be_absent() {
        let message = Message::read(whole().to_string().as_bytes()).unwrap();
        assert_eq!((&*message.id, &*message.channel, &*message.text), ("m-1", "#hall", "hello"));
        assert!(message.user.is_mod && !message.user.is_subscriber);
        assert_eq!(message.sent_at.map(|at| at.to_string()).as_deref(), Some("2025-11-21T17:02:00.000Z"));
        let least = br#"{"id":"m-1","channel":"hall","user":{"id":"7"},"text":"hello"}"#;
        let least = Message::read(least).unwrap();
        assert_eq!((least.user.name, least.sent_at, least.badges.len()), (None, None, 0));
    }

    #[test]
    fn what_is_no_message_is_refused_with_what_would_be_right() {
        let set = |pointer: &str, value: Value| {
            let mut body = whole();
            *body.pointer_mut(pointer).unwrap() = value;
            body.to_string()
        };
        for (body, code) in [
            (String::new(), "bad_body"),
            ("{".to_owned(), "bad_body"),
            ("[]".to_owned(), "bad_body"),
            ("{}".to_owned(), "bad_body"),
            ("[".repeat(100_000), "bad_body"),
            (set("/text", json!(7)), "bad_body"),
            (set("/user", json!("ada")), "bad_body"),
            (set("/type", json!("chat.say")), "unknown_type"),
            (set("/id", json!(" ")), "bad_id"),
            (set("/id", json!("a\nb")), "bad_id"),
            (set("/id", json!("x".repeat(201))), "bad_id"),
            (set("/channel", json!("a b")), "bad_channel"),
            (set("/channel", json!("../x")), "bad_channel"),
            (set("/user/id", json!("")), "bad_user"),
            (set("/user/id", json!("twitch:7")), "bad_user"),
            (set("/user/id", json!("webhook:7")), "bad_user"),
            (set("/user/name", json!("a\u{0}")), "bad_user"),
            (set("/text", json!(" \n")), "bad_text"),
            (set("/text", json!("x".repeat(MAX_TEXT + 1))), "bad_text"),
            (set("/timestamp", json!("yesterday")), "bad_time"),
            (set("/badges", json!(vec!["x"; 33])), "bad_badges"),
            (set("/badges", json!([""])), "bad_badges"),
        ] {
            let why = Message::read(body.as_bytes()).map_err(|why| why.code);
            assert_eq!(why, Err(code), "{body:.80}");
        }
    }

    #[test]
    fn a_user_is_known_with_and_without_the_platforms_prefix_and_no_other() {
        for text in ["7", "webhook:7"] {
            assert_eq!(user_id(text).as_deref(), Some("7"), "{text}");
        }
        for bad in
            ["", "webhook:", "webhook:webhook:7", "twitch:7", ":7", "a b", "é", "a\n", &"x".repeat(129)]
        {
            assert_eq!(user_id(bad), None, "{bad:?}");
        }
    }
}
