//! REST, under `/api/v10`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{any, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::{Refusal, Room, Scope};
use super::world::{No, Post};
use super::{Shared, gateway};
use crate::http_door::NoAnswer;

/// Discord's limit without attachments is far lower.
const MAX_BODY: usize = 1024 * 1024;

type Held = State<Arc<Shared>>;

#[derive(Deserialize)]
struct Page {
    after: Option<String>,
    before: Option<String>,
    around: Option<String>,
    limit: Option<usize>,
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/gateway", get(gateway_url))
        .route("/gateway/bot", get(gateway_bot))
        .route("/users/@me", get(own_user))
        .route("/users/@me/channels", post(direct))
        .route("/users/{user}", get(user))
        .route("/applications/@me", get(application))
        .route("/oauth2/applications/@me", get(application))
        .route("/guilds/{guild}", get(guild))
        .route("/guilds/{guild}/channels", get(guild_channels))
        .route("/guilds/{guild}/roles", get(guild_roles))
        .route("/guilds/{guild}/threads/active", get(active_threads))
        .route("/channels/{channel}", get(channel))
        .route("/channels/{channel}/typing", post(nothing))
        .route("/channels/{channel}/messages", get(messages).post(say))
        .route("/channels/{channel}/messages/{message}", get(message).patch(edit).delete(delete))
        .route("/interactions/{id}/{token}/callback", post(nothing))
        .fallback(async || no((404, 0, "404: Not Found")))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), check));
    Router::new()
        .route("/", any(gateway::upgrade))
        .nest("/api/v10", api.clone())
        .nest("/api/v9", api)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// The token, what was asked to be refused, and the bucket.
async fn check(State(shared): Held, headers: HeaderMap, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let bucket = format!("{} {path}", request.method());
    let is_open = path.ends_with("/gateway") || path.starts_with("/interactions/");
    let (refused, room) = {
        let mut world = shared.lock();
        world.requests += 1;
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let is_token =
            token.and_then(|token| token.strip_prefix("Bot ")).is_some_and(|token| !token.is_empty());
        let refused = if !is_open && (world.token_refused || !is_token) {
            Some(no((401, 0, "401: Unauthorized")))
        } else {
            world.faults.meets(&path).map(|refusal| refuse(&refusal))
        };
        let now = shared.runtime.clock.instant();
        let room = world.faults.take(&bucket, now);
        world.requests_refused += u64::from(refused.is_some() || room.is_over);
        (refused, room)
    };
    if let Some(refused) = refused {
        return refused;
    }
    let mut response = if room.is_over { over(room) } else { next.run(request).await };
    tell_room(&mut response, &bucket, room);
    response
}

fn tell_room(response: &mut Response, bucket: &str, room: Room) {
    let bucket = chatbus_event::sha256_hex(bucket.as_bytes()).get(..32).unwrap_or_default().to_owned();
    for (name, text) in [
        ("x-ratelimit-limit", room.limit.to_string()),
        ("x-ratelimit-remaining", room.remaining.to_string()),
        ("x-ratelimit-reset-after", format!("{:.3}", room.reset_after.as_secs_f64())),
        ("x-ratelimit-bucket", bucket),
    ] {
        put(response, name, &text);
    }
}

fn put(response: &mut Response, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

fn over(room: Room) -> Response {
    limited(room.reset_after, Scope::User, 0)
}

fn limited(after: Duration, scope: Scope, code: u64) -> Response {
    let mut body = json!({
        "message": "You are being rate limited.", "retry_after": after.as_secs_f64(),
        "global": scope == Scope::Global,
    });
    if code > 0 {
        super::objects::set(&mut body, "code", json!(code));
    }
    let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    put(&mut response, "retry-after", &seconds.to_string());
    put(&mut response, "x-ratelimit-scope", scope.word());
    if scope == Scope::Global {
        put(&mut response, "x-ratelimit-global", "true");
    }
    response
}

fn refuse(refusal: &Refusal) -> Response {
    if refusal.status == 429 {
        return limited(refusal.retry_after.unwrap_or_default(), refusal.scope, refusal.code);
    }
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    if refusal.code == 0 {
        return (status, "<html>no JSON</html>").into_response();
    }
    let body = json!({ "code": refusal.code, "message": "the sandbox refuses" });
    (status, Json(body)).into_response()
}

fn no((status, code, message): No) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    (status, Json(json!({ "code": code, "message": message }))).into_response()
}

fn found(value: Option<Value>, unknown: No) -> Response {
    value.map_or_else(|| no(unknown), |value| Json(value).into_response())
}

async fn gateway_url(State(shared): Held) -> Json<Value> {
    Json(json!({ "url": shared.lock().gateway_url() }))
}

async fn gateway_bot(State(shared): Held) -> Json<Value> {
    let world = shared.lock();
    Json(json!({
        "url": world.gateway_url(), "shards": world.shards,
        "session_start_limit": { "total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": 1 },
    }))
}

async fn own_user(State(shared): Held) -> Json<Value> {
    Json(shared.lock().own_user())
}

async fn user(State(shared): Held, Path(user): Path<String>) -> Response {
    found(shared.lock().user(&user), (404, 10_013, "Unknown User"))
}

async fn application(State(shared): Held) -> Json<Value> {
    Json(shared.lock().application())
}

async fn guild(State(shared): Held, Path(guild): Path<String>) -> Response {
    of_guild(&guild, || shared.lock().guild())
}

async fn guild_channels(State(shared): Held, Path(guild): Path<String>) -> Response {
    of_guild(&guild, || json!(shared.lock().guild_channels()))
}

async fn guild_roles(Path(guild): Path<String>) -> Response {
    of_guild(&guild, || json!(super::objects::roles()))
}

async fn active_threads(State(shared): Held, Path(guild): Path<String>) -> Response {
    of_guild(&guild, || json!({ "threads": shared.lock().threads(), "members": [] }))
}

fn of_guild(guild: &str, value: impl FnOnce() -> Value) -> Response {
    found((guild == super::GUILD_ID).then(value), (404, 10_004, "Unknown Guild"))
}

async fn channel(State(shared): Held, Path(channel): Path<String>) -> Response {
    found(shared.lock().channel(&channel), (404, 10_003, "Unknown Channel"))
}

async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn direct(State(shared): Held, body: Bytes) -> Response {
    let now = shared.runtime.clock.now();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let user = body.get("recipient_id").and_then(Value::as_str).unwrap_or_default();
    let mut world = shared.lock();
    let channel = world.direct(user, now).and_then(|channel| world.channel(&channel));
    found(channel, (400, 50_033, "Invalid Recipient(s)"))
}

async fn messages(State(shared): Held, Path(channel): Path<String>, Query(page): Query<Page>) -> Response {
    let world = shared.lock();
    if world.channel(&channel).is_none() {
        return no((404, 10_003, "Unknown Channel"));
    }
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let limit = page.limit.unwrap_or(50).clamp(1, 100);
    let (after, before, around) = (number(page.after), number(page.before), number(page.around));
    let is_wanted = move |id: u64| {
        after.is_none_or(|after| id > after)
            && before.is_none_or(|before| id < before)
            && around.is_none_or(|around| id == around)
    };
    Json(world.messages_of(&channel, limit, after.is_some(), is_wanted)).into_response()
}

async fn message(State(shared): Held, Path((_, message)): Path<(String, String)>) -> Response {
    found(shared.lock().message(&message), (404, 10_008, "Unknown Message"))
}

async fn say(State(shared): Held, Path(channel): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(body) = read(&headers, &body) else {
        return no((400, 50_109, "The request body contains invalid JSON."));
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let reference = body.get("message_reference").filter(|reference| !reference.is_null());
    let reply_to = reference.and_then(|reference| reference.get("message_id")).and_then(Value::as_str);
    let fails = reference.is_some_and(|reference| {
        reference.get("fail_if_not_exists").and_then(Value::as_bool).unwrap_or(true)
    });
    let post = Post {
        channel,
        text: text("content"),
        nonce: body.get("nonce").filter(|nonce| !nonce.is_null()).cloned(),
        enforce_nonce: body.get("enforce_nonce").and_then(Value::as_bool).unwrap_or(false),
        reply_to: reply_to.map(str::to_owned),
        must_exist: fails,
        allowed_mentions: body.get("allowed_mentions").cloned().unwrap_or(Value::Null),
    };
    let now = shared.runtime.clock.now();
    let mut world = shared.lock();
    match world.post(post, now) {
        Err(refusal) => no(refusal),
        Ok(message) if !world.faults.is_lost() => Json(message).into_response(),
        Ok(_) => NoAnswer.into_response(),
    }
}

/// The JSON of a body, which may stand in the part `payload_json` of a form with files.
fn read(headers: &HeaderMap, body: &Bytes) -> Option<Value> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !content_type.starts_with("multipart/") {
        return serde_json::from_slice(body).ok();
    }
    let boundary = content_type.split("boundary=").nth(1)?.trim_matches('"');
    let text = String::from_utf8_lossy(body);
    let part = text.split(&format!("--{boundary}")).find(|part| part.contains("name=\"payload_json\""))?;
    serde_json::from_str(part.split_once("\r\n\r\n")?.1.trim()).ok()
}

async fn edit(State(shared): Held, Path((_, message)): Path<(String, String)>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = body.get("content").and_then(Value::as_str).unwrap_or_default();
    let now = shared.runtime.clock.now();
    let edited = shared.lock().edit(&message, text, now);
    found(edited.ok(), (404, 10_008, "Unknown Message"))
}

async fn delete(State(shared): Held, Path((_, message)): Path<(String, String)>) -> Response {
    match shared.lock().delete(&message) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => no((404, 10_008, "Unknown Message")),
    }
}
