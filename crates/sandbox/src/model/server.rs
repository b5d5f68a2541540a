//! Its HTTP server.

use std::convert::Infallible;
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
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::answer::{answer_to, pieces, whole};
use super::{InHand, Model, ModelFault, Question, Shared, World};
use crate::accept::accept_each;
use crate::config::SandboxConfig;

/// A longer question is refused.
const MAX_BODY: usize = 1024 * 1024;
/// Its name, whatever name it is asked by.
const NAME: &str = "sandbox";
/// Of an unnamed piece of a body.
const WHOLE_PIECE: usize = 64 * 1024;

/// Marks a response that is not given: its connection ends instead.
#[derive(Debug, Clone, Copy)]
struct Lost;

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
    let room = Arc::new(Semaphore::new(config.max_connections));
    let accepting = accept(Arc::clone(&shared), listener, room, tasks.clone(), stop.clone());
    runtime.spawn("sandbox.model", tasks.track_future(accepting));
    Ok(Model { shared })
}

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(&shared));
    let ending = stop.clone();
    accept_each("model", listener, stop, move |stream, _| {
        // One too many is closed at once.
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { return };
        let serving = serve_one(stream, router.clone(), ending.clone());
        let serving = async move {
            serving.await;
            drop(place);
        };
        shared.runtime.spawn("sandbox.model.connection", tasks.track_future(serving));
    })
    .await;
}

async fn serve_one(stream: TcpStream, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answering = router.call(request.map(Body::new));
        async move {
            let response: Result<Response, Infallible> = answering.await;
            let Ok(response) = response;
            // An error here ends the connection without a byte.
            if response.extensions().get::<Lost>().is_some() { Err(CutOff) } else { Ok(response) }
        }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(event = "sandbox.model.connection_ended", %error, "a connection ended early");
        },
        () = stop.cancelled() => {}
    }
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
        Some(ModelFault::Lost) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.extensions_mut().insert(Lost);
            response
        }
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
