//! Real EventSub messages: all of them are read, and each notification is one event.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::{Event, InstanceId, Shape, Topic};
use chatbus_platform_twitch::eventsub::frames::{Body, Frame, Notification};
use chatbus_platform_twitch::eventsub::normalize::{Normalizer, Oddities};
use chatbus_platform_twitch::eventsub::types;
use chatbus_platform_twitch::normalize::NormalizerConfig;
use chatbus_testkit::SeededEntropy;
use serde_json::{Value, json};

use crate::corpus::{event_of, received_at};

pub(crate) fn normalizer(own_login: Option<&str>) -> Normalizer {
    let config = NormalizerConfig {
        egress: Topic::egress_of(&InstanceId::parse("i-1").unwrap()),
        shape: Shape::Flat,
        own_login: own_login.map(str::to_owned),
    };
    Normalizer::new(config, Arc::new(SeededEntropy::new(1)))
}

/// Names and texts of the files of a folder of the corpus.
fn files(folder: &str) -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where its data lies")]
    let root = std::env::var_os("CHATBUS_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        println!("the corpus is absent: {folder} is not there");
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The type that a file's name begins with.
fn kind_of(name: &str) -> &str {
    let kind = name.split("__").next().unwrap();
    let without_version = kind.rsplit_once(".v").filter(|(_, version)| !version.contains('.'));
    without_version.map_or(kind, |(kind, _)| kind).split('-').next().unwrap()
}

fn check(event: &Inbound, kind: &str, file: &str) -> Value {
    Event::decode(&event.body).unwrap_or_else(|error| panic!("{file}: {error}"));
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(body["source"], "ingress.twitch", "{file}");
    if kind == types::CHAT_MESSAGE {
        assert_eq!(body["type"], "chat.message.v1", "{file}");
        assert!(!body["message"]["text"].as_str().unwrap().is_empty(), "{file}");
        return body;
    }
    assert_eq!(body["externalEvent"]["kind"], kind, "{file}");
    assert!(types::known(kind).is_some(), "{file}: {kind} is in no table");
    let raw = &body["externalEvent"]["rawPayload"]["event"];
    assert!(raw.is_object() || raw.is_array(), "{file}");
    if raw["broadcaster_user_login"].is_string() {
        assert!(body["channel"].as_str().unwrap().starts_with('#'), "{file}");
    }
    body
}

#[test]
fn every_message_of_the_corpus_is_read_and_every_notification_is_one_event() {
    let mut normalizer = normalizer(None);
    let (mut notifications, mut others) = (0, 0);
    for (name, text) in files("eventsub") {
        let is_frame = serde_json::from_str::<Value>(&text).unwrap().get("metadata").is_some();
        let kind = kind_of(&name);
        if is_frame {
            match Frame::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}")) {
                Frame::Notification(told) => {
                    assert_eq!(told.kind, kind, "{name}");
                    check(&normalizer.notification(&told, received_at()), kind, &name);
                    notifications += 1;
                }
                Frame::Welcome(session) => assert_eq!(session.keepalive_timeout_seconds, Some(10), "{name}"),
                Frame::Reconnect(session) => assert!(session.reconnect_url.is_some(), "{name}"),
                Frame::Revocation(gone) => assert_eq!(gone.kind, "channel.follow", "{name}"),
                Frame::Keepalive => assert!(name.starts_with("session_keepalive"), "{name}"),
                Frame::Unknown(what) => println!("{name}: {what}"),
            }
            others += usize::from(!matches!(Frame::parse(&text), Ok(Frame::Notification(_))));
            continue;
        }
        let body = Body::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        if body.challenge.is_some() || name.starts_with("revocation") {
            body.subscription().unwrap_or_else(|error| panic!("{name}: {error}"));
            others += 1;
            continue;
        }
        let told = body
            .notification(Cow::Borrowed("m-1"), None, Cow::Borrowed(""), Cow::Borrowed(""))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&normalizer.notification(&told, received_at()), kind, &name);
        notifications += 1;
    }
    println!("{notifications} notifications, {others} others");
    assert_eq!(normalizer.oddities(), Oddities::default());
}

#[test]
fn every_bare_event_becomes_one() {
    let mut normalizer = normalizer(None);
    for folder in ["eventsub/bare-events", "eventsub/ui-snapshots"] {
        let files = files(folder);
        println!("{} events in {folder}", files.len());
        for (name, text) in files {
            let whole: Value = serde_json::from_str(&text).unwrap();
            let event = if folder.ends_with("ui-snapshots") { whole["input"].clone() } else { whole };
            let event = serde_json::value::to_raw_value(&event).unwrap();
            let kind = kind_of(&name).to_owned();
            let told = Notification {
                message_id: Cow::Borrowed("m-1"),
                sent_at: None,
                kind: Cow::Borrowed(&kind),
                version: Cow::Borrowed("1"),
                subscription: None,
                event: &event,
            };
            let inbound = normalizer.notification(&told, received_at());
            if folder.ends_with("bare-events") {
                check(&inbound, &kind, &name);
            }
            assert!(Event::decode(&inbound.body).is_ok(), "{name}");
        }
    }
    assert_eq!((normalizer.oddities().malformed, normalizer.oddities().unreadable_chat), (0, 0));
}

fn chat(changes: &Value) -> String {
    let mut event = json!({
        "broadcaster_user_id": "1337", "broadcaster_user_login": "cool_user", "broadcaster_user_name": "Cool_User",
        "chatter_user_id": "4145994", "chatter_user_login": "viewer32", "chatter_user_name": "Viewer32",
        "message_id": "cc106a89", "color": "#00FF7F", "message_type": "text", "cheer": null, "reply": null,
        "badges": [
            { "set_id": "moderator", "id": "1", "info": "" },
            { "set_id": "subscriber", "id": "12", "info": "16" },
        ],
        "message": { "text": "hi", "fragments": [{ "type": "text", "text": "hi", "emote": null }] },
        "channel_points_custom_reward_id": null, "source_broadcaster_user_id": null, "source_message_id": null,
    });
    for (key, value) in changes.as_object().unwrap() {
        event[key] = value.clone();
    }
    json!({
        "metadata": {
            "message_id": "n-1", "message_type": "notification", "message_timestamp": "2026-01-02T03:04:04.500Z",
            "subscription_type": "channel.chat.message", "subscription_version": "1",
        },
        "payload": { "subscription": { "id": "s" }, "event": event },
    })
    .to_string()
}

fn told(frame: &str) -> Inbound {
    let Ok(Frame::Notification(told)) = Frame::parse(frame) else { panic!("a notification") };
    normalizer(Some("bot")).notification(&told, received_at())
}

/// Without what is new each time and what is raw.
fn comparable(mut body: Value) -> Value {
    for key in ["id", "correlationId", "traceId"] {
        body[key] = Value::Null;
    }
    body["message"]["rawPlatformPayload"]["raw"] = Value::Null;
    body
}

#[test]
fn a_chat_message_is_the_same_event_whichever_way_it_comes() {
    let tags = "badge-info=subscriber/16;badges=moderator/1,subscriber/12;color=#00FF7F;display-name=Viewer32;\
                mod=1;subscriber=1;room-id=1337;user-id=4145994;tmi-sent-ts=1767323044500";
    let fragments = |parts: &[(&str, Option<&str>)]| -> Value {
        let parts = parts
            .iter()
            .map(|(text, emote)| json!({ "text": text, "emote": emote.map(|id| json!({ "id": id })) }));
        parts.collect()
    };
    let rows = [
        ("id=cc106a89", "hi", json!({})),
        (
            "id=cc106a89;emotes=25:8-12/483:18-19",
            "\u{1f449} chat: Kappa and <3",
            json!({ "message": { "text": "\u{1f449} chat: Kappa and <3", "fragments": fragments(
                &[("\u{1f449} chat: ", None), ("Kappa", Some("25")), (" and ", None), ("<3", Some("483"))]) } }),
        ),
        (
            "id=cc106a89;emotes=25:6-10",
            "\u{1}ACTION waves Kappa\u{1}",
            json!({ "message": { "text": "\u{1}ACTION waves Kappa\u{1}", "fragments": fragments(
                &[("\u{1}ACTION waves ", None), ("Kappa", Some("25")), ("\u{1}", None)]) } }),
        ),
        (
            "id=cc106a89;emote-only=1;emotes=25:0-4",
            "Kappa",
            json!({ "message": { "text": "Kappa", "fragments": fragments(&[("Kappa", Some("25"))]) } }),
        ),
        (
            "id=cc106a89;bits=100;custom-reward-id=r-1;msg-id=highlighted-message",
            "hi",
            json!({ "cheer": { "bits": 100 }, "channel_points_custom_reward_id": "r-1",
                    "message_type": "channel_points_highlighted" }),
        ),
        (
            "id=cc106a89;source-room-id=9;source-id=src-1",
            "hi",
            json!({ "source_broadcaster_user_id": "9", "source_message_id": "src-1" }),
        ),
        (
            "id=cc106a89;reply-parent-msg-id=p;reply-parent-user-id=1;reply-parent-user-login=ada;\
             reply-parent-display-name=Ada;reply-parent-msg-body=a\\sb;reply-thread-parent-msg-id=t;\
             reply-thread-parent-user-login=bob",
            "hi",
            json!({ "reply": { "parent_message_id": "p", "parent_user_id": "1", "parent_user_login": "ada",
                "parent_user_name": "Ada", "parent_message_body": "a b", "thread_message_id": "t",
                "thread_user_login": "bob" } }),
        ),
    ];
    for (more, text, changes) in rows {
        let line =
            format!("@{tags};{more} :viewer32!viewer32@viewer32.tmi.twitch.tv PRIVMSG #cool_user :{text}");
        let ours = told(&chat(&changes));
        let body: Value = serde_json::from_slice(&ours.body).unwrap();
        assert_eq!(comparable(body), comparable(event_of(&line)), "{more}");
        let irc = crate::corpus::events(&mut crate::corpus::normalizer(None), line.as_bytes()).remove(0);
        assert_eq!((ours.id, ours.conversation), (irc.id, irc.conversation), "{more}");
    }
}

#[test]
fn what_our_own_account_says_is_marked() {
    let own = told(&chat(&json!({ "chatter_user_login": "bot" })));
    assert_eq!(serde_json::from_slice::<Value>(&own.body).unwrap()["metadata"]["self"], true);
    let other = told(&chat(&json!({})));
    assert!(serde_json::from_slice::<Value>(&other.body).unwrap().get("metadata").is_none());
}

#[test]
fn a_stream_that_begins_names_its_broadcaster() {
    let frame = json!({
        "metadata": { "message_id": "n-2", "message_type": "notification", "subscription_type": "stream.online" },
        "payload": { "event": { "id": "9001", "broadcaster_user_id": "1337", "broadcaster_user_login": "cool_user",
            "broadcaster_user_name": "Cool_User", "type": "live", "started_at": "2020-10-11T10:11:12.123Z" } },
    });
    let event = told(&frame.to_string());
    assert_eq!(event.id.as_str(), "twitch:eventsub:n-2");
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!((&body["type"], &body["channel"]), (&json!("system.stream.online"), &json!("#cool_user")));
    let payload = &body["externalEvent"]["payload"];
    assert_eq!(payload["broadcasterId"], "1337");
    assert_eq!(payload["broadcasterName"], "Cool_User");
    assert_eq!(payload["data"]["startedAt"], "2020-10-11T10:11:12.123Z");
}

#[test]
fn a_type_that_nobody_knows_is_published_as_it_came() {
    let frame = json!({
        "metadata": { "message_id": "n-3", "message_type": "notification",
            "subscription_type": "channel.next_big_thing", "subscription_version": "7" },
        "payload": { "event": { "user_id": "5", "user_login": "ada", "odd": [1.50, { "x_y": null }] } },
    });
    let text = frame.to_string();
    let Ok(Frame::Notification(told)) = Frame::parse(&text) else { panic!("a notification") };
    let mut normalizer = normalizer(None);
    let event = normalizer.notification(&told, received_at());
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(body["type"], "twitch.eventsub.v1");
    assert_eq!(body["externalEvent"]["kind"], "channel.next_big_thing");
    assert_eq!(body["externalEvent"]["version"], "7");
    assert_eq!(body["externalEvent"]["rawPayload"]["event"]["odd"], json!([1.50, { "x_y": null }]));
    assert_eq!(body["userId"], "5");
    assert_eq!(normalizer.oddities().unknown_types, 1);
}
