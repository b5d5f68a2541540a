//! The paths under `/model`.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fields::{Fields, Refused};
use crate::model::{Model, ModelFault};

type Answer = Result<Json<Value>, Refused>;

/// An answer can be held back for so long.
const MAX_DELAY_MS: u64 = 3_600_000;

pub(super) fn routes() -> Router<Model> {
    Router::new()
        .route("/say", post(say))
        .route("/refuse", post(refuse))
        .route("/delay", post(delay))
        .route("/reset", post(reset))
        .route("/questions", get(questions))
}

async fn say(State(model): State<Model>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let text = fields.must_text("text")?;
    fields.end()?;
    let answer = json!({ "text": text });
    meet(&model, ModelFault::Say(text), "text")?;
    Ok(Json(answer))
}

async fn refuse(State(model): State<Model>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let status = fields.number("status")?.ok_or_else(|| Refused::field("status", "is missing"))?;
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    let status = status.ok_or_else(|| Refused::field("status", "is not from 400 to 599"))?;
    let code = fields.text("code")?.unwrap_or_else(|| "refused".to_owned());
    let retry_after = fields.number("retry_after")?.map(|seconds| seconds.to_string());
    fields.end()?;
    let answer = json!({ "status": status, "code": code });
    let body = json!({ "error": { "code": code, "message": "the sandbox refuses" } }).to_string();
    meet(&model, ModelFault::Status { status, retry_after, body }, "status")?;
    Ok(Json(answer))
}

async fn delay(State(model): State<Model>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let ms = fields.number("ms")?.ok_or_else(|| Refused::field("ms", "is missing"))?;
    if ms > MAX_DELAY_MS {
        return Err(Refused::field("ms", "is over an hour"));
    }
    fields.end()?;
    meet(&model, ModelFault::Late(Duration::from_millis(ms)), "ms")?;
    Ok(Json(json!({ "ms": ms })))
}

async fn reset(State(model): State<Model>, body: Bytes) -> Answer {
    Fields::of_body(&body)?.end()?;
    model.reset();
    Ok(Json(json!({ "reset": true })))
}

async fn questions(State(model): State<Model>, Query(pairs): Query<Vec<(String, String)>>) -> Answer {
    Fields::of_query(pairs).end()?;
    let questions: Vec<Value> = model.questions().into_iter().map(|question| question.body).collect();
    Ok(Json(Value::Array(questions)))
}

fn meet(model: &Model, fault: ModelFault, field: &str) -> Result<(), Refused> {
    model.fault(fault).map_err(|problem| Refused::field(field, problem))
}
