//! The paths under `/playground`.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fields::{Fields, Refused};
use crate::playground::{Message, Playground, Refusal};

type Answer = Result<Json<Value>, Refused>;

/// Answers can be slowed down so much.
const MAX_DELAY_MS: u64 = 3_600_000;

pub(super) fn routes() -> Router<Playground> {
    Router::new()
        .route("/refuse", post(refuse))
        .route("/lose", post(lose))
        .route("/delay", post(delay))
        .route("/freeze", post(freeze))
        .route("/drop", post(drop_connections))
        .route("/keys", post(keys))
        .route("/reset", post(reset))
        .route("/messages", get(messages))
}

async fn refuse(State(playground): State<Playground>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let channel = fields.text("channel")?.map(|name| name.trim_start_matches('#').to_ascii_lowercase());
    let status = fields.number("status")?.ok_or_else(|| Refused::field("status", "is missing"))?;
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    let status = status.ok_or_else(|| Refused::field("status", "is not from 400 to 599"))?;
    let code = fields.text("code")?.unwrap_or_else(|| "refused".to_owned());
    let retry_after = millis("retry_after_ms", fields.number("retry_after_ms")?)?;
    let count = fields.number("count")?;
    fields.end()?;
    let answer = json!({ "channel": channel, "status": status, "code": code, "count": count });
    let refusal = Refusal { channel, status, code, retry_after, count };
    playground.refuse(refusal).map_err(|problem| Refused::field("count", problem))?;
    Ok(Json(answer))
}

async fn lose(State(playground): State<Playground>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let every = fields.number("every")?.ok_or_else(|| Refused::field("every", "is missing"))?;
    fields.end()?;
    playground.lose(every);
    Ok(Json(json!({ "every": every })))
}

async fn delay(State(playground): State<Playground>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let delay = millis("ms", fields.number("ms")?)?.ok_or_else(|| Refused::field("ms", "is missing"))?;
    fields.end()?;
    playground.delay(delay);
    Ok(Json(json!({ "ms": delay.as_millis() })))
}

async fn freeze(State(playground): State<Playground>, body: Bytes) -> Answer {
    let on = on(&body)?;
    playground.freeze(on);
    Ok(Json(json!({ "on": on })))
}

async fn keys(State(playground): State<Playground>, body: Bytes) -> Answer {
    let on = on(&body)?;
    playground.heed_keys(on);
    Ok(Json(json!({ "on": on })))
}

async fn drop_connections(State(playground): State<Playground>, body: Bytes) -> Answer {
    Fields::of_body(&body)?.end()?;
    playground.drop_connections();
    Ok(Json(json!({ "dropped": true })))
}

async fn reset(State(playground): State<Playground>, body: Bytes) -> Answer {
    Fields::of_body(&body)?.end()?;
    playground.reset();
    Ok(Json(json!({ "reset": true })))
}

async fn messages(
    State(playground): State<Playground>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<Message>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let channel = fields.text("channel")?.filter(|channel| !channel.is_empty());
    let since = fields.text("since")?.filter(|since| !since.is_empty());
    let since = since.map(|text| text.parse().map_err(|_| Refused::field("since", "is not a seq")));
    fields.end()?;
    Ok(Json(playground.messages(channel.as_deref(), since.transpose()?.unwrap_or(0))))
}

fn on(body: &Bytes) -> Result<bool, Refused> {
    let mut fields = Fields::of_body(body)?;
    let on = fields.on("on")?.ok_or_else(|| Refused::field("on", "is missing"))?;
    fields.end()?;
    Ok(on)
}

fn millis(field: &str, ms: Option<u64>) -> Result<Option<Duration>, Refused> {
    match ms {
        Some(ms) if ms > MAX_DELAY_MS => Err(Refused::field(field, "is over an hour")),
        ms => Ok(ms.map(Duration::from_millis)),
    }
}
