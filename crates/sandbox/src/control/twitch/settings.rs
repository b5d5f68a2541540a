//! Channels, accounts, tokens and limits.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::faults::{check_delay, modes};
use crate::control::fields::{Fields, Refused};
use crate::twitch_irc::{Rules, TwitchIrc};

type Answer = Result<Json<Value>, Refused>;

/// A timeout on Twitch is at most 14 days.
const MAX_TIMEOUT_SECONDS: u64 = 1_209_600;
/// Slow mode, likewise in seconds.
const MAX_SLOW_SECONDS: u64 = 120;

pub(super) async fn channel(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let channel = fields.must_text("channel")?;
    let slow = fields.number("slow_seconds")?;
    let followers = fields.signed("followers_only_minutes")?;
    let delay = fields.number("verdict_delay_ms")?;
    let subs_only = fields.on("subs_only")?;
    let emote_only = fields.on("emote_only")?;
    let suspended = fields.on("suspended")?;
    let never_joins = fields.on("never_joins")?;
    let silent = fields.on("silent")?;
    fields.end()?;
    if slow.is_some_and(|seconds| seconds > MAX_SLOW_SECONDS) {
        return Err(Refused::field("slow_seconds", "is over 120"));
    }
    check_delay("verdict_delay_ms", delay.unwrap_or_default())?;
    modes(&twitch, &channel, |modes| {
        set(&mut modes.slow_seconds, slow);
        set(&mut modes.followers_only_minutes, followers);
        set(&mut modes.verdict_delay_ms, delay);
        set(&mut modes.subs_only, subs_only);
        set(&mut modes.emote_only, emote_only);
        set(&mut modes.suspended, suspended);
        set(&mut modes.never_joins, never_joins);
        set(&mut modes.silent, silent);
    })
}

pub(super) async fn role(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (channel, login) = (fields.must_text("channel")?, fields.must_text("login")?);
    let timeout = fields.number("timeout_seconds")?;
    let moderator = fields.on("moderator")?;
    let vip = fields.on("vip")?;
    let subscriber = fields.on("subscriber")?;
    let follower = fields.on("follower")?;
    let banned = fields.on("banned")?;
    fields.end()?;
    if timeout.is_some_and(|seconds| seconds > MAX_TIMEOUT_SECONDS) {
        return Err(Refused::field("timeout_seconds", "is over 1209600"));
    }
    let mut role = twitch.set_role(&channel, &login, |role| {
        set(&mut role.moderator, moderator);
        set(&mut role.vip, vip);
        set(&mut role.subscriber, subscriber);
        set(&mut role.follower, follower);
        set(&mut role.banned, banned);
    })?;
    if let Some(seconds) = timeout {
        role = twitch.time_out(&channel, &login, Duration::from_secs(seconds))?;
    }
    Ok(Json(json!({
        "channel": channel,
        "login": login,
        "moderator": role.moderator,
        "vip": role.vip,
        "subscriber": role.subscriber,
        "follower": role.follower,
        "banned": role.banned,
        "timed_out": role.timeout_until.is_some(),
    })))
}

pub(super) async fn ban(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (channel, login) = (fields.must_text("channel")?, fields.must_text("login")?);
    let on = fields.on("on")?.unwrap_or(true);
    fields.end()?;
    twitch.set_role(&channel, &login, |role| role.banned = on)?;
    Ok(Json(json!({ "channel": channel, "login": login, "banned": on })))
}

pub(super) async fn suspend(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (channel, on) = (fields.must_text("channel")?, fields.on("on")?.unwrap_or(true));
    fields.end()?;
    modes(&twitch, &channel, |modes| modes.suspended = on)
}

pub(super) async fn token(State(twitch): State<TwitchIrc>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let bad = match fields.must_text("state")?.as_str() {
        "good" => false,
        "bad" | "expired" => true,
        _ => return Err(Refused::field("state", "is not good, bad or expired")),
    };
    let (token, login) = (fields.text("token")?, fields.text("login")?);
    fields.end()?;
    if token.is_none() && login.is_none() {
        return Err(Refused::field("token", "is missing, and so is login"));
    }
    if let Some(login) = &login {
        twitch.mark_login(login, bad)?;
    }
    if let Some(token) = &token {
        twitch.mark_token(token, bad)?;
    }
    Ok(Json(json!({ "bad": bad })))
}

pub(super) async fn rules(State(twitch): State<TwitchIrc>, body: Bytes) -> Result<Json<Rules>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let joins = fields.on("joins")?;
    let logins = fields.on("logins")?;
    let messages = fields.on("messages")?;
    let duplicates = fields.on("duplicates")?;
    let cut_long = fields.on("cut_long")?;
    let gap = fields.number("channel_gap_ms")?;
    let sink = fields.on("sink")?;
    fields.end()?;
    Ok(Json(twitch.set_rules(|rules| {
        set(&mut rules.joins, joins);
        set(&mut rules.logins, logins);
        set(&mut rules.messages, messages);
        set(&mut rules.duplicates, duplicates);
        set(&mut rules.cut_long, cut_long);
        set(&mut rules.channel_gap_ms, gap);
        set(&mut rules.sink, sink);
    })))
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
