//! Everything that is no chat message, as an `externalEvent` of source `twitch.eventsub`.
//!
//! `payload` says the same things in the same members whatever the type is: `channel`, `roomId`,
//! `broadcasterId`, `broadcasterLogin`, `broadcasterName`, `user` who did it, `target` whom it hit. Its `data`
//! is the event with the names of its members in camelCase; `rawPayload` holds event and subscription as
//! Twitch wrote them.

use std::borrow::Cow;
use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{Content, ExternalContent, MessageId, Timestamp, Value, sha256_hex};
use serde_json::Map;
use serde_json::Value as Json;

use super::{Normalizer, Person, Subject, channel_of, raw};
use crate::eventsub::frames::{MAX_FRAME_BYTES, Malformed, Notification};
use crate::eventsub::types;

/// The interface that told it.
const EXTERNAL_SOURCE: &str = "twitch.eventsub";
const EXTERNAL_TYPE: &str = "twitch.eventsub.v1";
const GAP_TYPE: &str = "system.source.gap.v1";
/// How much of something that is no message is kept.
const MAX_KEPT_BYTES: usize = 64 * 1024;

type Members<'a> = Vec<(&'static str, Value<'a>)>;

/// A time of which Twitch told us nothing, and never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// When we last heard something.
    pub from: Timestamp,
    /// From when on we hear again.
    pub to: Timestamp,
    /// Why, as a stable code.
    pub reason: &'static str,
    /// The channels we read.
    pub channels: Vec<Arc<str>>,
}

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn external(&mut self, told: &Notification<'_>, received_at: Timestamp) -> Inbound {
        let row = types::known(&told.kind);
        self.oddities.unknown_types += u64::from(row.is_none());
        let parsed: Json = serde_json::from_str(told.event.get()).unwrap_or(Json::Null);
        let empty = Map::new();
        let event = parsed.as_object().unwrap_or(&empty);
        let by = row.map_or("user", |row| row.by);
        let user = person(event, by);
        let target = person(event, row.map_or("", |row| row.to));
        let broadcaster = ["broadcaster_user", "to_broadcaster_user"]
            .into_iter()
            .map(|prefix| person(event, prefix))
            .find(|person| person.id.is_some())
            .unwrap_or_default();
        let channel = broadcaster.login.and_then(channel_of);
        let data = Raw::of(&camel_case(&parsed));
        let (user_members, target_members) = (members(&user), members(&target));
        let mut payload: Members<'_> = Vec::with_capacity(8);
        for (key, text) in [
            ("channel", channel.as_deref()),
            ("roomId", broadcaster.id),
            ("broadcasterId", broadcaster.id),
            ("broadcasterLogin", broadcaster.login),
            ("broadcasterName", broadcaster.name),
        ] {
            payload.extend(text.map(|text| (key, Value::Text(text))));
        }
        for (key, members) in [("user", &user_members), ("target", &target_members)] {
            if !members.is_empty() {
                payload.push((key, Value::Object(members)));
            }
        }
        payload.push(("data", Value::Json(&data)));
        let (raw_event, subscription) = (raw(told.event), told.subscription.map(raw));
        let mut kept: Members<'_> = vec![("event", Value::Json(&raw_event))];
        kept.extend(subscription.as_ref().map(|text| ("subscription", Value::Json(text))));
        let content = ExternalContent {
            id: &told.message_id,
            source: EXTERNAL_SOURCE,
            kind: &told.kind,
            version: &told.version,
            created_at: told.sent_at.unwrap_or(received_at),
            payload: &payload,
            tags: &[],
            raw: &kept,
        };
        let subject = Subject {
            message_id: known_by(&told.message_id),
            channel: channel.as_deref(),
            room_id: broadcaster.id,
            user,
            received_at,
        };
        let kind = match &*told.kind {
            "stream.online" => "system.stream.online",
            "stream.offline" => "system.stream.offline",
            _ => EXTERNAL_TYPE,
        };
        self.finish(&subject, kind, Content::External(content))
    }

    /// The event of a text that is no message of EventSub.
    pub fn malformed(&mut self, text: &str, why: &Malformed, received_at: Timestamp) -> Inbound {
        self.oddities.malformed += 1;
        let reason = why.to_string();
        let id = sha256_hex(text.as_bytes());
        let kept = &text[..text.floor_char_boundary(MAX_KEPT_BYTES.min(MAX_FRAME_BYTES))];
        let content = ExternalContent {
            id: &id,
            source: EXTERNAL_SOURCE,
            kind: "eventsub.unparsed",
            version: "1",
            created_at: received_at,
            payload: &[("reason", Value::Text(&reason))],
            tags: &[],
            raw: &[("text", Value::Text(kept))],
        };
        let subject = Subject {
            message_id: known_by(&id),
            channel: None,
            room_id: None,
            user: Person::default(),
            received_at,
        };
        self.finish(&subject, EXTERNAL_TYPE, Content::External(content))
    }

    /// The event of a gap.
    pub fn gap(&mut self, gap: &Gap, session: &str, received_at: Timestamp) -> Inbound {
        let channels: Vec<&str> = gap.channels.iter().map(|name| &**name).collect();
        let (from, to) = (gap.from.to_string(), gap.to.to_string());
        let id = sha256_hex(format!("{session} {from}").as_bytes());
        let content = ExternalContent {
            id: &id,
            source: EXTERNAL_SOURCE,
            kind: "source.gap",
            version: "1",
            created_at: gap.to,
            payload: &[
                ("platform", Value::Text(crate::normalize::PLATFORM)),
                ("from", Value::Text(&from)),
                ("to", Value::Text(&to)),
                ("reason", Value::Text(gap.reason)),
                ("channels", Value::Texts(&channels)),
            ],
            tags: &[],
            raw: &[],
        };
        let subject = Subject {
            message_id: MessageId::new(&["twitch:eventsub:gap:", &id].concat()),
            channel: None,
            room_id: None,
            user: Person::default(),
            received_at,
        };
        self.finish(&subject, GAP_TYPE, Content::External(content))
    }
}

fn known_by(id: &str) -> MessageId {
    MessageId::new(&["twitch:eventsub:", id].concat())
}

/// The user whom members of this beginning name.
fn person<'a>(event: &'a Map<String, Json>, prefix: &str) -> Person<'a> {
    if prefix.is_empty() {
        return Person::default();
    }
    let part = |what: &str| {
        event.get(&format!("{prefix}_{what}")).and_then(Json::as_str).filter(|text| !text.is_empty())
    };
    Person { id: part("id"), login: part("login"), name: part("name") }
}

fn members<'a>(person: &Person<'a>) -> Members<'a> {
    if person.id.is_none() && person.login.is_none() {
        return Vec::new();
    }
    let part = |key, text: Option<&'a str>| (key, Value::Text(text.unwrap_or_default()));
    vec![part("id", person.id), part("login", person.login), part("displayName", person.display_name())]
}

/// The same value with the names of all members in camelCase. No deeper than the parser lets it be.
fn camel_case(value: &Json) -> Cow<'_, Json> {
    match value {
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| (camel(name), camel_case(value).into_owned()));
            Cow::Owned(Json::Object(members.collect()))
        }
        Json::Array(items) => {
            Cow::Owned(Json::Array(items.iter().map(|item| camel_case(item).into_owned()).collect()))
        }
        other => Cow::Borrowed(other),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_are_written_as_ours_are() {
        let value = serde_json::json!({ "is_anonymous": true, "top": [{ "user_id": "1" }], "x": null });
        let expected = serde_json::json!({ "isAnonymous": true, "top": [{ "userId": "1" }], "x": null });
        assert_eq!(*camel_case(&value), expected);
        assert_eq!(camel("_a__b"), "AB");
    }
}
