//! The life of an EventSub connection.

use std::time::Duration;

use chatbus_sandbox::twitch_api::Sessions;
use chatbus_sandbox::twitch_irc::Say;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Caller, EventSub, READ};
use crate::client::sandbox;

const ALL: Sessions = Sessions { session: None, connection: None };

#[tokio::test]
async fn a_client_is_welcomed_with_the_timeout_it_asked_for() {
    let sandbox = sandbox().await;
    for (path, seconds) in [
        ("ws", 10),
        ("ws?keepalive_timeout_seconds=600", 600),
        ("eventsub/ws?keepalive_timeout_seconds=30", 30),
    ] {
        let url = format!("ws://{}/{path}", sandbox.twitch_api().addr());
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
        let welcome: Value = serde_json::from_str(&text).unwrap();
        let session = &welcome["payload"]["session"];
        assert_eq!(
            (&session["status"], &session["keepalive_timeout_seconds"]),
            (&json!("connected"), &json!(seconds))
        );
        assert!(session["reconnect_url"].is_null() && session["connected_at"].is_string());
    }
    for wrong in ["9", "601", "x"] {
        let url = format!("{}?keepalive_timeout_seconds={wrong}", sandbox.twitch_api().eventsub_url());
        assert!(tokio_tungstenite::connect_async(url).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_client_that_speaks_is_closed_and_one_that_pings_is_not() {
    let sandbox = sandbox().await;
    for message in [Message::text("hello"), Message::binary(&b"hello"[..])] {
        let mut reader = EventSub::connect(&sandbox).await;
        reader.socket.send(Message::Ping("p".into())).await.unwrap();
        assert_eq!(reader.message().await, Message::Pong("p".into()));
        reader.socket.send(message).await.unwrap();
        assert_eq!(reader.closed().await, 4001);
    }
}

#[tokio::test]
async fn a_reconnect_takes_the_subscriptions_along_and_the_old_connection_is_closed_in_the_end() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut old = EventSub::connect(&sandbox).await;
    bot.subscribe(&old.session, "hall", "bot").await;
    assert_eq!(api.reconnect_sessions(&old.which(), Some(Duration::from_millis(700))), 1);
    let sent_away = old.next().await;
    let session = &sent_away["payload"]["session"];
    assert_eq!(
        (&sent_away["metadata"]["message_type"], &session["status"]),
        (&json!("session_reconnect"), &json!("reconnecting"))
    );
    assert!(session["keepalive_timeout_seconds"].is_null());
    let url = session["reconnect_url"].as_str().unwrap();
    sandbox.twitch().say(&Say::new("hall", "ann", "before")).await.unwrap();
    assert_eq!(old.notified().await["event"]["message"]["text"], "before");
    let mut new = EventSub::at(url).await;
    assert_eq!(new.session, old.session);
    sandbox.twitch().say(&Say::new("hall", "ann", "after")).await.unwrap();
    assert_eq!(new.notified().await["event"]["message"]["text"], "after");
    assert_eq!(old.closed().await, 4004);
    // The session lives on, and its URL worked once.
    assert_eq!(
        bot.get("/helix/eventsub/subscriptions?status=enabled").await["data"].as_array().unwrap().len(),
        1
    );
    let (mut third, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let Message::Close(Some(frame)) = third.next().await.unwrap().unwrap() else { panic!("a close") };
    assert_eq!(u16::from(frame.code), 4007);
}

#[tokio::test]
async fn a_client_that_does_not_come_loses_its_session() {
    let sandbox = sandbox().await;
    let bot = Caller::user(&sandbox, "bot", READ);
    let mut reader = EventSub::connect(&sandbox).await;
    bot.subscribe(&reader.session, "hall", "bot").await;
    sandbox.twitch_api().reconnect_sessions(&ALL, Some(Duration::from_millis(10)));
    assert_eq!(reader.closed().await, 4004);
    drop(reader);
    sandbox.twitch_api().wait_for_sessions(0).await;
    assert_eq!(sandbox.twitch_api().subscriptions()[0]["status"], "websocket_disconnected");
}

#[tokio::test]
async fn an_orphan_stands_in_the_way_until_it_is_deleted() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let bot = Caller::user(&sandbox, "bot", READ);
    let reader = EventSub::connect(&sandbox).await;
    bot.subscribe(&reader.session, "hall", "bot").await;
    assert_eq!(api.drop_sessions(&ALL), 1);
    sandbox.twitch_api().wait_for_sessions(0).await;
    let orphans = bot.get("/helix/eventsub/subscriptions?status=websocket_disconnected").await;
    assert!(orphans["data"][0]["transport"]["disconnected_at"].is_string(), "{orphans}");
    let next = EventSub::connect(&sandbox).await;
    assert_eq!(bot.subscribe(&next.session, "hall", "bot").await.status, 409);
    let id = orphans["data"][0]["id"].as_str().unwrap();
    let path = format!("/helix/eventsub/subscriptions?id={id}");
    assert_eq!(bot.ask(Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(bot.subscribe(&next.session, "hall", "bot").await.status, 202);
    api.drop_sessions(&ALL);
    sandbox.twitch_api().wait_for_sessions(0).await;
    api.set_orphans_conflict(false);
    let last = EventSub::connect(&sandbox).await;
    assert_eq!(bot.subscribe(&last.session, "hall", "bot").await.status, 202);
}

#[tokio::test]
async fn connections_are_closed_with_a_code_dropped_and_frozen_as_a_test_asks() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let mut closed = EventSub::connect(&sandbox).await;
    let mut dropped = EventSub::connect(&sandbox).await;
    let mut frozen = EventSub::connect(&sandbox).await;
    assert_eq!(api.close_sessions(&closed.which(), 4000, "internal server error").unwrap(), 1);
    assert_eq!(closed.closed().await, 4000);
    assert_eq!(api.drop_sessions(&dropped.which()), 1);
    assert!(dropped.socket.next().await.is_none_or(|end| end.is_err()), "no close frame");
    let bot = Caller::user(&sandbox, "bot", READ);
    bot.subscribe(&frozen.session, "hall", "bot").await;
    assert_eq!(api.freeze_sessions(&frozen.which(), true), 1);
    sandbox.twitch().say(&Say::new("hall", "ann", "later")).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(100), frozen.socket.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(api.freeze_sessions(&frozen.which(), false), 1);
    assert_eq!(frozen.notified().await["event"]["message"]["text"], "later");
    for code in [0, 999, 1004, 1005, 5000] {
        assert!(api.close_sessions(&ALL, code, "").is_err(), "{code}");
    }
}

#[tokio::test]
async fn a_sandbox_stops_whole_with_clients_connected() {
    let sandbox = sandbox().await;
    let mut reader = EventSub::connect(&sandbox).await;
    Caller::user(&sandbox, "bot", READ).subscribe(&reader.session, "hall", "bot").await;
    tokio::time::timeout(super::PATIENCE, sandbox.stop()).await.expect("it stops");
    while let Some(Ok(_)) = reader.socket.next().await {}
}
