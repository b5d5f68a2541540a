//! `POST /api/v1/send` with a bot's token.

use chatbus_bus::{Bus as _, Message, Publish as _, Record, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Attributes, ErrorInfo, Event, Family, Finalize, MessageId, Status, Topic};
use chatbus_gateway::tokens::NewToken;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::{Fixture, PATIENCE};

fn new_bot() -> NewToken {
    NewToken { user_id: "bot".to_owned(), bot: Some("bot".to_owned()), ..NewToken::default() }
}

/// Status and body of the answer.
async fn post(fixture: &Fixture, query: &str, headers: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    let request = format!(
        "POST /api/v1/send{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    // The server may answer before it has read all of it.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer");
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn bearer(secret: &str) -> String {
    format!("Authorization: Bearer {secret}\r\n")
}

async fn sayings(fixture: &Fixture) -> Vec<Record> {
    let mut found = Vec::new();
    for family in [Family::Egress, Family::InstanceEgress] {
        let scan = Scan { topics: ScanTopics::Family(family), from: ScanFrom::Oldest, follow: false };
        let mut records = fixture.feeds.scan(scan).await.unwrap();
        while let Some(record) = records.next().await {
            found.push(record.unwrap());
        }
    }
    found
}

async fn finalize(fixture: &Fixture, delivery_id: &str, status: Status) {
    let error = ErrorInfo { code: "x".to_owned(), message: "y".to_owned() };
    let finalize = Finalize {
        correlation_id: "c",
        delivery_id,
        destination: "internal.egress.v1",
        delivered_at: fixture.runtime.clock.now(),
        status,
        provider_message_id: None,
        error: (status == Status::Failed).then_some(&error),
        attempts: &[],
        candidates: None,
        annotations: None,
        routing_slip: None,
        metadata: None,
        qos: None,
    };
    let message = Message::new(finalize.message_id(), finalize.attributes("test", None), finalize.body());
    fixture.feeds.publish(&Topic::finalizer(), message).await.unwrap();
}

const HELLO: &str = r##"{"to":"twitch:#a","text":"hello"}"##;

#[tokio::test]
async fn a_key_is_published_once_and_answered_alike() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let keyed = format!("{}Idempotency-Key: order 7\r\n", bearer(&secret));
    let (status, first) = post(&fixture, "", &keyed, HELLO).await;
    assert_eq!((status, &first["id"]), (202, &json!("order 7")), "{first}");
    assert_eq!(post(&fixture, "", &keyed, HELLO).await, (202, first.clone()));
    let said = sayings(&fixture).await;
    assert_eq!(said.len(), 1);
    let event = Event::decode(&said[0].message.body).unwrap();
    assert_eq!(event.correlation_id().map(Value::from), Some(first["correlationId"].clone()));
    assert_eq!(said[0].message.attributes.get("deliveryId"), first["deliveryId"].as_str());
    assert_eq!(
        (event.channel().as_deref(), event.message().unwrap().text.as_deref()),
        (Some("#a"), Some("hello"))
    );
    // Another bot's key of the same name is another, and so is none at all.
    let (other, _) = fixture.token_with(NewToken { user_id: "other".to_owned(), ..new_bot() }).await;
    let (_, theirs) =
        post(&fixture, "", &format!("{}Idempotency-Key: order 7\r\n", bearer(&other)), HELLO).await;
    let (_, unkeyed) = post(&fixture, "", &bearer(&secret), HELLO).await;
    assert_eq!(unkeyed["id"], unkeyed["deliveryId"]);
    assert_eq!(sayings(&fixture).await.len(), 3);
    assert!(theirs["deliveryId"] != first["deliveryId"] && unkeyed["deliveryId"] != first["deliveryId"]);
}

#[tokio::test]
async fn who_waits_is_told_the_outcome_also_of_a_repeat() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let keyed = format!("{}Idempotency-Key: k\r\n", bearer(&secret));
    let ends = async {
        loop {
            if let Some(said) = sayings(&fixture).await.first() {
                finalize(&fixture, "another", Status::Sent).await;
                finalize(&fixture, said.message.attributes.get("deliveryId").unwrap(), Status::Failed).await;
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let ((status, answer), ()) = tokio::join!(post(&fixture, "?wait=outcome", &keyed, HELLO), ends);
    let outcome = json!({"status": "FAILED", "error": {"code": "x", "message": "y"}});
    assert_eq!((status, &answer["outcome"]), (200, &outcome));
    // Said again long after it ended.
    tokio::time::pause();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    tokio::time::resume();
    assert_eq!(post(&fixture, "?wait=outcome", &keyed, HELLO).await, (200, answer));
    assert_eq!(sayings(&fixture).await.len(), 1);
}

#[tokio::test]
async fn an_event_is_answered_where_it_came_from_if_the_token_covers_it() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let limited = NewToken { channels: vec!["#y".to_owned()], ..new_bot() };
    let (limited, _) = fixture.token_with(limited).await;
    let body = json!({
        "v": "1", "id": "e-1", "correlationId": "c-1", "type": "chat.message.v1", "source": "ingress.twitch",
        "channel": "#x", "userId": "7", "egress": {"destination": "internal.egress.v1.one", "type": "chat"},
        "message": {"id": "m-1", "role": "user", "text": "!ping"},
    });
    let message = Message::new(MessageId::new("e-1"), Attributes::new(), body.to_string());
    fixture.feeds.publish(&Topic::ingress(), message).await.unwrap();
    for id in ["e-1", "m-1"] {
        let reply = json!({"replyTo": id, "text": "pong"}).to_string();
        let (status, answer) = post(&fixture, "", &bearer(&secret), &reply).await;
        assert_eq!((status, &answer["correlationId"]), (202, &json!("c-1")), "{answer}");
        let (status, answer) = post(&fixture, "", &bearer(&limited), &reply).await;
        assert_eq!(status, 400, "what it does not cover it does not know: {answer}");
    }
    let said = sayings(&fixture).await;
    assert!(said.iter().all(|said| said.topic.as_str() == "internal.egress.v1.one"), "{said:?}");
    assert_eq!(said.len(), 2);
    let unknown = json!({"replyTo": "e-", "text": "pong"}).to_string();
    let (status, answer) = post(&fixture, "", &bearer(&secret), &unknown).await;
    assert_eq!(status, 400);
    assert!(answer["error"]["message"].as_str().unwrap().contains("replyTo"), "{answer}");
}

#[tokio::test]
async fn what_may_not_be_sent_is_answered_with_its_code_and_not_published() {
    let fixture = Fixture::new().await;
    let (user, _) = fixture.token("alice").await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let (limited, _) = fixture.token_with(NewToken { channels: vec!["#b".to_owned()], ..new_bot() }).await;
    let page = NewToken { origins: vec!["https://chat.example".to_owned()], ..new_bot() };
    let (page, _) = fixture.token_with(page).await;
    let large = json!({"to": "twitch:#a", "text": "x".repeat(65 * 1024)}).to_string();
    let no_text = r##"{"to":"twitch:#a"}"##;
    for (headers, body, status, code, named) in [
        (bearer(&"0".repeat(64)), HELLO, 401, "unauthorized", "unknown"),
        (bearer(&user), HELLO, 403, "forbidden", "bot tokens"),
        (bearer(&limited), HELLO, 403, "forbidden", "target"),
        (
            format!("{}Origin: https://other.example\r\n", bearer(&page)),
            HELLO,
            403,
            "origin_not_allowed",
            "origin",
        ),
        (bearer(&secret), "{", 400, "bad_request", "JSON"),
        (bearer(&secret), no_text, 400, "bad_request", "text"),
        (bearer(&secret), r#"{"to":"nobody","text":"hi"}"#, 400, "bad_request", "to: "),
        (bearer(&secret), &large, 413, "too_large", "65536"),
    ] {
        let (got, answer) = post(&fixture, "", &headers, body).await;
        let error = &answer["error"];
        assert_eq!((got, &error["code"]), (status, &json!(code)), "{body:.60}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(named), "{answer}");
    }
    // Without a token of the gateway's shape it is somebody else's route: here nobody's.
    assert_eq!(post(&fixture, "", "", HELLO).await.0, 404);
    assert_eq!(post(&fixture, "", &bearer("an administrator's"), HELLO).await.0, 404);
    assert!(sayings(&fixture).await.is_empty());
    let mut answers = Vec::new();
    for _ in 0..21 {
        answers.push(post(&fixture, "", &bearer(&limited), r##"{"to":"twitch:#b","text":"hi"}"##).await.0);
    }
    assert_eq!((answers.iter().filter(|status| **status == 202).count(), answers[20]), (19, 429));
    fixture.feeds.close().await;
    let (status, answer) = post(&fixture, "", &bearer(&secret), HELLO).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("bus_unavailable")));
}
