//! What is published to be said, and what becomes of it.

use std::time::Duration;

use chatbus_testkit::NatsServer;
use serde_json::{Value, json};

use crate::harness::{
    Chatbus, Running, SHORT, SandboxProcess, chat_event, eventually, publish, settled_records,
};

/// A bus and a bot on it, without limits on how fast it speaks.
struct World {
    sandbox: SandboxProcess,
    nats: NatsServer,
    chatbus: Chatbus,
    running: Running,
}

impl World {
    async fn start() -> Self {
        let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
        sandbox.without_limits().await;
        let chatbus = Chatbus::new()
            .reading(&sandbox.irc, "hall,yard")
            .speaking()
            .on_nats(&nats.url())
            .with("TWITCH_MESSAGE_LIMIT", "off")
            .with("EGRESS_INSTANCE_ID", "one");
        let running = chatbus.ready().await;
        Self { sandbox, nats, chatbus, running }
    }

    async fn publish(&self, topic: &str, event: &Value) {
        publish(&self.nats.url(), topic, &[], serde_json::to_vec(event).unwrap()).await;
    }

    /// The finalize event with this correlation id.
    async fn outcome(&self, correlation: &str) -> Value {
        let is_it = |record: &Value| record["event"]["correlationId"] == correlation;
        let records = settled_records(&self.nats.url(), "chatbus-finalizer", |records| {
            if records.iter().any(is_it) { Ok(()) } else { Err(format!("{} outcomes", records.len())) }
        })
        .await;
        records.into_iter().find(is_it).unwrap()["event"].clone()
    }

    async fn dead_letters(&self, correlation: &str) -> Vec<Value> {
        let is_it = |record: &Value| record["event"]["correlationId"] == correlation;
        let records = settled_records(&self.nats.url(), "chatbus-deadletter", |records| {
            if records.iter().any(is_it) { Ok(()) } else { Err(format!("{} dead letters", records.len())) }
        })
        .await;
        records.into_iter().filter(is_it).map(|record| record["event"].clone()).collect()
    }

    async fn said(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.sandbox.sent().await.iter().map(|said| (text(&said["channel"]), text(&said["text"]))).collect()
    }
}

fn id(n: u32) -> String {
    format!("6f9619ff-8b86-4d01-b42d-{n:012x}")
}

fn said(channel: &str, text: &str) -> (String, String) {
    (channel.to_owned(), text.to_owned())
}

#[tokio::test]
async fn events_of_every_shape_are_said_from_both_topics() {
    let world = World::start().await;
    let nested = json!({
        "envelope": { "v": "1", "source": "ingress.twitch", "correlationId": id(2), "traceId": "t", "routingSlip": [],
                      "egress": { "destination": "twitch" } },
        "type": "chat.message.v1", "channel": "#yard", "userId": "1337", "payload": { "chat": { "text": "nested" } },
    });
    let v1 = json!({
        "v": "1", "id": id(3), "correlationId": id(3), "traceId": "0af76519-16cd-43dd-8448-eb211c80319c",
        "timestamp": "2025-11-21T17:02:00.000Z", "type": "external.chat.message.v1",
        "source": { "platform": "twitch", "channel": "hall", "channelId": "1" },
        "user": { "id": "1337", "name": "ada", "displayName": "Ada", "profileImageUrl": "", "role": "" },
        "routingSlip": [], "finalizationDestination": "internal.finalizer.v1", "payload": { "text": "version one" },
    });
    for (topic, event) in [
        ("internal.egress.v1", chat_event(&id(0), "#hall", "flat and generic")),
        ("internal.egress.v1.one", chat_event(&id(1), "#hall", "flat and straight")),
        ("internal.egress.v1.one", nested),
        ("internal.egress.v1", v1),
    ] {
        world.publish(topic, &event).await;
    }
    for n in 0..4 {
        let outcome = world.outcome(&id(n)).await;
        assert_eq!(outcome["status"], "SENT", "{outcome}");
        assert!(outcome["providerMessageId"].is_string() && outcome["attempts"].is_array(), "{outcome}");
    }
    let mut all = world.said().await;
    all.sort();
    let wanted = [
        ("hall", "flat and generic"),
        ("hall", "flat and straight"),
        ("hall", "version one"),
        ("yard", "nested"),
    ];
    assert_eq!(all, wanted.map(|(channel, text)| said(channel, text)));
}

#[tokio::test]
async fn a_refused_send_is_failed_once_with_one_dead_letter_that_holds_the_whole_original() {
    let world = World::start().await;
    world.sandbox.post("refuse", json!({ "code": "msg_banned", "count": 1 })).await;
    let mut event = chat_event(&id(0), "#hall", "never heard");
    event["unknown"] = json!({ "kept": [1, { "deep": "down" }] });
    world.publish("internal.egress.v1", &event).await;
    let outcome = world.outcome(&id(0)).await;
    assert_eq!(
        (&outcome["status"], &outcome["error"]["code"]),
        (&json!("FAILED"), &json!("msg_banned")),
        "{outcome}"
    );
    let dead = world.dead_letters(&id(0)).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["type"], "router.deadletter.v1");
    let payload = &dead[0]["payload"];
    assert_eq!(
        (&payload["reason"], &payload["error"]["code"]),
        (&json!("rejected"), &json!("msg_banned")),
        "{payload}"
    );
    for (key, value) in event.as_object().unwrap() {
        assert_eq!(&payload["original"][key], value, "{key}");
    }
    for key in
        ["lastStepId", "originalType", "slipSummary", "originalPayloadPreview", "egressSource", "attempts"]
    {
        assert!(payload.as_object().unwrap().contains_key(key), "{key} in {payload}");
    }
}

#[tokio::test]
async fn what_cannot_be_said_in_public_never_is() {
    let world = World::start().await;
    let mut private = chat_event(&id(0), "#hall", "for one pair of eyes");
    private["source"] = json!("api-gateway");
    let mut provider = chat_event(&id(1), "#hall", "for one pair of eyes");
    provider["auth"] = json!({ "v": "1", "provider": "api-gateway", "userRef": "u" });
    let mut whisper = chat_event(&id(2), "#hall", "psst");
    whisper["egress"] = json!({ "destination": "twitch", "type": "dm" });
    let mut nowhere = chat_event(&id(3), "#hall", "to whom?");
    nowhere["source"] = json!("somewhere.else");
    let mut words = chat_event(&id(4), "#hall", "");
    words["candidates"] = json!([]);
    let mut late = chat_event(&id(5), "#hall", "too late");
    late["timeoutAt"] = json!("2020-01-01T00:00:00.000Z");
    for (n, (event, topic)) in [&private, &provider, &whisper, &nowhere, &words, &late]
        .into_iter()
        .zip(["internal.egress.v1"; 6])
        .enumerate()
    {
        let mut event = event.clone();
        if n < 2 {
            // No waiting for a user who will not come.
            event["metadata"] = json!({ "deadlineMs": 500 });
        }
        world.publish(topic, &event).await;
    }
    for (n, reasons) in [
        (0, &["user_offline", "no_instance", "unsupported", "expired"][..]),
        (1, &["user_offline", "no_instance", "unsupported", "expired"]),
        (2, &["unsupported"]),
        (3, &["no_platform"]),
        (4, &["no_text"]),
        (5, &["expired"]),
    ] {
        let dead = world.dead_letters(&id(n)).await;
        assert_eq!(dead.len(), 1, "{dead:?}");
        let reason = dead[0]["payload"]["reason"].as_str().unwrap();
        println!("event {n}: {reason}");
        assert!(reasons.contains(&reason), "event {n}: {reason}");
        assert_eq!(world.outcome(&id(n)).await["status"], "FAILED");
    }
    // A good one behind them all: what could have been said would have been by then.
    world.publish("internal.egress.v1", &chat_event(&id(9), "#hall", "public")).await;
    assert_eq!(world.outcome(&id(9)).await["status"], "SENT");
    assert_eq!(world.said().await, [said("hall", "public")]);
}

#[tokio::test]
async fn bytes_that_are_no_event_are_dead_letters_and_stop_nothing() {
    let world = World::start().await;
    for body in [&b"\xff\xfenot json"[..], b"{}", b"[1,2]", b"{\"type\":", b""] {
        publish(&world.nats.url(), "internal.egress.v1", &[], body.to_vec()).await;
    }
    world.publish("internal.egress.v1", &chat_event(&id(0), "#hall", "still here")).await;
    assert_eq!(world.outcome(&id(0)).await["status"], "SENT");
    let records = settled_records(&world.nats.url(), "chatbus-deadletter", |records| {
        if records.len() >= 5 { Ok(()) } else { Err(format!("{} dead letters", records.len())) }
    })
    .await;
    assert_eq!(records.len(), 5);
    assert!(
        records.iter().all(|record| record["event"]["payload"]["reason"] == "invalid_event"),
        "{records:?}"
    );
}

#[tokio::test]
async fn send_tells_by_its_exit_code_what_became_of_the_text() {
    let world = World::start().await;
    let send = async |args: &[&str]| {
        let args: Vec<&str> = ["send", "--url", &world.running.url].iter().chain(args).copied().collect();
        world.chatbus.run(&args).await
    };
    let done = send(&["--to", "twitch:#hall", "--json", "good"]).await;
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    let answer: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(answer["outcome"]["status"], "SENT", "{answer}");

    world.sandbox.post("refuse", json!({ "code": "msg_banned", "count": 1 })).await;
    let done = send(&["--to", "twitch:#hall", "refused"]).await;
    assert_eq!(done.code, Some(3), "{}{}", done.out, done.err);
    assert!(done.out.contains("msg_banned"), "{}", done.out);
    let done = send(&["--to", "dm:twitch:1337", "psst"]).await;
    assert_eq!(done.code, Some(3), "{}{}", done.out, done.err);

    // Nothing hears, so nothing is decided while we wait.
    world.sandbox.post("freeze", json!({})).await;
    let done = send(&["--to", "twitch:#hall", "--timeout", "1s", "into the void"]).await;
    assert_eq!(done.code, Some(4), "{}{}", done.out, done.err);
    world.sandbox.post("unfreeze", json!({})).await;

    // The same key is said once, and both are told the same.
    for _ in 0..2 {
        let done = send(&["--to", "twitch:#yard", "--idempotency-key", "k-1", "once"]).await;
        assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    }
    let once = world.said().await.iter().filter(|(_, text)| text == "once").count();
    assert_eq!(once, 1);

    let done = world.chatbus.run(&["send", "--url", "http://127.0.0.1:1", "--to", "twitch:#hall", "x"]).await;
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
}

#[tokio::test]
async fn what_waits_for_a_connection_is_said_when_it_comes_and_given_up_at_the_deadline() {
    let world = World::start().await;
    world.sandbox.post("accept", json!({ "on": false })).await;
    world.sandbox.post("drop", json!({})).await;
    eventually("the connection is gone", SHORT, async || match world.running.get("/readyz").await {
        Some((503, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut hasty = chat_event(&id(0), "#hall", "hasty");
    hasty["metadata"] = json!({ "deadlineMs": 1000 });
    world.publish("internal.egress.v1.one", &hasty).await;
    world.publish("internal.egress.v1.one", &chat_event(&id(1), "#hall", "patient")).await;
    let outcome = world.outcome(&id(0)).await;
    assert_eq!(outcome["status"], "FAILED", "{outcome}");
    let dead = world.dead_letters(&id(0)).await;
    assert!(["no_instance", "expired"].contains(&dead[0]["payload"]["reason"].as_str().unwrap()), "{dead:?}");
    world.sandbox.post("accept", json!({ "on": true })).await;
    let outcome = tokio::time::timeout(Duration::from_secs(30), world.outcome(&id(1))).await.unwrap();
    assert_eq!(outcome["status"], "SENT", "{outcome}");
    assert_eq!(world.said().await, [said("hall", "patient")]);
}
