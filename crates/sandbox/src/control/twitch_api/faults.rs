//! Making requests go wrong.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use crate::control::fields::{Fields, Refused};
use crate::twitch_api::{Fault, Order, TwitchApi};

type Answer = Result<Json<Value>, Refused>;

/// An answer can be held back, and an order last, for so long.
const MAX_MS: u64 = 3_600_000;

pub(super) async fn refuse(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let status = fields.number("status")?.ok_or_else(|| Refused::field("status", "is missing"))?;
    let status = u16::try_from(status).map_err(|_| Refused::field("status", "is not from 400 to 599"))?;
    let message = fields.text("message")?.unwrap_or_else(|| "the sandbox refuses".to_owned());
    let retry_after = ms(&mut fields, "retry_after_ms")?;
    order(&api, fields, Fault::Status { status, message, retry_after })
}

pub(super) async fn drop_message(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let code = fields.must_text("code")?;
    if !(1..=64).contains(&code.len())
        || !code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        return Err(Refused::field("code", "is not 1 to 64 of a-z 0-9 _"));
    }
    let message = fields.text("message")?.unwrap_or_else(|| format!("Your message was refused ({code})."));
    order(&api, fields, Fault::DropMessage { code, message })
}

pub(super) async fn lose(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    order(&api, Fields::of_body(&body)?, Fault::Lose)
}

pub(super) async fn delay(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let by = ms(&mut fields, "ms")?.ok_or_else(|| Refused::field("ms", "is missing"))?;
    order(&api, fields, Fault::Delay(by))
}

/// The fields that all orders have.
fn order(api: &TwitchApi, mut fields: Fields, fault: Fault) -> Answer {
    let path = match &fault {
        Fault::DropMessage { .. } => None,
        _ => fields.text("path")?,
    };
    let (count, lasts) = (fields.number("count")?, ms(&mut fields, "for_ms")?);
    fields.end()?;
    let answer = json!({ "path": path, "count": count });
    api.order(Order { path, fault, count, lasts })?;
    Ok(Json(answer))
}

pub(super) async fn points(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let points = fields.number("points")?.ok_or_else(|| Refused::field("points", "is missing"))?;
    let points = u32::try_from(points).map_err(|_| Refused::field("points", "is too large"))?;
    fields.end()?;
    api.set_points(points);
    Ok(Json(json!({ "points": points })))
}

pub(super) async fn whisper_rules(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (dropped, limited) = (fields.on("dropped")?, fields.on("limited")?);
    fields.end()?;
    if let Some(dropped) = dropped {
        api.drop_whispers(dropped);
    }
    if let Some(limited) = limited {
        api.limit_whispers(limited);
    }
    Ok(Json(json!({ "dropped": dropped, "limited": limited })))
}

pub(super) async fn reset(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    Fields::of_body(&body)?.end()?;
    api.reset();
    Ok(Json(json!({ "reset": true })))
}

pub(super) fn ms(fields: &mut Fields, name: &str) -> Result<Option<Duration>, Refused> {
    match fields.number(name)? {
        Some(ms) if ms > MAX_MS => Err(Refused::field(name, "is over an hour")),
        ms => Ok(ms.map(Duration::from_millis)),
    }
}
