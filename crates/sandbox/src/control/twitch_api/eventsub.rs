//! EventSub: telling, and breaking its connections.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::faults::ms;
use crate::control::fields::{Fields, Refused};
use crate::twitch_api::{Emit, Sessions, TwitchApi};

type Answer = Result<Json<Value>, Refused>;

pub(super) async fn emit(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let emit = Emit {
        kind: fields.must_text("type")?,
        version: fields.text("version")?,
        event: fields.value("event").ok_or_else(|| Refused::field("event", "is missing"))?,
        subscription: fields.text("subscription")?,
    };
    fields.end()?;
    Ok(Json(json!({ "told": api.emit(&emit)? })))
}

/// Which connections, of those that are left when all else is read.
fn sessions(fields: &mut Fields) -> Result<Sessions, Refused> {
    Ok(Sessions { session: fields.text("session")?, connection: fields.number("connection")? })
}

fn count(connections: usize) -> Answer {
    Ok(Json(json!({ "connections": connections })))
}

pub(super) async fn freeze(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    set_frozen(&api, &body, true)
}

pub(super) async fn unfreeze(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    set_frozen(&api, &body, false)
}

fn set_frozen(api: &TwitchApi, body: &[u8], frozen: bool) -> Answer {
    let mut fields = Fields::of_body(body)?;
    let which = sessions(&mut fields)?;
    fields.end()?;
    count(api.freeze_sessions(&which, frozen))
}

pub(super) async fn keepalives(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let which = sessions(&mut fields)?;
    let on = fields.on("on")?.ok_or_else(|| Refused::field("on", "is missing"))?;
    fields.end()?;
    count(api.set_keepalives(&which, on))
}

pub(super) async fn drop_sessions(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let which = sessions(&mut fields)?;
    fields.end()?;
    count(api.drop_sessions(&which))
}

pub(super) async fn close(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let which = sessions(&mut fields)?;
    let code = fields.number("code")?.ok_or_else(|| Refused::field("code", "is missing"))?;
    let code =
        u16::try_from(code).map_err(|_| Refused::field("code", "is no close code that can be sent"))?;
    let reason = fields.text("reason")?.unwrap_or_default();
    fields.end()?;
    count(api.close_sessions(&which, code, &reason)?)
}

pub(super) async fn reconnect(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let which = sessions(&mut fields)?;
    let grace = ms(&mut fields, "grace_ms")?;
    fields.end()?;
    count(api.reconnect_sessions(&which, grace))
}

pub(super) async fn revoke(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let id = fields.must_text("subscription")?;
    let status = fields.text("status")?.unwrap_or_else(|| "authorization_revoked".to_owned());
    fields.end()?;
    api.revoke_subscription(&id, &status)?;
    Ok(Json(json!({ "subscription": id, "status": status })))
}

pub(super) async fn repeat(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let id = fields.must_text("subscription")?;
    fields.end()?;
    Ok(Json(json!({ "told": api.repeat_notification(&id)? })))
}

pub(super) async fn orphans(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let conflict = fields.on("conflict")?.ok_or_else(|| Refused::field("conflict", "is missing"))?;
    fields.end()?;
    api.set_orphans_conflict(conflict);
    Ok(Json(json!({ "conflict": conflict })))
}
