//! Making things go wrong, and right again.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::who;
use crate::control::fields::{Fields, Refused};
use crate::twitch_irc::{Modes, Refusal, TwitchIrc};

type Answer = Result<Json<Value>, Refused>;

/// Verdicts can be slowed down so much.
const MAX_DELAY_MS: u64 = 3_600_000;

pub(super) async fn drop_connections(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (who, reset) = (who(&mut fields)?, fields.on("reset")?.unwrap_or(false));
    fields.end()?;
    Ok(Json(json!({ "connections": twitch.drop_connections(&who, reset) })))
}

pub(super) async fn freeze(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    set_frozen(&twitch, &body, true)
}

pub(super) async fn unfreeze(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    set_frozen(&twitch, &body, false)
}

fn set_frozen(twitch: &TwitchIrc, body: &[u8], frozen: bool) -> Answer {
    let mut fields = Fields::of_body(body)?;
    let who = who(&mut fields)?;
    fields.end()?;
    Ok(Json(json!({ "connections": twitch.freeze(&who, frozen) })))
}

pub(super) async fn reconnect(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (who, after) = (who(&mut fields)?, fields.number("close_after_ms")?);
    fields.end()?;
    Ok(Json(json!({ "connections": twitch.reconnect(&who, after.map(Duration::from_millis)) })))
}

pub(super) async fn accept(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let on = fields.on("on")?.ok_or_else(|| Refused::field("on", "is missing"))?;
    fields.end()?;
    twitch.accept(on);
    Ok(Json(json!({ "on": on })))
}

pub(super) async fn refuse(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let refusal = Refusal {
        channel: fields.text("channel")?,
        code: fields.must_text("code")?,
        count: fields.number("count")?,
    };
    fields.end()?;
    let answer = json!({ "channel": refusal.channel, "code": refusal.code, "count": refusal.count });
    twitch.refuse(refusal)?;
    Ok(Json(answer))
}

pub(super) async fn silence(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (channel, on) = (fields.must_text("channel")?, fields.on("on")?.unwrap_or(true));
    fields.end()?;
    modes(&twitch, &channel, |modes| modes.silent = on)
}

pub(super) async fn slow_verdicts(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let channel = fields.must_text("channel")?;
    let ms = fields.number("ms")?.ok_or_else(|| Refused::field("ms", "is missing"))?;
    fields.end()?;
    check_delay("ms", ms)?;
    modes(&twitch, &channel, |modes| modes.verdict_delay_ms = ms)
}

pub(super) async fn reset(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let drop = fields.on("drop")?.unwrap_or(false);
    fields.end()?;
    twitch.reset(drop);
    Ok(Json(json!({ "reset": true })))
}

/// Changes a channel's modes and answers all of them.
pub(super) fn modes(twitch: &TwitchIrc, channel: &str, change: impl FnOnce(&mut Modes)) -> Answer {
    let modes = twitch.set_modes(channel, change)?;
    Ok(Json(json!({ "channel": channel, "modes": modes })))
}

pub(super) fn check_delay(field: &str, ms: u64) -> Result<(), Refused> {
    if ms > MAX_DELAY_MS {
        return Err(Refused::field(field, "is over an hour"));
    }
    Ok(())
}
