//! `POST /api/v1/send` with a bot's token: what `egress.send` does, for programs that hold no connection.

mod limiter;
mod reply;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use chatbus_bus::{BusErrorKind, ScanTopics, Stored};
use chatbus_event::json::Raw;
use chatbus_event::{Family, Timestamp};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};

use crate::codes::ErrorCode;
use crate::egress::{self, Refused, Saying, Where};
use crate::feed;
use crate::frames::Recipient;
use crate::server::{Gateway, Shared};
use crate::session::ACK_WITHIN;
use crate::tokens::{Held, TokenError};
pub(crate) use limiter::Limiter;
use request::Asked;

/// Where it is.
const PATH: &str = "/api/v1/send";
/// The digits of a token's secret.
const SECRET_DIGITS: usize = 64;
/// The largest body.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long after its deadline an outcome may come.
const OUTCOME_SLACK: Duration = Duration::from_secs(15);
/// How far the bus's clock may be behind ours.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Why there is no answer but an error.
struct Failed {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// Puts `POST /api/v1/send` of bots before what these routes have there: a request whose bearer is of the
/// shape of a gateway's token, unless it is the administrator's.
pub fn with_sends<F>(router: Router, gateway: Arc<Gateway>, is_admin: F) -> Router
where
    F: Fn(&HeaderMap) -> bool + Clone + Send + Sync + 'static,
{
    router.layer(from_fn(move |request: Request, next: Next| {
        let (gateway, is_admin) = (Arc::clone(&gateway), is_admin.clone());
        async move {
            let is_send = request.method() == Method::POST && request.uri().path() == PATH;
            let secret = secret(request.headers()).filter(|_| is_send && !is_admin(request.headers()));
            match secret.map(str::to_owned) {
                Some(secret) => answer(gateway.shared(), &secret, request).await,
                None => next.run(request).await,
            }
        }
    }))
}

/// The bearer, when it is of a gateway's token's shape.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_secret = token.len() == SECRET_DIGITS && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    (scheme.eq_ignore_ascii_case("bearer") && is_secret).then_some(token)
}

async fn answer(shared: &Shared, secret: &str, request: Request) -> Response {
    send(shared, secret, request).await.unwrap_or_else(Failed::into_response)
}

async fn send(shared: &Shared, secret: &str, request: Request) -> Result<Response, Failed> {
    let (parts, body) = request.into_parts();
    let token = admitted(shared, secret, &parts.headers).await?;
    let asked = Asked::read(&parts, &whole(body).await?).map_err(Failed::bad)?;
    let (to, kind) = place(shared, &token, &asked).await?;
    let saying = Saying { to, kind, text: asked.text.clone(), id: asked.id() };
    let now = shared.now();
    let ids = [shared.runtime.entropy.uuid(), shared.runtime.entropy.uuid()];
    let said = saying.event(&token.1, ids, now.wall);
    // What becomes of it is read from before it is published.
    let waiting = match asked.waits {
        true => Some(shared.sends.wait().ok_or_else(|| {
            Failed::limited("too many requests wait for their outcomes: send without wait")
        })?),
        false => None,
    };
    let mut outcomes = waiting.is_some().then(|| outcomes(shared, now.wall.minus(CLOCK_SLACK)));
    let receipt = tokio::time::timeout(ACK_WITHIN, shared.bus.publish(&said.topic, said.message)).await;
    let Stored { duplicate, .. } = match receipt {
        Ok(Ok(stored)) => stored,
        Ok(Err(error)) if error.kind() == BusErrorKind::TooLarge => return Err(Failed::too_large()),
        Ok(Err(error)) => return Err(Failed::unavailable("bus_unavailable", error.to_string())),
        Err(_) => {
            let why = "the bus did not acknowledge it in time; it may still arrive";
            return Err(Failed::unavailable("bus_unavailable", why.to_owned()));
        }
    };
    let id = asked.key.as_deref().unwrap_or(&said.delivery_id);
    let mut answer =
        json!({ "id": id, "correlationId": said.correlation_id, "deliveryId": said.delivery_id });
    let Some(reading) = &mut outcomes else { return Ok(accepted(answer)) };
    if duplicate {
        // The first may have ended long since.
        *reading = self::outcomes(shared, now.wall.minus(shared.dedupe_window + CLOCK_SLACK));
    }
    let within = shared.egress_deadline + OUTCOME_SLACK;
    let outcome = tokio::time::timeout(within, outcome_of(reading, &said.delivery_id)).await;
    answer["outcome"] = outcome.ok().flatten().unwrap_or(Value::Null);
    Ok(if answer["outcome"].is_null() { accepted(answer) } else { Json(answer).into_response() })
}

fn accepted(answer: Value) -> Response {
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

/// The token, when it may send now.
async fn admitted(shared: &Shared, secret: &str, headers: &HeaderMap) -> Result<Held, Failed> {
    if shared.is_draining() {
        return Err(Failed::unavailable("draining", "this instance stops; ask another".to_owned()));
    }
    let token = shared.book.find_held(secret).await.map_err(|error| match error {
        TokenError::Unknown | TokenError::Expired => {
            Failed { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message: error.to_string() }
        }
        TokenError::Unavailable => Failed::unavailable("unavailable", error.to_string()),
    })?;
    if !token.1.allows_origin(headers.get("origin").and_then(|origin| origin.to_str().ok())) {
        return Err(Failed::forbidden("origin_not_allowed", "the token does not allow this origin"));
    }
    if !token.1.bot {
        return Err(Failed::forbidden("forbidden", "only bot tokens may send"));
    }
    if !shared.sends.take(&token.0, shared.runtime.clock.instant()) {
        return Err(Failed::limited("20 messages in 10 s"));
    }
    Ok(token)
}

async fn whole(body: Body) -> Result<bytes::Bytes, Failed> {
    axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| Failed::too_large())
}

async fn place(
    shared: &Shared,
    token: &Held,
    asked: &Asked,
) -> Result<(Where, chatbus_event::EgressKind), Failed> {
    let origin = match &asked.to {
        Recipient::ReplyTo(id) => {
            let found = reply::find(shared, &token.1, id).await;
            found.map_err(|why| Failed::unavailable("bus_unavailable", why))?
        }
        Recipient::To(_) => None,
    };
    let origin = |_: &str| {
        let none = || "replyTo is none of the last 1000 events that the token covers".to_owned();
        origin.ok_or_else(|| (ErrorCode::BadRequest, none()))
    };
    egress::place(&token.1, shared.parse_target, &asked.to, asked.kind, origin).map_err(Failed::refused)
}

/// The outcomes from this moment on.
fn outcomes(shared: &Shared, since: Timestamp) -> BoxStream<'static, chatbus_bus::Record> {
    feed::follow(Arc::clone(&shared.bus), ScanTopics::Family(Family::Finalizer), since)
}

/// What became of a delivery: `status`, and `error` where there is one.
async fn outcome_of(records: &mut BoxStream<'static, chatbus_bus::Record>, delivery: &str) -> Option<Value> {
    while let Some(record) = records.next().await {
        let Ok(body) = Raw::parse(&record.message.body) else { continue };
        let [id, status, error] = body.pick(["deliveryId", "status", "error"]);
        if id.as_ref().and_then(Raw::as_str).as_deref() != Some(delivery) {
            continue;
        }
        let value = |raw: Raw| serde_json::from_slice::<Value>(raw.as_bytes()).ok();
        let mut outcome = json!({ "status": status.and_then(value) });
        if let Some(error) = error.and_then(value) {
            outcome["error"] = error;
        }
        return Some(outcome);
    }
    None
}

// === impl Failed ===

impl Failed {
    fn bad(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", message }
    }

    fn forbidden(code: &'static str, message: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.to_owned() }
    }

    fn limited(message: &str) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, code: "rate_limited", message: message.to_owned() }
    }

    fn too_large() -> Self {
        let message = "the body has at most 65536 bytes".to_owned();
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: "too_large", message }
    }

    fn unavailable(code: &'static str, message: String) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code, message }
    }

    fn refused((code, message): Refused) -> Self {
        match code {
            ErrorCode::Forbidden | ErrorCode::UnsupportedType => Self::forbidden("forbidden", &message),
            _ => Self::bad(message),
        }
    }

    fn into_response(self) -> Response {
        let Self { status, code, message } = self;
        let body = json!({ "error": { "code": code, "message": message } }).to_string();
        let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
        let extra = match status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, "10")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "2")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
