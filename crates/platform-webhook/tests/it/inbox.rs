//! What others post becomes events, called directly and over a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use chatbus_connector::{Accept, Accepted, Connector as _, Inbound, Webhook, WebhookAnswer, WebhookRequest};
use chatbus_event::Clock;
use chatbus_http::hyper;
use chatbus_http::{HttpClient, Sent};
use chatbus_platform_webhook::PATH;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::rig::{WebhookRig, message};

/// A bus that remembers ids.
#[derive(Default)]
struct Bus(Mutex<Vec<Inbound>>);

#[async_trait]
impl Accept for Bus {
    async fn accept(&self, event: Inbound) -> Accepted {
        let mut events = self.0.lock().unwrap();
        if events.iter().any(|known| known.id == event.id) {
            return Accepted::Duplicate;
        }
        events.push(event);
        Accepted::Bus
    }
}

impl Bus {
    fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().iter().map(|event| serde_json::from_slice(&event.body).unwrap()).collect()
    }
}

fn read(answer: &WebhookAnswer) -> (u16, Value) {
    assert_eq!(answer.content_type, Some("application/json"));
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn a_message_becomes_one_event_however_often_it_is_posted() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    let (webhook, bus) = (rig.connector.webhook().unwrap(), Bus::default());
    let mut body = message("m-1", "hello");
    body["user"]["displayName"] = "Ada L.".into();
    body["thread"] = json!({ "n": 1.50 });
    body["timestamp"] = "2025-11-21T17:02:00Z".into();
    let call = || rig.signed(&body, rig.runtime.clock.now());
    let (status, answer) = read(&webhook.call(call(), &bus).await);
    assert_eq!((status, answer), (202, json!({ "status": "accepted", "messageId": "webhook:m-1" })));
    let (status, answer) = read(&webhook.call(call(), &bus).await);
    assert_eq!((status, &answer["status"]), (200, &"duplicate".into()));
    let events = bus.bodies();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((&event["type"], &event["source"]), (&"chat.message.v1".into(), &"ingress.webhook".into()));
    assert_eq!((&event["channel"], &event["userId"]), (&"#hall".into(), &"7".into()));
    assert_eq!(event["egress"]["destination"], "internal.egress.v1.test");
    assert_eq!((&event["message"]["id"], &event["message"]["text"]), (&"m-1".into(), &"hello".into()));
    let raw = &event["message"]["rawPlatformPayload"];
    assert_eq!(raw["user"], json!({ "id": "7", "login": "ada", "displayName": "Ada L." }));
    assert_eq!(raw["timestamp"], "2025-11-21T17:02:00.000Z");
    assert_eq!(raw["raw"]["body"], body, "all that was posted is kept");
    assert_eq!(rig.connector.status().snapshot().counters.received, 2);
}

#[tokio::test]
async fn each_refusal_has_its_status_and_its_code_and_is_counted() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    let (webhook, bus) = (rig.connector.webhook().unwrap(), Bus::default());
    let now = rig.runtime.clock.now();
    let good = || rig.signed(&message("m-1", "hello"), now);
    let elsewhere = {
        let mut body = message("m-1", "hello");
        body["channel"] = "elsewhere".into();
        rig.signed(&body, now)
    };
    let late = rig.signed(&message("m-1", "hello"), now.minus(Duration::from_secs(301)));
    let said = json!({ "type": "chat.say", "timestamp": "", "data": { "text": "hello" } });
    for (request, status, code) in [
        (WebhookRequest { method: "GET".to_owned(), ..good() }, 405, "bad_method"),
        (WebhookRequest { headers: Vec::new(), ..good() }, 401, "no_signature"),
        (WebhookRequest { body: "{}".into(), ..good() }, 403, "bad_signature"),
        (late, 403, "timestamp_out_of_range"),
        (rig.signed(&message("m-1", " "), now), 400, "bad_text"),
        // What we posted ourselves, sent back by whoever read it.
        (rig.signed(&said, now), 400, "bad_body"),
        (elsewhere, 404, "unknown_channel"),
    ] {
        let (found, answer) = read(&webhook.call(request, &bus).await);
        assert_eq!((found, &answer["error"]["code"]), (status, &code.into()), "{answer}");
        let counters = rig.connector.status().snapshot().counters;
        assert!(counters.other.contains_key(&format!("refused_{code}")), "{counters:?}");
    }
    assert!(bus.bodies().is_empty());
}

/// A bus whose dedupe window is over at once, and that can be full.
#[derive(Default)]
struct Forgetful {
    refuses: Mutex<bool>,
    taken: Mutex<usize>,
}

#[async_trait]
impl Accept for Forgetful {
    async fn accept(&self, _: Inbound) -> Accepted {
        if *self.refuses.lock().unwrap() {
            return Accepted::Refused("full".to_owned());
        }
        *self.taken.lock().unwrap() += 1;
        Accepted::Bus
    }
}

#[tokio::test]
async fn a_call_that_is_played_again_is_not_taken_again_and_one_that_was_not_safe_is() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    let (webhook, bus) = (rig.connector.webhook().unwrap(), Forgetful::default());
    let call = rig.signed(&message("m-1", "hello"), rig.runtime.clock.now());
    *bus.refuses.lock().unwrap() = true;
    assert_eq!(webhook.call(call.clone(), &bus).await.status, 503);
    *bus.refuses.lock().unwrap() = false;
    for status in [202, 200, 200] {
        assert_eq!(webhook.call(call.clone(), &bus).await.status, status);
    }
    assert_eq!(*bus.taken.lock().unwrap(), 1);
}

#[tokio::test]
async fn before_it_runs_nothing_is_taken() {
    let rig = WebhookRig::start().await;
    let (webhook, bus) = (rig.connector.webhook().unwrap(), Bus::default());
    let call = rig.signed(&message("m-1", "hello"), rig.runtime.clock.now());
    assert_eq!(webhook.call(call.clone(), &bus).await.status, 503);
    rig.run().await;
    assert_eq!(webhook.call(call, &bus).await.status, 202);
}

#[derive(Clone)]
struct Process {
    webhook: Arc<dyn Webhook>,
    bus: Arc<Bus>,
    clock: Arc<dyn Clock>,
}

/// What a process does with a request: reads it whole and hands it over.
async fn serve(State(process): State<Process>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let request = WebhookRequest {
        method: parts.method.to_string(),
        origin: "http://localhost".to_owned(),
        path_and_query: parts.uri.to_string(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec().into()))
            .collect(),
        body: to_bytes(body, WebhookRequest::MAX_BODY).await.unwrap(),
        received_at: process.clock.now(),
    };
    let answer = process.webhook.call(request, &*process.bus).await;
    Response::builder().status(answer.status).body(Body::from(answer.body)).unwrap()
}

#[tokio::test]
async fn what_is_posted_over_a_socket_is_believed_by_its_bytes() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    let bus = Arc::new(Bus::default());
    let state = Process {
        webhook: rig.connector.webhook().unwrap(),
        bus: Arc::clone(&bus),
        clock: Arc::clone(&rig.runtime.clock),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    let router = Router::new().route(PATH, any(serve)).with_state(state);
    rig.runtime.spawn("process", async move { axum::serve(listener, router).await.unwrap() });
    let client = HttpClient::new(Duration::from_secs(10), 64 * 1024).unwrap();
    let call = rig.signed(&message("m-1", "h\u{e9}llo \u{1f469}\u{200d}\u{1f467}"), rig.runtime.clock.now());
    let post = |call: &WebhookRequest| {
        let mut request = hyper::Request::post(&url);
        for (name, value) in &call.headers {
            request = request.header(name, &value[..]);
        }
        client.ask(request.body(Sent::from(call.body.clone())).unwrap())
    };
    assert_eq!(post(&call).await.unwrap().status.as_u16(), 202);
    assert_eq!(post(&call).await.unwrap().status.as_u16(), 200);
    let forged = WebhookRequest { headers: Vec::new(), ..call };
    assert_eq!(post(&forged).await.unwrap().status.as_u16(), 401);
    assert_eq!(bus.bodies()[0]["message"]["text"], "h\u{e9}llo \u{1f469}\u{200d}\u{1f467}");
}
