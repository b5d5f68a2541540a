use std::sync::Arc;
use std::time::Instant;

use chatbus_connector::Audience;
use chatbus_runtime::Fence;
use serde_json::{Value, json};

use super::*;

fn parse(text: &str) -> Result<Request, (&'static str, String)> {
    Request::parse(&Bytes::copy_from_slice(text.as_bytes()))
        .map_err(|problem| (problem.code.as_str(), problem.message.into_owned()))
}

fn json_of(frame: &Bytes) -> Value {
    serde_json::from_slice(frame).unwrap()
}

fn now() -> Timestamp {
    Timestamp::parse("2025-11-21T17:02:00Z").unwrap()
}

#[test]
fn a_frame_of_each_type_is_read() {
    let send = |id: Option<&str>, text: &str, channel: Option<&str>| {
        let owned = |text: &str| text.to_owned();
        Ok(Request::Send { id: id.map(owned), text: text.to_owned(), channel: channel.map(owned) })
    };
    for (text, request) in [
        (
            r##"{"type":"chat.message.send","payload":{"text":"h\u00e9","channel":"#a"},"metadata":{"id":"m1"}}"##,
            send(Some("m1"), "hé", Some("#a")),
        ),
        (r#"{"type":"chat.message.send","payload":{"text":" x ","room":"r"}}"#, send(None, " x ", Some("r"))),
        (
            r#" {"metadata":null,"extra":[1,{"a":2}],"payload":{"text":"x","channel":null},"type":"chat.message.send"} "#,
            send(None, "x", None),
        ),
        (
            r#"{"type":"connection.resume","payload":{"epoch":"e","seq":18446744073709551615}}"#,
            Ok(Request::Resume { id: None, epoch: "e".to_owned(), seq: u64::MAX }),
        ),
        (r#"{"type":"ping"}"#, Ok(Request::Ping { id: None })),
    ] {
        assert_eq!(parse(text), request, "{text}");
    }
}

#[test]
fn every_mistake_has_its_code() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let long_id = format!(r#"{{"type":"ping","metadata":{{"id":"{}"}}}}"#, "x".repeat(257));
    for (text, code) in [
        ("", "bad_frame"),
        ("{", "bad_frame"),
        ("[]", "bad_frame"),
        ("null", "bad_frame"),
        (r#"{"type":"ping"} x"#, "bad_frame"),
        (r#"{"payload":{}}"#, "bad_frame"),
        (r#"{"type":7}"#, "bad_frame"),
        (&deep, "bad_frame"),
        (r#"{"type":""}"#, "unsupported_type"),
        (r#"{"type":"chat.ack"}"#, "unsupported_type"),
        (r#"{"type":"unsubscribed","payload":{"topic":"ingress"}}"#, "unsupported_type"),
        (r#"{"type":"chat.message.send"}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":[]}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":{}}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":{"text":7}}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":{"text":"  "}}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":{"text":"x","channel":7}}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":{"text":"x"},"metadata":[]}"#, "bad_request"),
        (r#"{"type":"chat.message.send","payload":{"text":"x"},"metadata":{"id":7}}"#, "bad_request"),
        (r#"{"type":"connection.resume","payload":{"epoch":"e"}}"#, "bad_request"),
        (r#"{"type":"connection.resume","payload":{"epoch":"e","seq":-1}}"#, "bad_request"),
        (r#"{"type":"connection.resume","payload":{"seq":1}}"#, "bad_request"),
        (&long_id, "bad_request"),
    ] {
        let problem = parse(text).expect_err(text);
        assert_eq!(problem.0, code, "{text}: {}", problem.1);
    }
}

#[test]
fn a_mistake_echoes_the_id_and_little_of_the_rest() {
    let long = format!(r#"{{"type":"{}","metadata":{{"id":"m1"}}}}"#, "é".repeat(500));
    let problem = Request::parse(&Bytes::from(long)).unwrap_err();
    assert_eq!(problem.id.as_deref(), Some("m1"));
    assert!(problem.message.len() < 120, "{}", problem.message);
}

#[test]
fn a_delivery_says_what_the_contract_says() {
    let event = |json: &'static str| Event::decode(&Bytes::from_static(json.as_bytes())).ok().map(Arc::new);
    let outbound = Outbound {
        delivery_id: "d-1".into(),
        target: Audience::User("a".into()),
        text: "say \"hi\"\n".to_owned(),
        reply_to: None,
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        deadline: Instant::now(),
        may_have_been_sent: false,
        fence: Fence::always(),
        event: event(r#"{"type":"chat.message.v1","source":"llm-bot","correlationId":"c-1"}"#),
    };
    assert_eq!(
        json_of(&received(&outbound, 7, now())),
        json!({
            "type": "chat.message.received",
            "payload": {"text": "say \"hi\"\n", "type": "chat.message.v1"},
            "metadata": {"id": "d-1", "correlationId": "c-1", "seq": 7,
                         "timestamp": "2025-11-21T17:02:00.000Z", "source": "llm-bot"},
        })
    );
    let mut data = outbound.clone();
    data.text.clear();
    data.event = event(r#"{"type":"chat.message.v1","egress":{"type":"event"},"payload":{"score":3}}"#);
    let frame = json_of(&received(&data, 8, now()));
    assert_eq!(frame["payload"], json!({"data": {"score": 3}, "type": "chat.message.v1"}));
    let bare = json_of(&received(&Outbound { event: None, ..outbound }, 9, now()));
    assert_eq!(bare["payload"], json!({"text": "say \"hi\"\n"}));
}

#[test]
fn the_other_frames_are_as_the_contract_says() {
    let stamp = json!({"timestamp": "2025-11-21T17:02:00.000Z"});
    let id = uuid::Uuid::nil().to_string();
    for (frame, kind, payload) in [
        (
            ready("u", "gw-1", "e1", 3, now()),
            "connection.ready",
            json!({"user_id": "u", "instance": "gw-1", "epoch": "e1", "seq": 3}),
        ),
        (ack("m1", &id, false, now()), "chat.ack", json!({"id": "m1", "correlationId": id.to_string()})),
        (
            ack("m1", &id, true, now()),
            "chat.ack",
            json!({"id": "m1", "correlationId": id.to_string(), "spooled": true}),
        ),
        (
            error(ErrorCode::BadRequest, "no", Some("m1"), None, now()),
            "chat.error",
            json!({"code": "bad_request", "message": "no", "id": "m1"}),
        ),
        (
            error(ErrorCode::Draining, "no", None, Some(2.34), now()),
            "chat.error",
            json!({"code": "draining", "message": "no", "retry_after": 2.3}),
        ),
        (
            resumed(None, "e1", 3, now()),
            "connection.resumed",
            json!({"recovered": false, "epoch": "e1", "seq": 3, "messages": 0}),
        ),
        (
            resumed(Some(2), "e1", 3, now()),
            "connection.resumed",
            json!({"recovered": true, "epoch": "e1", "seq": 3, "messages": 2}),
        ),
        (pong(None, now()), "pong", json!({})),
    ] {
        assert_eq!(json_of(&frame), json!({"type": kind, "payload": payload, "metadata": stamp}));
    }
}
