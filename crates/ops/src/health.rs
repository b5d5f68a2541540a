//! `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::router::Ops;

#[derive(Deserialize)]
pub(crate) struct ReadyQuery {
    role: Option<String>,
}

pub(crate) async fn healthz(State(ops): State<Arc<Ops>>) -> Response {
    Json(json!({
        "status": "ok",
        "service": "chatbus",
        "timestamp": ops.clock.now(),
        "uptimeSec": ops.clock.instant().saturating_duration_since(ops.started).as_secs(),
    }))
    .into_response()
}

pub(crate) async fn readyz(State(ops): State<Arc<Ops>>, Query(query): Query<ReadyQuery>) -> Response {
    let check = ops.readiness.check(query.role.as_deref());
    let ready = check.waiting_for.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": ready });
    if !ready {
        body["waitingFor"] = json!(check.waiting_for);
    }
    if !check.degraded.is_empty() {
        body["degraded"] = json!(check.degraded);
    }
    (status, Json(body)).into_response()
}
