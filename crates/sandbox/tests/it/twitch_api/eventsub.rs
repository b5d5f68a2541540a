//! Subscriptions and what they are told over a WebSocket.

use chatbus_sandbox::twitch_api::{Emit, NewToken};
use chatbus_sandbox::twitch_irc::Say;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, EventSub, READ, chat_of, id_of};
use crate::client::{Client, sandbox, tags};

const SUBSCRIPTIONS: &str = "/helix/eventsub/subscriptions";

fn online_of(channel: &str, session: &str) -> Value {
    json!({
        "type": "stream.online",
        "version": "1",
        "condition": { "broadcaster_user_id": id_of(channel) },
        "transport": { "method": "websocket", "session_id": session },
    })
}

#[tokio::test]
async fn what_a_viewer_says_has_one_id_on_irc_and_on_eventsub() {
    let sandbox = sandbox().await;
    let mut irc = Client::joined(&sandbox, "bot", "#hall").await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut reader = EventSub::connect(&sandbox).await;
    let made = bot.subscribe(&reader.session, "hall", "bot").await;
    assert_eq!(
        (made.status, &made.body["data"][0]["status"], &made.body["total"]),
        (202, &json!("enabled"), &json!(1))
    );
    assert_eq!((&made.body["total_cost"], &made.body["max_total_cost"]), (&json!(0), &json!(10)));
    sandbox.twitch().set_role("hall", "ann", |role| role.subscriber = true).unwrap();
    let mut say = Say::new("hall", "ann", "hi Kappa");
    say.tags.insert("bits".into(), Some("5".into()));
    let said = sandbox.twitch().say(&say).await.unwrap();
    let payload = reader.notified().await;
    let line = irc.until("PRIVMSG").await;
    let event = &payload["event"];
    assert_eq!((tags(&line)["id"], &event["message_id"]), (said[0].id.as_str(), &json!(said[0].id)));
    for (field, tag) in [
        ("chatter_user_id", "user-id"),
        ("broadcaster_user_id", "room-id"),
        ("color", "color"),
        ("chatter_user_name", "display-name"),
    ] {
        assert_eq!(event[field], tags(&line)[tag], "{field}");
    }
    assert_eq!(
        (&event["chatter_user_login"], &event["broadcaster_user_login"]),
        (&json!("ann"), &json!("hall"))
    );
    assert_eq!(event["message"]["text"], "hi Kappa");
    let fragments = &event["message"]["fragments"];
    assert_eq!((&fragments[0]["text"], &fragments[1]["emote"]["id"]), (&json!("hi "), &json!("25")));
    assert_eq!(event["badges"], json!([{ "set_id": "subscriber", "id": "0", "info": "1" }]));
    assert_eq!((&event["cheer"], &event["reply"]), (&json!({ "bits": 5 }), &Value::Null));
    assert_eq!(payload["subscription"], {
        let mut shown = made.body["data"][0].clone();
        shown["transport"].as_object_mut().unwrap().remove("connected_at");
        shown
    });
}

#[tokio::test]
async fn what_a_client_says_by_irc_and_by_helix_is_told_too_and_a_reply_with_its_parent() {
    let sandbox = sandbox().await;
    let mut irc = Client::joined(&sandbox, "ann", "#hall").await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut reader = EventSub::connect(&sandbox).await;
    bot.subscribe(&reader.session, "hall", "bot").await;
    let verdict = irc.say("#hall", "by IRC").await;
    let by_irc = reader.notified().await;
    assert_eq!(by_irc["event"]["message_id"], tags(&verdict)["id"]);
    let id = by_irc["event"]["message_id"].as_str().unwrap();
    let body = json!({
        "broadcaster_id": id_of("hall"), "sender_id": id_of("bot"), "message": "by Helix", "reply_parent_message_id": id,
    });
    let sent = bot.post("/helix/chat/messages", body).await;
    let by_helix = reader.notified().await;
    assert_eq!(by_helix["event"]["message_id"], sent.body["data"][0]["message_id"]);
    assert_eq!(by_helix["event"]["chatter_user_login"], "bot");
    let reply = &by_helix["event"]["reply"];
    assert_eq!((&reply["parent_message_id"], &reply["parent_user_login"]), (&json!(id), &json!("ann")));
    assert_eq!((&reply["parent_message_body"], &reply["thread_message_id"]), (&json!("by IRC"), &json!(id)));
    assert_eq!(by_helix["event"]["message"]["fragments"][0]["mention"]["user_login"], "ann");
}

#[tokio::test]
async fn only_whom_it_concerns_is_told() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut reader = EventSub::connect(&sandbox).await;
    bot.subscribe(&reader.session, "hall", "bot").await;
    assert_eq!(bot.post("/eventsub/subscriptions", online_of("hall", &reader.session)).await.status, 202);
    sandbox.twitch().say(&Say::new("elsewhere", "ann", "not for you")).await.unwrap();
    assert_eq!(sandbox.twitch_api().set_live("elsewhere", true, 1).unwrap(), 0);
    assert_eq!(sandbox.twitch_api().set_live("hall", true, 1).unwrap(), 1);
    let online = reader.notified().await;
    assert_eq!(
        (&online["subscription"]["type"], &online["event"]["type"]),
        (&json!("stream.online"), &json!("live"))
    );
    assert_eq!(sandbox.twitch_api().set_live("hall", true, 2).unwrap(), 0);
    sandbox.twitch().say(&Say::new("hall", "ann", "for you")).await.unwrap();
    assert_eq!(reader.notified().await["event"]["message"]["text"], "for you");
}

#[tokio::test]
async fn any_event_of_any_type_is_told_as_it_is_given() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let ann = Caller::user(&sandbox, "ann", &["moderator:read:followers"]);
    let mut reader = EventSub::connect(&sandbox).await;
    let condition = json!({ "broadcaster_user_id": id_of("ann"), "moderator_user_id": id_of("ann") });
    let transport = json!({ "method": "websocket", "session_id": reader.session });
    let body =
        json!({ "type": "channel.follow", "version": "2", "condition": condition, "transport": transport });
    let made = ann.post(SUBSCRIPTIONS, body).await;
    let id = made.body["data"][0]["id"].as_str().unwrap();
    let emit = |event: Value, subscription: Option<&str>| Emit {
        kind: "channel.follow".into(),
        version: None,
        event,
        subscription: subscription.map(str::to_owned),
    };
    let event =
        json!({ "broadcaster_user_id": id_of("ann"), "user_login": "bob", "anything": [1, { "b": null }] });
    assert_eq!(api.emit(&emit(event.clone(), None)).unwrap(), 1);
    let frame = reader.next().await;
    assert_eq!(frame["payload"]["event"], event);
    assert_eq!(
        (&frame["metadata"]["subscription_type"], &frame["metadata"]["subscription_version"]),
        (&json!("channel.follow"), &json!("2"))
    );
    assert!(api.repeat_notification(id).unwrap());
    assert_eq!(reader.next().await, frame, "the same message id");
    let foreign = json!({ "broadcaster_user_id": "1" });
    assert_eq!(api.emit(&emit(foreign.clone(), None)).unwrap(), 0);
    assert_eq!(api.emit(&emit(foreign, Some(id))).unwrap(), 1);
    reader.notified().await;
    api.revoke_subscription(id, "user_removed").unwrap();
    let revoked = reader.next().await;
    assert_eq!(
        (&revoked["metadata"]["message_type"], &revoked["payload"]["subscription"]["status"]),
        (&json!("revocation"), &json!("user_removed"))
    );
    assert_eq!(api.emit(&emit(event, None)).unwrap(), 0);
}

#[tokio::test]
async fn a_senseless_subscription_is_refused() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let reader = EventSub::connect(&sandbox).await;
    let good = chat_of("hall", "bot", &reader.session);
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, status, message) in [
        (with("/type", json!("channel.chat")), 400, "invalid subscription type and version"),
        (with("/version", json!("2")), 400, "invalid subscription type and version"),
        (with("/condition", json!({ "broadcaster_user_id": "1" })), 400, "the condition lacks user_id"),
        (with("/condition/user_id", json!("1")), 403, "subscription missing proper authorization"),
        (
            with("/transport/session_id", json!("gone")),
            400,
            "websocket transport session does not exist or has already disconnected",
        ),
        (with("/transport/method", json!("pigeon")), 400, "invalid transport method"),
        (
            with("/transport", json!({ "method": "conduit", "conduit_id": "x" })),
            400,
            "invalid transport and auth combination",
        ),
    ] {
        let refused = bot.post(SUBSCRIPTIONS, body.clone()).await;
        assert_eq!((refused.status, &refused.body["message"]), (status, &json!(message)), "{body}");
    }
    let app = Caller::app(&sandbox).post(SUBSCRIPTIONS, good.clone()).await;
    assert_eq!(app.body["message"], "invalid transport and auth combination");
    let without_scope = Caller::user(&sandbox, "bot", &[]).post(SUBSCRIPTIONS, good.clone()).await;
    assert_eq!(without_scope.status, 403);
    assert_eq!(bot.post(SUBSCRIPTIONS, good.clone()).await.status, 202);
    let double = bot.post(SUBSCRIPTIONS, good).await;
    assert_eq!(
        double.body,
        json!({ "error": "Conflict", "status": 409, "message": "subscription already exists" })
    );
}

#[tokio::test]
async fn subscriptions_are_listed_in_pages_filtered_and_deleted() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let reader = EventSub::connect(&sandbox).await;
    let mut ids = Vec::new();
    for n in 0..102 {
        let made = bot.subscribe(&reader.session, &format!("channel{n}"), "bot").await;
        assert_eq!(made.status, 202, "{}", made.body);
        ids.push(made.body["data"][0]["id"].clone());
    }
    let page = bot.get(SUBSCRIPTIONS).await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["total"]), (100, &json!(102)));
    let rest =
        bot.get(&format!("{SUBSCRIPTIONS}?after={}", page["pagination"]["cursor"].as_str().unwrap())).await;
    let listed: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .chain(rest["data"].as_array().unwrap())
        .map(|row| row["id"].clone())
        .collect();
    assert_eq!((listed, &rest["pagination"]), (ids.clone(), &json!({})));
    let gone = format!("{SUBSCRIPTIONS}?id={}", ids[0].as_str().unwrap());
    assert_eq!(bot.ask(Method::DELETE, &gone, Value::Null).await.status, 204);
    assert_eq!(bot.ask(Method::DELETE, &gone, Value::Null).await.status, 404);
    assert_eq!(bot.get(&format!("{SUBSCRIPTIONS}?status=enabled")).await["total"], 101);
    let of_one = bot.get(&format!("{SUBSCRIPTIONS}?user_id={}", id_of("channel5"))).await;
    assert_eq!(of_one["data"].as_array().unwrap().len(), 1);
    assert_eq!(bot.get(&format!("{SUBSCRIPTIONS}?type=stream.online")).await["data"], json!([]));
    assert_eq!(Caller::user(&sandbox, "ann", READ).get(SUBSCRIPTIONS).await["total"], 0);
}

#[tokio::test]
async fn what_costs_too_much_is_refused() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let reader = EventSub::connect(&sandbox).await;
    for n in 0..10 {
        let made = bot.post(SUBSCRIPTIONS, online_of(&format!("channel{n}"), &reader.session)).await;
        assert_eq!((made.status, &made.body["total_cost"]), (202, &json!(n + 1)), "{}", made.body);
    }
    assert_eq!(bot.post(SUBSCRIPTIONS, online_of("channel10", &reader.session)).await.status, 429);
    // One who has let the application in costs nothing.
    sandbox.twitch_api().make_token(&NewToken::of("channel10", &[])).unwrap();
    let made = bot.post(SUBSCRIPTIONS, online_of("channel10", &reader.session)).await;
    assert_eq!((made.status, &made.body["data"][0]["cost"]), (202, &json!(0)));
}

#[tokio::test]
async fn a_user_has_subscriptions_on_three_connections_at_most() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut readers = Vec::new();
    for status in [202, 202, 202, 429] {
        let reader = EventSub::connect(&sandbox).await;
        assert_eq!(bot.subscribe(&reader.session, "hall", "bot").await.status, status);
        readers.push(reader);
    }
    assert_eq!(
        Caller::user(&sandbox, "ann", READ).subscribe(&readers[3].session, "hall", "ann").await.status,
        202
    );
}

#[tokio::test]
async fn a_whisper_is_told_to_its_reader() {
    let sandbox = sandbox().await;
    let ann = Caller::user(&sandbox, "ann", &["user:read:whispers"]);
    let bot = Caller::user(&sandbox, "bot", &["user:manage:whispers"]);
    let mut reader = EventSub::connect(&sandbox).await;
    let body = json!({
        "type": "user.whisper.message",
        "version": "1",
        "condition": { "user_id": id_of("ann") },
        "transport": { "method": "websocket", "session_id": reader.session },
    });
    assert_eq!(ann.post(SUBSCRIPTIONS, body).await.status, 202);
    let path = format!("/helix/whispers?from_user_id={}&to_user_id={}", id_of("bot"), id_of("ann"));
    assert_eq!(bot.post(&path, json!({ "message": "psst" })).await.status, 204);
    let told = reader.notified().await;
    assert_eq!(
        (&told["event"]["from_user_login"], &told["event"]["whisper"]["text"]),
        (&json!("bot"), &json!("psst"))
    );
}

#[tokio::test]
async fn who_disconnects_the_application_ends_its_subscriptions() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut reader = EventSub::connect(&sandbox).await;
    bot.subscribe(&reader.session, "hall", "bot").await;
    assert_eq!(sandbox.twitch_api().end_tokens_of("bot", true).unwrap(), 1);
    let revoked = reader.next().await;
    assert_eq!(revoked["payload"]["subscription"]["status"], "authorization_revoked");
    assert_eq!(bot.ask(Method::GET, "/helix/users", Value::Null).await.status, 401);
}

#[tokio::test]
async fn everything_that_is_said_at_once_is_told_in_order() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut reader = EventSub::connect(&sandbox).await;
    bot.subscribe(&reader.session, "hall", "bot").await;
    // More than may wait for one connection.
    let say = Say { count: 10_000, ..Say::new("hall", "ann", "number {n}") };
    let (said, ()) = tokio::join!(sandbox.twitch().say(&say), async {
        for n in 1..=10_000 {
            assert_eq!(reader.notified().await["event"]["message"]["text"], format!("number {n}"));
        }
    });
    assert_eq!((said.unwrap().len(), sandbox.twitch_api().undeliverable()), (10_000, 0));
}
