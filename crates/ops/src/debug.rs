//! `/_debug/*`: state for people who look for a fault. No secrets, no message texts.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::api::error;
use crate::router::Ops;

pub(crate) async fn platform(State(ops): State<Arc<Ops>>, Path(name): Path<String>) -> Response {
    let Some(view) = ops.platforms.iter().find(|view| view.platform == name) else {
        if ops.known_platforms.contains(&name.as_str()) {
            let snapshot = json!({"state": "DISABLED", "joinedChannels": [], "counters": {}});
            return Json(json!({ "snapshot": snapshot, "egressTopic": ops.egress_topic })).into_response();
        }
        return error(StatusCode::NOT_FOUND, "unknown_view", format!("there is no /_debug/{name}"));
    };
    let snapshot = view.status.snapshot();
    Json(json!({ "snapshot": snapshot, "egressTopic": ops.egress_topic })).into_response()
}

pub(crate) async fn bus(State(ops): State<Arc<Ops>>) -> Response {
    let status = ops.bus.status().borrow().clone();
    let (lag, lag_error) = match ops.bus.lag().await {
        Ok(lag) => (lag, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let groups: Vec<_> = lag
        .into_iter()
        .map(|lag| {
            json!({
                "topic": lag.topic.as_str(), "group": lag.group.as_str(), "pending": lag.pending,
                "inFlight": lag.in_flight, "lost": lag.lost,
                "oldestMs": lag.oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            })
        })
        .collect();
    let spool = ops.spool.as_ref().map(|spool| spool());
    Json(json!({
        "driver": ops.driver, "connected": status.connected, "connections": status.epoch,
        "reason": status.reason.as_deref(), "groups": groups, "lagError": lag_error, "spool": spool,
    }))
    .into_response()
}

pub(crate) async fn config(State(ops): State<Arc<Ops>>) -> Response {
    Json(ops.config.clone()).into_response()
}
