//! The paths under `/twilio`.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};

use super::fields::{Fields, Refused};
use crate::twilio::{Failure, Hook, Post, Refusal, Said, Scope, Sent, Text, Told, Twilio};

type Answer = Result<Json<Value>, Refused>;

/// Answers can be slowed down so much.
const MAX_DELAY_MS: u64 = 3_600_000;

pub(super) fn routes() -> Router<Twilio> {
    Router::new()
        .route("/account", post(account))
        .route("/webhook", post(webhook))
        .route("/text", post(text))
        .route("/say", post(say))
        .route("/conversation", post(conversation))
        .route("/refuse", post(refuse))
        .route("/fail", post(fail))
        .route("/delay", post(delay))
        .route("/lose", post(lose))
        .route("/callbacks", post(callbacks))
        .route("/opt-out", post(opt_out))
        .route("/reset", post(reset))
        .route("/sent", get(sent))
        .route("/posts", get(posts))
}

async fn account(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let mut account = twilio.account();
    for (name, value) in [
        ("sid", &mut account.sid),
        ("auth_token", &mut account.auth_token),
        ("api_key", &mut account.api_key),
        ("api_secret", &mut account.api_secret),
        ("status", &mut account.status),
    ] {
        if let Some(text) = fields.text(name)? {
            *value = text;
        }
    }
    fields.end()?;
    twilio.set_account(account.clone());
    Ok(Json(json!(account)))
}

async fn webhook(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let url = fields.must_text("url")?;
    let signed_as = fields.text("signed_as")?;
    fields.end()?;
    let hook = Hook::new(&url, signed_as.clone()).map_err(|problem| Refused::field("url", problem))?;
    twilio.set_hook(Some(hook));
    Ok(Json(json!({ "url": url, "signed_as": signed_as })))
}

async fn text(State(twilio): State<Twilio>, body: Bytes) -> Result<Json<Told>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let mut text = Text {
        from: fields.must_text("from")?,
        to: fields.must_text("to")?,
        body: fields.text("body")?.unwrap_or_default(),
        profile_name: fields.text("profile_name")?,
        sid: fields.text("sid")?,
        media: Vec::new(),
    };
    let bad = || Refused::field("media", "is not a list of texts");
    if let Some(media) = fields.value("media") {
        let media = media.as_array().ok_or_else(bad)?.iter();
        let urls = media.map(|url| url.as_str().map(str::to_owned));
        text.media = urls.collect::<Option<_>>().ok_or_else(bad)?;
    }
    fields.end()?;
    Ok(Json(twilio.text(text).await))
}

async fn say(State(twilio): State<Twilio>, body: Bytes) -> Result<Json<Told>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let said = Said {
        conversation: fields.must_text("conversation")?,
        author: fields.must_text("author")?,
        body: fields.must_text("body")?,
        sid: fields.text("sid")?,
    };
    fields.end()?;
    Ok(Json(twilio.say(said).await))
}

async fn conversation(State(twilio): State<Twilio>, body: Bytes) -> Result<Json<Told>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let sid = fields.text("sid")?;
    fields.end()?;
    Ok(Json(twilio.converse(sid).await))
}

async fn refuse(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let status = must_number(&mut fields, "status")?;
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    let status = status.ok_or_else(|| Refused::field("status", "is not from 400 to 599"))?;
    let code = code(&mut fields)?;
    let message = fields.text("message")?.unwrap_or_else(|| "the sandbox refuses".to_owned());
    let retry_after = fields.number("retry_after")?;
    let scope = match fields.text("what")?.as_deref() {
        None => None,
        Some("messages") => Some(Scope::Messages),
        Some("conversations") => Some(Scope::Conversations),
        Some("participants") => Some(Scope::Participants),
        Some("account") => Some(Scope::Account),
        Some(_) => {
            return Err(Refused::field("what", "is none of messages, conversations, participants, account"));
        }
    };
    let count = fields.number("count")?;
    fields.end()?;
    let answer = json!({ "status": status, "code": code, "count": count });
    let refusal = Refusal { scope, status, code, message, retry_after, count };
    twilio.refuse(refusal).map_err(|problem| Refused::field("count", problem))?;
    Ok(Json(answer))
}

async fn fail(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let status = fields.must_text("status")?;
    if !matches!(&*status, "failed" | "undelivered") {
        return Err(Refused::field("status", "is neither failed nor undelivered"));
    }
    let code = code(&mut fields)?;
    fields.end()?;
    let answer = json!({ "status": status, "code": code });
    twilio.fail(Failure { status, code }).map_err(|problem| Refused::field("status", problem))?;
    Ok(Json(answer))
}

async fn delay(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let ms = must_number(&mut fields, "ms")?;
    fields.end()?;
    if ms > MAX_DELAY_MS {
        return Err(Refused::field("ms", "is over an hour"));
    }
    twilio.delay(Duration::from_millis(ms));
    Ok(Json(json!({ "ms": ms })))
}

async fn lose(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let count = must_number(&mut fields, "count")?;
    fields.end()?;
    twilio.lose(count);
    Ok(Json(json!({ "count": count })))
}

async fn callbacks(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let on = fields.on("on")?.ok_or_else(|| Refused::field("on", "is missing"))?;
    fields.end()?;
    twilio.call_back(on);
    Ok(Json(json!({ "on": on })))
}

async fn opt_out(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (from, to) = (fields.must_text("from")?, fields.must_text("to")?);
    let on = fields.on("on")?.unwrap_or(true);
    fields.end()?;
    twilio.opt_out(&from, &to, on);
    Ok(Json(json!({ "from": from, "to": to, "on": on })))
}

async fn reset(State(twilio): State<Twilio>, body: Bytes) -> Answer {
    Fields::of_body(&body)?.end()?;
    twilio.reset();
    Ok(Json(json!({ "reset": true })))
}

async fn sent(
    State(twilio): State<Twilio>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<Sent>>, Refused> {
    since(pairs, |after| twilio.sent(after))
}

async fn posts(
    State(twilio): State<Twilio>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<Post>>, Refused> {
    since(pairs, |after| twilio.posts(after))
}

fn since<T: Serialize>(
    pairs: Vec<(String, String)>,
    records: impl FnOnce(u64) -> Vec<T>,
) -> Result<Json<Vec<T>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let since = fields.text("since")?.filter(|since| !since.is_empty());
    let since = since.map(|text| text.parse().map_err(|_| Refused::field("since", "is not a seq")));
    fields.end()?;
    Ok(Json(records(since.transpose()?.unwrap_or(0))))
}

fn must_number(fields: &mut Fields, name: &str) -> Result<u64, Refused> {
    fields.number(name)?.ok_or_else(|| Refused::field(name, "is missing"))
}

fn code(fields: &mut Fields) -> Result<u32, Refused> {
    u32::try_from(must_number(fields, "code")?).map_err(|_| Refused::field("code", "is too large"))
}
