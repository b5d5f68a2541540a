//! The playground's socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chatbus_runtime::{CancellationToken, Runtime};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::world::{Answer, Post, World};
use super::{Playground, Shared};
use crate::config::SandboxConfig;
use crate::http_door::{HttpDoor, NoAnswer};

/// Room for the longest text there can be, every character of it escaped.
const MAX_BODY: usize = 2 * 1024 * 1024;
const MAX_KEY: usize = 256;

#[derive(Deserialize)]
struct Said {
    text: String,
}

/// Serves the listener until `stop`.
///
/// # Errors
/// When the listener cannot tell its address.
pub(crate) fn start(
    listener: TcpListener,
    config: &SandboxConfig,
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<Playground> {
    let shared = Arc::new(Shared {
        runtime: runtime.clone(),
        addr: listener.local_addr()?,
        world: Mutex::new(World::default()),
        frozen: watch::Sender::new(false),
        drops: watch::Sender::new(0),
    });
    let door = HttpDoor {
        name: "playground",
        connection: "sandbox.playground.connection",
        max_connections: config.max_connections,
        drops: Some(shared.drops.subscribe()),
        runtime: runtime.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let serving = door.serve(listener, router(&shared));
    runtime.spawn("sandbox.playground", tasks.track_future(serving));
    Ok(Playground { shared })
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/hello", get(hello))
        .route("/v1/channels/{channel}/messages", post(say))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(shared))
}

async fn hello(State(shared): State<Arc<Shared>>) -> Response {
    shared.thawed().await;
    Json(json!({ "service": "playground" })).into_response()
}

async fn say(
    State(shared): State<Arc<Shared>>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default().to_owned());
    let is_key = key.as_ref().is_none_or(|key| (1..=MAX_KEY).contains(&key.len()));
    let text = match axum::body::to_bytes(request.into_body(), MAX_BODY).await {
        Ok(body) => read(&body),
        Err(_) => return refused(StatusCode::PAYLOAD_TOO_LARGE, "too_long", None),
    };
    let (true, true, Some(text)) = (is_channel(&channel), is_key, text) else {
        return refused(StatusCode::BAD_REQUEST, "bad_request", None);
    };
    shared.thawed().await;
    let (id, now) = (shared.runtime.entropy.uuid().to_string(), shared.runtime.clock.now());
    let (answer, delay) = {
        let mut world = shared.lock();
        (world.post(Post { channel, text, key }, id, now), world.delay())
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    shared.thawed().await;
    match answer {
        Answer::Said { id, repeated } => {
            (StatusCode::CREATED, Json(json!({ "id": id, "repeated": repeated }))).into_response()
        }
        Answer::Refused { status, code, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
            refused(status, &code, retry_after)
        }
        Answer::Lost => NoAnswer.into_response(),
    }
}

fn read(body: &Bytes) -> Option<String> {
    let Said { text } = serde_json::from_slice(body).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

fn is_channel(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_part)
}

fn refused(status: StatusCode, code: &str, retry_after: Option<Duration>) -> Response {
    let body = Json(json!({ "code": code, "message": "the playground refuses" }));
    let mut response = (status, body).into_response();
    if let Some(after) = retry_after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
