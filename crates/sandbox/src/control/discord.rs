//! The paths under `/discord`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fields::{Fields, Refused};
use crate::discord::{Connection, Discord, Refusal, Said, Say, Scope, Sent};

type Answer = Result<Json<Value>, Refused>;
type At = State<Discord>;

/// Waits that can be asked for.
const MAX_MS: u64 = 3_600_000;

pub(super) fn routes() -> Router<Discord> {
    Router::new()
        .route("/say", post(say))
        .route("/edit", post(edit))
        .route("/delete", post(delete))
        .route("/join", post(join))
        .route("/leave", post(leave))
        .route("/thread", post(thread))
        .route("/dispatch", post(dispatch))
        .route("/refuse", post(refuse))
        .route("/lose", post(lose))
        .route("/limit", post(limit))
        .route("/token", post(token))
        .route("/intents", post(intents))
        .route("/heartbeat", post(heartbeat))
        .route("/shards", post(shards))
        .route("/drop", post(async |discord: At, body: Bytes| ended(&body, || discord.drop_connections())))
        .route("/freeze", post(async |discord: At, body: Bytes| ended(&body, || discord.freeze())))
        .route("/reconnect", post(async |discord: At, body: Bytes| ended(&body, || discord.reconnect())))
        .route("/invalidate", post(async |discord: At, body: Bytes| ended(&body, || discord.invalidate())))
        .route("/close", post(close))
        .route("/accept", post(accept))
        .route("/reset", post(reset))
        .route("/sent", get(sent))
        .route("/connections", get(connections))
        .route("/counters", get(counters))
}

/// What a method made of a field's value.
fn heard<T>(result: Result<T, &'static str>) -> Result<T, Refused> {
    result.map_err(|problem| match problem.split_once(' ') {
        Some((field, problem)) => Refused::field(field, problem),
        None => Refused::field("body", problem),
    })
}

async fn say(State(discord): At, body: Bytes) -> Result<Json<Said>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let roles = match fields.value("roles") {
        None => None,
        Some(value) => {
            let texts = serde_json::from_value(value).ok();
            Some(texts.ok_or_else(|| Refused::field("roles", "is not a list of texts"))?)
        }
    };
    let say = Say {
        channel: fields.text("channel")?,
        login: fields.must_text("login")?,
        text: fields.must_text("text")?,
        nick: fields.text("nick")?,
        reply_to: fields.text("reply_to")?,
        bot: fields.on("bot")?.unwrap_or(false),
        roles,
    };
    fields.end()?;
    heard(discord.say(&say)).map(Json)
}

async fn edit(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (message, text) = (fields.must_text("message")?, fields.must_text("text")?);
    fields.end()?;
    heard(discord.edit(&message, &text))?;
    Ok(Json(json!({ "message": message })))
}

async fn delete(State(discord): At, body: Bytes) -> Answer {
    let message = only_text(&body, "message")?;
    heard(discord.delete(&message))?;
    Ok(Json(json!({ "message": message })))
}

async fn join(State(discord): At, body: Bytes) -> Answer {
    let login = only_text(&body, "login")?;
    Ok(Json(json!({ "user": discord.join(&login) })))
}

async fn leave(State(discord): At, body: Bytes) -> Answer {
    let login = only_text(&body, "login")?;
    heard(discord.leave(&login))?;
    Ok(Json(json!({ "login": login })))
}

async fn thread(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (channel, name) = (fields.must_text("channel")?, fields.must_text("name")?);
    fields.end()?;
    Ok(Json(json!({ "id": heard(discord.thread(&channel, &name))? })))
}

async fn dispatch(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let name = fields.must_text("name")?;
    let data = fields.value("data").ok_or_else(|| Refused::field("data", "is missing"))?;
    fields.end()?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
        return Err(Refused::field("name", "is not made of A-Z 0-9 _"));
    }
    discord.dispatch(&name, &data);
    Ok(Json(json!({ "name": name })))
}

async fn refuse(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let path = fields.text("path")?.unwrap_or_else(|| "/messages".to_owned());
    let status = fields.number("status")?.and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (400..600).contains(status));
    let status = status.ok_or_else(|| Refused::field("status", "is not from 400 to 599"))?;
    let code = fields.number("code")?.unwrap_or(0);
    let retry_after = millis("retry_after_ms", fields.number("retry_after_ms")?)?;
    let scope = match fields.text("scope")?.as_deref() {
        None | Some("user") => Scope::User,
        Some("shared") => Scope::Shared,
        Some("global") => Scope::Global,
        Some(_) => return Err(Refused::field("scope", "is none of user, shared, global")),
    };
    let count = fields.number("count")?.unwrap_or(1);
    fields.end()?;
    let answer = json!({ "path": path, "status": status, "code": code, "count": count });
    let refusal = Refusal { path, status, code, retry_after, scope, count };
    discord.refuse(refusal).map_err(|problem| Refused::field("count", problem))?;
    Ok(Json(answer))
}

async fn lose(State(discord): At, body: Bytes) -> Answer {
    let count = only_number(&body, "count")?;
    discord.lose(count);
    Ok(Json(json!({ "count": count })))
}

async fn limit(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let limit = fields.number("messages")?.filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| Refused::field("messages", "is not a number from 1"))?;
    let per = millis("per_ms", fields.number("per_ms")?)?.unwrap_or(Duration::from_secs(1));
    fields.end()?;
    discord.limit_messages(limit, per);
    Ok(Json(json!({ "messages": limit, "per_ms": per.as_millis() })))
}

async fn token(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let refused = fields.on("refused")?.ok_or_else(|| Refused::field("refused", "is missing"))?;
    fields.end()?;
    discord.refuse_token(refused);
    Ok(Json(json!({ "refused": refused })))
}

async fn intents(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let bits = fields.number("granted")?.ok_or_else(|| Refused::field("granted", "is missing"))?;
    let hidden = fields.on("hidden")?.unwrap_or(false);
    fields.end()?;
    discord.grant_intents(bits, hidden);
    Ok(Json(json!({ "granted": bits, "hidden": hidden })))
}

async fn heartbeat(State(discord): At, body: Bytes) -> Answer {
    let ms = only_number(&body, "ms")?;
    let interval = millis("ms", Some(ms.max(1)))?.unwrap_or_default();
    discord.heartbeat_every(interval);
    Ok(Json(json!({ "ms": ms })))
}

async fn shards(State(discord): At, body: Bytes) -> Answer {
    let count = only_number(&body, "count")?;
    discord.recommend_shards(count);
    Ok(Json(json!({ "count": count.max(1) })))
}

async fn close(State(discord): At, body: Bytes) -> Answer {
    let code = only_number(&body, "code")?;
    let code = u16::try_from(code).ok().filter(|code| (1000..5000).contains(code));
    let code = code.ok_or_else(|| Refused::field("code", "is not from 1000 to 4999"))?;
    Ok(Json(json!({ "connections": discord.close(code) })))
}

async fn accept(State(discord): At, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let on = fields.on("on")?.ok_or_else(|| Refused::field("on", "is missing"))?;
    fields.end()?;
    discord.accept(on);
    Ok(Json(json!({ "on": on })))
}

async fn reset(State(discord): At, body: Bytes) -> Answer {
    Fields::of_body(&body)?.end()?;
    discord.reset();
    Ok(Json(json!({ "reset": true })))
}

async fn sent(
    State(discord): At,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<Sent>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let since = fields.text("since")?.filter(|since| !since.is_empty());
    let since = since.map(|text| text.parse().map_err(|_| Refused::field("since", "is not a seq")));
    fields.end()?;
    Ok(Json(discord.sent(since.transpose()?.unwrap_or(0))))
}

async fn connections(State(discord): At) -> Json<Vec<Connection>> {
    Json(discord.connections())
}

async fn counters(State(discord): At) -> Json<BTreeMap<&'static str, u64>> {
    Json(discord.counters())
}

fn ended(body: &Bytes, end: impl FnOnce() -> usize) -> Answer {
    Fields::of_body(body)?.end()?;
    Ok(Json(json!({ "connections": end() })))
}

fn only_text(body: &Bytes, field: &str) -> Result<String, Refused> {
    let mut fields = Fields::of_body(body)?;
    let text = fields.must_text(field)?;
    fields.end()?;
    Ok(text)
}

fn only_number(body: &Bytes, field: &str) -> Result<u64, Refused> {
    let mut fields = Fields::of_body(body)?;
    let number = fields.number(field)?.ok_or_else(|| Refused::field(field, "is missing"))?;
    fields.end()?;
    Ok(number)
}

fn millis(field: &str, ms: Option<u64>) -> Result<Option<Duration>, Refused> {
    match ms {
        Some(ms) if ms > MAX_MS => Err(Refused::field(field, "is over an hour")),
        ms => Ok(ms.map(Duration::from_millis)),
    }
}
