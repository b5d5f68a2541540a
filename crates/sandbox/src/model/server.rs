//! Its HTTP server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{get, post};
use chatbus_runtime::{CancellationToken, Runtime};
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::answer::{answer_to, pieces, whole};
use super::{InHand, Model, ModelFault, Question, Shared, World};
use crate::config::SandboxConfig;
use crate::http_door::{HttpDoor, NoAnswer};

/// A longer question is refused.
const MAX_BODY: usize = 1024 * 1024;
/// Its name, whatever name it is asked by.
const NAME: &str = "sandbox";
/// Of an unnamed piece of a body.
const WHOLE_PIECE: usize = 64 * 1024;

/// The connection ends here, in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct CutOff;

/// A body in the making: what is left of it, and how it is given.
struct Script {
    pieces: std::vec::IntoIter<Bytes>,
    wait: Duration,
    end: End,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    Never,
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
) -> std::io::Result<Model> {
    let shared = Arc::new(Shared {
        runtime: runtime.clone(),
        addr: listener.local_addr()?,
        world: Mutex::new(World::default()),
    });
    let door = HttpDoor {
        name: "model",
        connection: "sandbox.model.connection",
        max_connections: config.max_connections,
        drops: None,
        runtime: runtime.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let serving = door.serve(listener, router(&shared));
    runtime.spawn("sandbox.model", tasks.track_future(serving));
    Ok(Model { shared })
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(shared))
}

async fn models() -> Json<Value> {
    Json(json!({ "object": "list", "data": [{ "id": NAME, "object": "model", "owned_by": "chatbus" }] }))
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = serde_json::from_slice::<Value>(&body).ok();
    let Some(request) = request.filter(|request| request.get("messages").is_some_and(Value::is_array)) else {
        let error =
            json!({ "error": { "message": "messages must be a list", "type": "invalid_request_error" } });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization = authorization.map(str::to_owned);
    let _in_hand = InHand::new(&shared);
    let (number, fault) = shared.lock().ask(Question { body: request.clone(), authorization });
    let created = shared.runtime.clock.now().as_millis() / 1000;
    let own = || answer_to(&request);
    let respond = |text: &str, wait| respond(&request, number, created, text, wait);
    match fault {
        None => respond(&own(), Duration::ZERO),
        Some(ModelFault::Say(text)) => respond(&text, Duration::ZERO),
        Some(ModelFault::Slow(wait)) => respond(&own(), wait),
        Some(ModelFault::Endless) => {
            let (content_type, mut pieces) = own_body(&request, number, created, &own());
            // A stream says by its last piece that it is over.
            pieces.truncate(pieces.len().saturating_sub(1).max(1));
            scripted(content_type, pieces, Duration::ZERO, End::Never)
        }
        Some(ModelFault::Late(wait)) => {
            tokio::time::sleep(wait).await;
            respond(&own(), Duration::ZERO)
        }
        Some(ModelFault::Cut(bytes)) => cut(&request, number, created, &own(), bytes),
        Some(ModelFault::Lost) => NoAnswer.into_response(),
        Some(ModelFault::Raw { content_type, body, piece }) => {
            let pieces = body.chunks(piece.max(1)).map(Bytes::copy_from_slice).collect();
            scripted(&content_type, pieces, Duration::ZERO, End::Whole)
        }
        Some(ModelFault::Status { status, retry_after, body }) => {
            refuse(status, retry_after.as_deref(), body)
        }
    }
}

fn refuse(status: u16, retry_after: Option<&str>, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(value) = retry_after.and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn respond(request: &Value, number: u64, created: i64, text: &str, wait: Duration) -> Response {
    let (content_type, pieces) = own_body(request, number, created, text);
    scripted(content_type, pieces, wait, End::Whole)
}

fn cut(request: &Value, number: u64, created: i64, text: &str, bytes: usize) -> Response {
    let (content_type, pieces) = own_body(request, number, created, text);
    let all = pieces.concat();
    let kept = all.get(..bytes.min(all.len())).unwrap_or_default();
    scripted(content_type, vec![Bytes::copy_from_slice(kept)], Duration::ZERO, End::Cut)
}

/// The content type and the pieces of an answer, of the kind that was asked for.
fn own_body(request: &Value, number: u64, created: i64, text: &str) -> (&'static str, Vec<Bytes>) {
    if request.get("stream").and_then(Value::as_bool) == Some(true) {
        let pieces = pieces(number, NAME, created, text).into_iter().map(Bytes::from);
        return ("text/event-stream", pieces.collect());
    }
    let whole = whole(number, NAME, created, text).to_string();
    ("application/json", whole.as_bytes().chunks(WHOLE_PIECE).map(Bytes::copy_from_slice).collect())
}

fn scripted(content_type: &str, pieces: Vec<Bytes>, wait: Duration, end: End) -> Response {
    let script = Script { pieces: pieces.into_iter(), wait, end };
    let body = Body::from_stream(stream::unfold(script, |mut script| async move {
        let piece = script.next().await?;
        Some((piece, script))
    }));
    let content_type = content_type.parse().unwrap_or(header::HeaderValue::from_static("text/plain"));
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

// === impl Script ===

impl Script {
    async fn next(&mut self) -> Option<Result<Bytes, CutOff>> {
        let Some(piece) = self.pieces.next() else {
            return match self.end {
                End::Whole => None,
                End::Cut => Some(Err(CutOff)),
                End::Never => std::future::pending().await,
            };
        };
        if !self.wait.is_zero() {
            tokio::time::sleep(self.wait).await;
        }
        Some(Ok(piece))
    }
}
