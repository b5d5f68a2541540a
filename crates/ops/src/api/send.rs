//! `POST /api/v1/send`: publishes a generic egress event, and can wait for its outcome.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chatbus_bus::{Message, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Attributes, EgressKind, Family, MessageId, Timestamp, Topic, names, sha256_hex};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error;
use crate::router::Ops;

/// Where a text is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendTarget {
    /// `egress.destination`: the platform's name.
    pub destination: String,
    /// `egress.type`.
    pub kind: EgressKind,
    /// The channel, for a public text.
    pub channel: Option<String>,
    /// The user, for a private one.
    pub user_id: Option<String>,
}

/// Reads a target such as `platform:#channel` or `dm:platform:user`; only the binary knows platforms.
pub type TargetParser = fn(&str) -> Result<SendTarget, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SendRequest {
    to: String,
    text: String,
    deadline_ms: Option<u64>,
    /// How long to wait for the outcome; 0 or nothing: not at all.
    wait_ms: Option<u64>,
}

/// An idempotency key is at most this long.
const MAX_KEY_BYTES: usize = 256;
/// With an idempotency key the outcome may be an earlier call's: outcomes are read from this far back.
const KEYED_LOOK_BACK: Duration = Duration::from_secs(2 * 3600);
/// How far the bus's clock may be behind ours.
const CLOCK_SLACK: Duration = Duration::from_secs(2);
/// The longest wait for an outcome: the longest deadline and some.
const MAX_WAIT: Duration = Duration::from_secs(3600 + 60);

pub(crate) async fn send(
    State(ops): State<Arc<Ops>>,
    headers: HeaderMap,
    request: Result<Json<SendRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, "invalid_request", rejection.body_text()),
    };
    if request.text.trim().is_empty() {
        return error(StatusCode::BAD_REQUEST, "no_text", "text: there is nothing to say");
    }
    let target = match (ops.parse_target)(&request.to) {
        Ok(target) => target,
        Err(why) => return error(StatusCode::BAD_REQUEST, "invalid_target", format!("to: {why}")),
    };
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok());
    if key.is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        return error(StatusCode::BAD_REQUEST, "invalid_request", "Idempotency-Key: at most 256 characters");
    }
    let event = event(&ops, &request, &target, key);
    // Outcomes are read from before the publish on, so that none can slip through between.
    let scan =
        Scan { topics: ScanTopics::Family(Family::Finalizer), from: ScanFrom::Time(event.at), follow: true };
    let wait = Duration::from_millis(request.wait_ms.unwrap_or(0)).min(MAX_WAIT);
    let outcomes = if wait.is_zero() { None } else { ops.bus.scan(scan).await.ok() };
    let receipt = ops.bus.publish(&Topic::egress(), event.message);
    match receipt.await {
        Ok(_) => {}
        Err(failure) => {
            return error(StatusCode::SERVICE_UNAVAILABLE, "bus_unavailable", failure.to_string());
        }
    }
    let mut answer = json!({ "correlationId": event.correlation_id, "deliveryId": event.delivery_id });
    let Some(outcomes) = outcomes else { return (StatusCode::ACCEPTED, Json(answer)).into_response() };
    match tokio::time::timeout(wait, outcome_of(outcomes, &event.delivery_id)).await {
        Ok(Some(outcome)) => {
            answer["outcome"] = outcome;
            Json(answer).into_response()
        }
        _ => {
            answer["outcome"] = Value::Null;
            (StatusCode::GATEWAY_TIMEOUT, Json(answer)).into_response()
        }
    }
}

struct GenericEvent {
    at: Timestamp,
    correlation_id: String,
    delivery_id: String,
    message: Message,
}

/// The event to publish. The same idempotency key makes the same ids, so that the bus drops a repeat
/// and whoever repeats is told of the first one's outcome.
fn event(ops: &Ops, request: &SendRequest, target: &SendTarget, key: Option<&str>) -> GenericEvent {
    let now = ops.clock.now();
    let id = match key {
        Some(key) => uuid_of(&format!("send/{key}")),
        None => ops.entropy.uuid_at(now).hyphenated().to_string(),
    };
    let trace_id = ops.entropy.uuid().simple().to_string();
    let message_id = MessageId::new(&id);
    let mut body = json!({
        "v": "1", "id": id, "correlationId": id, "traceId": trace_id, "timestamp": now,
        "type": "egress.deliver.v1", "source": "admin",
        "egress": { "destination": target.destination, "type": target.kind.as_str() },
        "egressDestination": target.destination,
        "routingSlip": [], "finalizationDestination": Topic::finalizer().as_str(),
        "message": { "id": id, "role": "system", "text": request.text },
        "annotations": [], "candidates": [],
    });
    if let Some(channel) = &target.channel {
        body["channel"] = json!(channel);
    }
    if let Some(user) = &target.user_id {
        body["userId"] = json!(user);
    }
    if let Some(ms) = request.deadline_ms {
        body["metadata"] = json!({ "deadlineMs": ms });
    }
    let mut attributes = Attributes::new();
    attributes.set(names::CORRELATION_ID, &id);
    attributes.set(names::TYPE, "egress.deliver.v1");
    attributes.set(names::SOURCE, "admin");
    attributes.set(names::TRACEPARENT, format!("00-{trace_id}-{}-01", &trace_id[16..]));
    attributes.set(names::MESSAGE_ID, message_id.as_str());
    attributes.set(names::DELIVERY_ID, &id);
    if let Some(channel) = &target.channel {
        attributes.set(names::CHANNEL, channel);
    }
    attributes.set(names::CE_ID, &id);
    attributes.set(names::CE_TYPE, "egress.deliver.v1");
    attributes.set(names::CE_SOURCE, "admin");
    attributes.set(names::CE_SPECVERSION, "1.0");
    attributes.set(names::CE_TIME, now.to_string());
    let message = Message::new(message_id, attributes, serde_json::to_vec(&body).unwrap_or_default());
    let at = now.minus(if key.is_some() { KEYED_LOOK_BACK } else { CLOCK_SLACK });
    GenericEvent { at, correlation_id: id.clone(), delivery_id: id, message }
}

fn uuid_of(key: &str) -> String {
    let hex = sha256_hex(key.as_bytes());
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

async fn outcome_of(mut outcomes: Box<dyn chatbus_bus::Records>, delivery_id: &str) -> Option<Value> {
    while let Some(record) = outcomes.next().await {
        let record = record.ok()?;
        if record.message.attributes.get(names::DELIVERY_ID) == Some(delivery_id) {
            return serde_json::from_slice(&record.message.body).ok();
        }
    }
    None
}
