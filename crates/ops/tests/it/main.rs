//! The routes over a real socket, on the in-memory bus.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{
    Bus, EventDeadLetters, MemoryBus, MemoryConfig, MemoryStore, Message, Scan, ScanFrom, ScanTopics,
};
use chatbus_connector::{AuthState, ConnectionState, Status};
use chatbus_event::{Attributes, EgressKind, Finalize, MessageId, Status as Outcome, Timestamp, Topic};
use chatbus_ops::{AdminGuard, Ops, PlatformCheck, PlatformView, Readiness, ReadinessCheck, SendTarget};
use chatbus_runtime::Runtime;
use chatbus_telemetry::Metrics;
use chatbus_testkit::test_runtime;
use serde_json::{Value, json};

struct Served {
    base: String,
    bus: Arc<dyn Bus>,
    store: MemoryStore,
    status: Status,
    http: reqwest::Client,
    runtime: Runtime,
}

async fn served() -> Served {
    let runtime = test_runtime(1);
    let store = MemoryStore::default();
    let dead_letters = Arc::new(EventDeadLetters::new("test", runtime.clone()));
    let bus: Arc<dyn Bus> =
        Arc::new(MemoryBus::new(&store, MemoryConfig::default(), dead_letters.clone(), runtime.clone()));
    dead_letters.attach(&bus);
    let status = Status::new(["#a".to_owned()], AuthState::anonymous());
    let check: Arc<dyn ReadinessCheck> =
        Arc::new(PlatformCheck { platform: "chat", role: "ingress-egress", status: status.clone() });
    let ops = Arc::new(Ops {
        clock: Arc::clone(&runtime.clock),
        entropy: Arc::clone(&runtime.entropy),
        started: runtime.clock.instant(),
        stop: runtime.stop.clone(),
        guard: AdminGuard::new(None),
        metrics: Metrics::new(),
        bus: Arc::clone(&bus),
        driver: "memory",
        readiness: Readiness::new(Arc::clone(&bus), [check]),
        platforms: vec![PlatformView { platform: "chat", status: status.clone() }],
        known_platforms: vec!["chat", "other"],
        egress_topic: "internal.egress.v1.i".into(),
        config: json!({"TOKEN": "********"}),
        spool: None,
        refresh: None,
        parse_target: |text| {
            let (platform, channel) = text.split_once(':').ok_or("no colon")?;
            Ok(SendTarget {
                destination: platform.to_owned(),
                kind: EgressKind::Chat,
                channel: Some(channel.to_owned()),
                user_id: None,
            })
        },
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let service = chatbus_ops::router(ops).into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn("test.http", async move { axum::serve(listener, service).await.unwrap() });
    Served { base, bus, store, status, http: reqwest::Client::builder().no_proxy().build().unwrap(), runtime }
}

impl Served {
    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn send(&self, body: Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.http.post(format!("{}/api/v1/send", self.base)).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn egress(&self) -> Vec<Message> {
        let scan = Scan { topics: ScanTopics::One(Topic::egress()), from: ScanFrom::Oldest, follow: false };
        let mut records = self.bus.scan(scan).await.unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            all.push(record.unwrap().message);
        }
        all
    }
}

const MEANT: (&str, &str) = ("x-chatbus", "1");

#[tokio::test]
async fn liveness_says_who_answers() {
    let served = served().await;
    for path in ["/healthz", "/livez", "/health"] {
        let (code, body) = served.get(path).await;
        assert_eq!(
            (code, body["status"].as_str(), body["service"].as_str()),
            (200, Some("ok"), Some("chatbus"))
        );
        assert!(body["timestamp"].as_str().and_then(Timestamp::parse).is_some());
        assert!(body["uptimeSec"].is_u64());
    }
}

#[tokio::test]
async fn readiness_tells_what_is_waited_for() {
    let served = served().await;
    let (code, body) = served.get("/readyz").await;
    assert_eq!((code, body), (503, json!({"ready": false, "waitingFor": ["chat", "chat:#a"]})));
    served.status.update(|s| {
        s.state = ConnectionState::Connected;
        s.joined_channels.insert("#a".into());
    });
    assert_eq!(served.get("/ready").await, (200, json!({"ready": true})));
    served.store.disconnect();
    let mut status = served.bus.status();
    status.wait_for(|status| !status.connected).await.unwrap();
    assert_eq!(served.get("/readyz").await, (503, json!({"ready": false, "waitingFor": ["bus"]})));
    assert_eq!(served.get("/readyz?role=api-gateway").await.0, 503);
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let served = served().await;
    served.status.update(|s| s.state = ConnectionState::Connected);
    let answer = served.http.get(format!("{}/metrics", served.base)).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("chatbus_platform_connected{platform=\"chat\"} 1"), "{text}");
    assert!(text.contains("# TYPE chatbus_ingress_received counter"), "{text}");
    assert!(text.trim_end().ends_with("# EOF"));
}

#[tokio::test]
async fn debug_views_show_state_and_no_secret() {
    let served = served().await;
    let (code, body) = served.get("/_debug/chat").await;
    assert_eq!(code, 200);
    assert_eq!(body["egressTopic"], "internal.egress.v1.i");
    for key in [
        "state",
        "joinedChannels",
        "lastMessageAt",
        "lastReconnectAt",
        "lastError",
        "refusedChannels",
        "lastPongAt",
        "latencyMs",
        "auth",
        "counters",
    ] {
        assert!(body["snapshot"].get(key).is_some(), "{key} is missing in {body}");
    }
    assert_eq!(served.get("/_debug/other").await.1["snapshot"]["state"], "DISABLED");
    assert_eq!(served.get("/_debug/nothing").await.0, 404);
    assert_eq!(served.get("/_debug/bus").await.1["connected"], true);
    assert_eq!(served.get("/_debug/config").await.1["TOKEN"], "********");
}

#[tokio::test]
async fn a_request_through_a_proxy_or_with_a_strange_host_is_refused() {
    let served = served().await;
    for (name, value) in
        [("host", "evil.example"), ("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")]
    {
        let answer =
            served.http.get(format!("{}/_debug/bus", served.base)).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}");
        let health =
            served.http.get(format!("{}/healthz", served.base)).header(name, value).send().await.unwrap();
        assert_eq!(health.status(), 200, "{name}");
    }
    let (code, body) = served.send(json!({"to": "chat:#a", "text": "hi"}), &[]).await;
    assert_eq!((code, body["error"]["code"].as_str()), (403, Some("forbidden")));
}

#[tokio::test]
async fn what_is_sent_is_a_generic_egress_event() {
    let served = served().await;
    let (code, answer) =
        served.send(json!({"to": "chat:#a", "text": "hi", "deadlineMs": 500}), &[MEANT]).await;
    assert_eq!(code, 202);
    let message = served.egress().await.pop().unwrap();
    let event = chatbus_event::Event::decode(&message.body).unwrap();
    assert_eq!(chatbus_event::egress_text(&event).as_deref(), Some("hi"));
    assert_eq!(event.egress().destination.as_deref(), Some("chat"));
    assert_eq!(event.channel().as_deref(), Some("#a"));
    assert_eq!(event.deadline(), Some(Duration::from_millis(500)));
    assert_eq!(event.correlation_id().as_deref(), answer["correlationId"].as_str());
    assert_eq!(message.attributes.get("deliveryId"), answer["deliveryId"].as_str());
}

#[tokio::test]
async fn the_same_idempotency_key_is_one_event() {
    let served = served().await;
    let headers = [MEANT, ("idempotency-key", "k-1")];
    let first = served.send(json!({"to": "chat:#a", "text": "hi"}), &headers).await;
    let second = served.send(json!({"to": "chat:#a", "text": "hi"}), &headers).await;
    assert_eq!(first, second);
    assert_eq!(served.egress().await.len(), 1);
}

#[tokio::test]
async fn whoever_waits_is_told_the_outcome_of_this_delivery() {
    let served = served().await;
    let bus = Arc::clone(&served.bus);
    served.runtime.spawn("test.finalizer", async move {
        let scan = Scan { topics: ScanTopics::One(Topic::egress()), from: ScanFrom::Oldest, follow: true };
        let mut records = bus.scan(scan).await.unwrap();
        let record = records.next().await.unwrap().unwrap();
        for delivery_id in ["another", record.message.attributes.get("deliveryId").unwrap()] {
            let finalize = Finalize {
                correlation_id: "c",
                delivery_id,
                destination: "internal.egress.v1",
                delivered_at: Timestamp::EPOCH,
                status: Outcome::Sent,
                provider_message_id: Some(delivery_id),
                error: None,
                attempts: &[],
                candidates: None,
                annotations: None,
                routing_slip: None,
                metadata: None,
                qos: None,
            };
            let message =
                Message::new(finalize.message_id(), finalize.attributes("test", None), finalize.body());
            bus.publish(&Topic::finalizer(), message).await.unwrap();
        }
    });
    let (code, answer) =
        served.send(json!({"to": "chat:#a", "text": "hi", "waitMs": 10_000}), &[MEANT]).await;
    assert_eq!(code, 200);
    assert_eq!(answer["outcome"]["providerMessageId"], answer["deliveryId"]);
    let (code, answer) = served.send(json!({"to": "chat:#a", "text": "hi", "waitMs": 50}), &[MEANT]).await;
    assert_eq!((code, &answer["outcome"]), (504, &Value::Null));
}

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong_with_it() {
    let served = served().await;
    for (body, code) in [
        (json!({"to": "nowhere", "text": "hi"}), "invalid_target"),
        (json!({"to": "chat:#a", "text": " "}), "no_text"),
        (json!({"to": "chat:#a"}), "invalid_request"),
        (json!({"to": "chat:#a", "text": "hi", "colour": "red"}), "invalid_request"),
        (json!([]), "invalid_request"),
    ] {
        let (status, answer) = served.send(body.clone(), &[MEANT]).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (400, Some(code)), "{body}");
    }
    let (status, answer) = served.get("/api/v1/tail?topic=dev.internal.ingress.v1").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (400, Some("invalid_topic")));
}

#[tokio::test]
async fn what_is_on_the_bus_is_read_a_line_each_and_bad_bytes_are_shown_too() {
    let served = served().await;
    let attributes: Attributes = [("channel", "#a")].into_iter().collect();
    for (id, body) in [("1", &b"{\"type\":\n\"t\"}"[..]), ("2", b"\xff")] {
        let message = Message::new(MessageId::new(id), attributes.clone(), body.to_vec());
        served.bus.publish(&Topic::ingress(), message).await.unwrap();
    }
    let answer = served.http.get(format!("{}/api/v1/tail?last=5", served.base)).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["topic"], "internal.ingress.v1");
    assert_eq!(lines[0]["attributes"], json!({"channel": "#a"}));
    assert_eq!(lines[0]["event"], json!({"type": "t"}));
    assert_eq!(lines[1]["event"]["invalid"], "\u{fffd}");
}
