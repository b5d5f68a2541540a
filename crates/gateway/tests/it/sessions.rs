//! What a client meets.

use std::time::Duration;

use chatbus_connector::Accepted;
use chatbus_event::Event;
use chatbus_gateway::tokens::{self, NewToken};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Fixture, PATIENCE};

#[tokio::test]
async fn a_message_becomes_an_event_and_is_acknowledged() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token("alice").await;
    let (mut client, ready) = fixture.connect(&secret).await;
    assert_eq!(
        ready["payload"],
        json!({"user_id": "alice", "instance": "gw-1", "epoch": "gw-1-epoch", "seq": 0})
    );
    client.say("m1", "hello").await;
    let ack = client.next().await;
    assert_eq!((&ack["type"], &ack["payload"]["id"]), (&json!("chat.ack"), &json!("m1")));
    assert_eq!(ack["payload"].get("spooled"), None);
    let taken = fixture.bus.taken.lock().unwrap();
    let event = Event::decode(&taken[0].body).unwrap();
    assert_eq!(event.correlation_id().as_deref(), ack["payload"]["correlationId"].as_str());
    assert_eq!((event.source(), event.user_id().as_deref()), ("api-gateway".into(), Some("alice")));
    assert_eq!(event.message().unwrap().text.as_deref(), Some("hello"));
    assert!(event.metadata("connectionId").is_some());
}

#[tokio::test]
async fn a_uuid_sent_twice_is_acknowledged_alike_and_what_the_bus_says_is_passed_on() {
    let fixture = Fixture::new().await;
    let mut client = fixture.user("alice").await;
    let id = "7f0f33b0-3c0e-4f7b-8f55-0d4ac2f1a001";
    *fixture.bus.answers.lock().unwrap() = vec![
        Some(Accepted::Refused("too long".to_owned())),
        Some(Accepted::Spooled),
        Some(Accepted::Duplicate),
        Some(Accepted::Bus),
    ];
    client.say(id, "once").await;
    let first = client.next().await;
    client.say(id, "once").await;
    let second = client.next().await;
    assert_eq!(first["payload"], second["payload"]);
    {
        let taken = fixture.bus.taken.lock().unwrap();
        assert_eq!(taken[0].id, taken[1].id);
    }
    client.say("x", "spooled").await;
    assert_eq!(client.next().await["payload"]["spooled"], true);
    client.say("y", "refused").await;
    let error = client.next().await;
    assert_eq!((&error["payload"]["code"], &error["payload"]["id"]), (&json!("refused"), &json!("y")));
}

#[tokio::test]
async fn a_bus_that_says_nothing_is_an_error_for_that_message_only() {
    let fixture = Fixture::new().await;
    let mut client = fixture.user("alice").await;
    *fixture.bus.answers.lock().unwrap() = vec![Some(Accepted::Bus), None];
    client.say("a", "one").await;
    client.say("b", "two").await;
    assert_eq!(client.next().await["payload"]["id"], "b");
    tokio::time::pause();
    let error = client.next().await;
    assert_eq!(
        (&error["payload"]["code"], &error["payload"]["id"]),
        (&json!("bus_unavailable"), &json!("a"))
    );
}

#[tokio::test]
async fn who_may_not_connect_is_told_why() {
    let fixture = Fixture::new().await;
    let status = async |secret: &str| fixture.try_connect(fixture.request(secret)).await.err();
    assert_eq!(status("nonsense").await, Some(401));
    let (secret, _) = fixture
        .token_with(NewToken { user_id: "a".to_owned(), lives: Some(Duration::ZERO), ..NewToken::default() })
        .await;
    assert_eq!(status(&secret).await, Some(401), "expired");
    let (secret, _) = fixture
        .token_with(NewToken {
            user_id: "a".to_owned(),
            origins: vec!["https://chat.example".to_owned()],
            ..NewToken::default()
        })
        .await;
    assert_eq!(status(&secret).await, Some(403), "no origin");
    let mut request = fixture.request(&secret);
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(fixture.try_connect(request).await.err(), Some(403));
    let mut request = fixture.request(&secret);
    request.headers_mut().insert("origin", "https://chat.example".parse().unwrap());
    assert!(fixture.try_connect(request).await.is_ok());
    // The state is gone: who was there a moment ago may come in, a stranger may not.
    let (known, _) = fixture.token("known").await;
    fixture.state.set_connected(false);
    assert_eq!(status("stranger").await, Some(503));
    let _ = known;
}

#[tokio::test]
async fn a_browser_connects_with_a_subprotocol() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token("alice").await;
    let mut request = fixture.request(&secret);
    request.headers_mut().remove("authorization");
    let offered = format!("chatbus.v1, bearer.{secret}");
    request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
    let mut client = fixture.try_connect(request).await.unwrap();
    assert_eq!(client.headers["sec-websocket-protocol"], "chatbus.v1");
    assert_eq!(client.next().await["type"], "connection.ready");
}

#[tokio::test]
async fn the_eleventh_connection_of_a_user_waits_for_another_to_end() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token("alice").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(fixture.connect(&secret).await.0);
    }
    assert_eq!(fixture.try_connect(fixture.request(&secret)).await.err(), Some(429));
    fixture.user("bob").await.works().await;
    clients.pop().unwrap().ws.close(None).await.unwrap();
    fixture.until("a place", |fixture| fixture.gateway.connections() <= 10).await;
    fixture.connect(&secret).await.0.works().await;
}

#[tokio::test]
async fn a_revoked_token_closes_its_connections_at_once_and_no_others() {
    let fixture = Fixture::new().await;
    let (secret, token) = fixture.token("alice").await;
    let (mut first, _) = fixture.connect(&secret).await;
    let (mut second, _) = fixture.connect(&secret).await;
    let mut other = fixture.user("alice").await;
    assert!(tokens::revoke(&*fixture.state, &token.id).await.unwrap());
    assert_eq!(first.closed().await, (4401, "token revoked".to_owned()));
    assert_eq!(second.closed().await.0, 4401);
    other.works().await;
    assert_eq!(fixture.try_connect(fixture.request(&secret)).await.err(), Some(401));
    assert!(!tokens::revoke(&*fixture.state, &token.id).await.unwrap());
    assert_eq!(tokens::list(&*fixture.state).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_expires_closes_its_connection() {
    let fixture = Fixture::new().await;
    let lives = Some(Duration::from_millis(300));
    let (secret, _) =
        fixture.token_with(NewToken { user_id: "a".to_owned(), lives, ..NewToken::default() }).await;
    let (mut client, _) = fixture.connect(&secret).await;
    assert_eq!(client.closed().await, (4401, "token expired".to_owned()));
}

#[tokio::test]
async fn clients_are_sent_away_when_the_instance_drains() {
    let mut fixture = Fixture::new().await;
    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(fixture.user(&format!("user-{n}")).await);
    }
    fixture.drain.cancel();
    let mut waits = std::collections::BTreeSet::new();
    for client in &mut clients {
        let last = client.next().await;
        assert_eq!(last["payload"]["code"], "draining");
        waits.insert(last["payload"]["retry_after"].to_string());
        let (code, reason) = client.closed().await;
        let reason: serde_json::Value = serde_json::from_str(&reason).unwrap();
        assert_eq!((code, &reason["retry_after"]), (1012, &last["payload"]["retry_after"]));
    }
    assert!(waits.len() > 5, "they come back at different times: {waits:?}");
    tokio::time::timeout(PATIENCE, fixture.ended.take().unwrap()).await.unwrap().unwrap();
    let (secret, _) = fixture.token("late").await;
    assert_eq!(fixture.try_connect(fixture.request(&secret)).await.err(), Some(503));
    assert_eq!(fixture.gateway.connections(), 0);
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_let_go() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token("alice").await;
    let (client, _) = fixture.connect(&secret).await;
    let (mut alive, _) = fixture.connect(&secret).await;
    // Nobody reads from the one any more, so nobody answers its pings.
    tokio::time::pause();
    let answering = async {
        loop {
            let _ = alive.read().await;
        }
    };
    let gone = async {
        while fixture.gateway.connections() > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    // Any pong resets the count, so the other one stays.
    tokio::select! {
        () = answering => unreachable!("it stays connected"),
        () = gone => {}
    }
    drop(client);
}

#[tokio::test]
async fn rates_are_bounded_by_connection() {
    let fixture = Fixture::new().await;
    let mut client = fixture.user("alice").await;
    for n in 0..25 {
        // It is closed before the last.
        let frame =
            json!({"type": "chat.message.send", "payload": {"text": "x"}, "metadata": {"id": n.to_string()}});
        let _ = futures::SinkExt::send(&mut client.ws, Message::text(frame.to_string())).await;
    }
    let mut codes = Vec::new();
    let end = loop {
        match client.read().await {
            Ok(frame) => codes.push(frame["payload"]["code"].as_str().unwrap_or("ack").to_owned()),
            Err(end) => break end.unwrap(),
        }
    };
    assert_eq!(u16::from(end.code), 4429);
    assert_eq!(codes.iter().filter(|code| *code == "rate_limited").count(), 3);
    assert_eq!(fixture.bus.taken.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn large_and_small_messages_follow_each_other_however_they_arrive() {
    let fixture = Fixture::new().await;
    let mut client = fixture.user("alice").await;
    for n in 0..4 {
        let text = "x".repeat(15_000 * n + 1);
        // Several at once, so that the one begins in the buffer of the other.
        let ids: Vec<String> = (0..4).map(|m| format!("{n}.{m}")).collect();
        for (m, id) in ids.iter().enumerate() {
            let text = if m % 2 == 0 { &text } else { "short" };
            let frame =
                json!({"type": "chat.message.send", "payload": {"text": text}, "metadata": {"id": id}});
            futures::SinkExt::feed(&mut client.ws, Message::text(frame.to_string())).await.unwrap();
        }
        futures::SinkExt::flush(&mut client.ws).await.unwrap();
        for id in ids {
            assert_eq!(client.next().await["payload"]["id"], id);
        }
        let outbound = fixture.outbound("alice", &format!("d-{n}"), &text);
        assert!(matches!(fixture.sink.send(outbound).await, chatbus_connector::Verdict::Delivered { .. }));
        assert_eq!(client.next().await["payload"]["text"], text);
        client.works().await;
    }
}
