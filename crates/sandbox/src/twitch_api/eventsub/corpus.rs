//! What is told against real frames and bodies, where they are beside the checkout.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chatbus_event::Timestamp;
use serde_json::{Map, Value, json};

use super::frames::{self, SessionFrame};
use super::types::Kind;
use super::webhook::sign;
use super::{Transport, chat};
use crate::twitch_api::eventsub::subscription::{ENABLED, Subscription};
use crate::twitch_api::people::People;
use crate::twitch_irc::InRoom;

/// The files of the corpus, each with its text; nothing where it is absent.
fn files() -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "where the corpus is is told to tests by the environment")]
    let named = std::env::var_os("CHATBUS_CORPUS").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = named.unwrap_or(beside).join("eventsub");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("absent, so nothing is tested: {}", folder.display());
        return Vec::new();
    };
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        Some((path.file_name()?.to_str()?.to_owned(), std::fs::read_to_string(&path).ok()?))
    });
    named.filter(|(name, _)| name.ends_with(".json") || name.ends_with(".jsonl")).collect()
}

/// The types of the values at each path of an object; nulls and what is in lists apart, as both differ between
/// one event and the next.
fn shape(value: &Value, at: &str, into: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                shape(value, &format!("{at}/{name}"), into);
            }
            "object"
        }
        Value::Array(_) => "list",
        Value::String(_) => "text",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => "null",
    };
    into.insert(at.to_owned(), kind);
}

/// Whether `ours` has every field that `theirs` has, of the same type where neither is null.
fn assert_covers(ours: &Value, theirs: &Value, name: &str) {
    let (mut own, mut real) = (BTreeMap::new(), BTreeMap::new());
    shape(ours, "", &mut own);
    shape(theirs, "", &mut real);
    for (path, kind) in real {
        // Below what is null in ours there is nothing to compare.
        let above_is_null =
            own.iter().any(|(above, kind)| *kind == "null" && path.starts_with(&format!("{above}/")));
        if above_is_null {
            continue;
        }
        let found = own.get(&path).copied().unwrap_or("nothing");
        assert!(
            found == kind || found == "null" || (kind == "null" && found != "nothing"),
            "{name}: {path} is {found}, not {kind}"
        );
    }
}

fn subscription() -> Subscription {
    Subscription {
        id: "id".into(),
        kind: "channel.chat.message".into(),
        version: "1".into(),
        condition: Map::new(),
        transport: Transport::WebSocket { session: "session".into() },
        client_id: "client".into(),
        login: None,
        cost: 0,
        status: ENABLED.into(),
        created_at: Timestamp::EPOCH,
        disconnected_at: None,
        last: None,
        failures: 0,
    }
}

#[test]
fn every_type_that_was_seen_is_known() {
    // Versions that Twitch has taken back.
    let old = [("channel.follow", "1"), ("channel.update", "1")];
    let mut seen = 0;
    let mut unknown = Vec::new();
    for (name, text) in files() {
        let Ok(body) = serde_json::from_str::<Value>(&text) else { continue };
        let subscription = body.get("subscription").or_else(|| body.pointer("/payload/subscription"));
        let Some(subscription) = subscription else { continue };
        let of = |field: &str| subscription[field].as_str().unwrap_or_default();
        let kind = (of("type"), of("version"));
        if Kind::find(kind.0, kind.1).is_none() && !old.contains(&kind) {
            unknown.push(format!("{name}: {kind:?}"));
        }
        seen += 1;
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(files().is_empty() || seen > 50, "{seen}");
}

#[test]
fn frames_have_the_fields_of_real_ones() {
    let session = SessionFrame { id: "session", connected_at: Timestamp::EPOCH };
    let about = json!({ "subscription": subscription().shown() });
    let ours = [
        ("session_welcome", frames::welcome("id", Timestamp::EPOCH, session, 10)),
        ("session_keepalive", frames::keepalive("id", Timestamp::EPOCH)),
        ("session_reconnect", frames::reconnect("id", Timestamp::EPOCH, session, "ws://here")),
        ("revocation.channel.follow__gimli", frames::about("revocation", "id", Timestamp::EPOCH, &about)),
    ];
    for (name, text) in files() {
        let Some((_, ours)) = ours.iter().find(|(beginning, _)| name.starts_with(beginning)) else {
            continue;
        };
        let ours: Value = serde_json::from_str(ours).unwrap();
        let mut theirs: Value = serde_json::from_str(&text).unwrap();
        // Conditions differ from type to type.
        if let Some(subscription) = theirs.pointer_mut("/payload/subscription") {
            subscription["condition"] = json!({});
        }
        assert_covers(&ours, &theirs, &name);
    }
}

#[test]
fn a_chat_message_has_the_fields_of_real_ones() {
    let tags = [
        ("id", "id"),
        ("badges", "moderator/1"),
        ("color", "#FF0000"),
        ("reply-parent-msg-id", "parent"),
        ("bits", "5"),
        ("source-room-id", "1"),
        ("source-id", "2"),
    ];
    let tags = tags.into_iter().map(|(key, value)| (key.into(), value.to_owned())).collect();
    let said = InRoom { login: "ann", channel: "hall", text: "hi", tags: &tags };
    let ours = json!({
        "subscription": subscription().shown(),
        "event": chat::event(&said, &People::new()),
    });
    for (name, text) in files().iter().filter(|(name, _)| name.starts_with("channel.chat.message.v1")) {
        let theirs: Value = serde_json::from_str(text).unwrap();
        let mut theirs = theirs.get("payload").unwrap_or(&theirs).clone();
        for field in ["condition", "transport"] {
            theirs["subscription"].as_object_mut().unwrap().remove(field);
        }
        assert_covers(&ours, &theirs, name);
    }
}

#[test]
fn signatures_are_those_of_real_posts() {
    for (_, text) in files().iter().filter(|(name, _)| name == "webhook-signatures.jsonl") {
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            if row["expected_valid"] != true {
                continue;
            }
            let header = |name: &str| row["headers"][name].as_str().unwrap();
            let (id, at) =
                (header("Twitch-Eventsub-Message-Id"), header("Twitch-Eventsub-Message-Timestamp"));
            let signature =
                sign(row["secret"].as_str().unwrap(), id, at, row["body"].as_str().unwrap().as_bytes());
            assert_eq!(signature, header("Twitch-Eventsub-Message-Signature"), "{}", row["id"]);
        }
    }
}
