//! Twilio's socket: who asks, and what goes wrong on purpose.

use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_http::HttpClient;
use chatbus_runtime::{CancellationToken, Runtime};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::world::{Refusal, Scope, World};
use super::{Shared, Twilio, conversations, messages};
use crate::config::SandboxConfig;
use crate::http_door::{HttpDoor, NoAnswer};

const MAX_BODY: usize = 1024 * 1024;
/// How long a webhook may take, as Twilio has it.
const HOOK_WITHIN: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 * 1024;

/// That a request came with the account's credentials.
pub(super) struct Authorised;

/// Serves the listener until `stop`.
///
/// # Errors
/// When the listener cannot tell its address, or no HTTP client can be made.
pub(crate) fn start(
    listener: TcpListener,
    config: &SandboxConfig,
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<Twilio> {
    let shared = Arc::new(Shared {
        runtime: runtime.clone(),
        tasks: tasks.clone(),
        addr: listener.local_addr()?,
        http: HttpClient::new(HOOK_WITHIN, MAX_ANSWER).map_err(std::io::Error::other)?,
        world: Mutex::new(World::default()),
    });
    let door = HttpDoor {
        name: "twilio",
        connection: "sandbox.twilio.connection",
        max_connections: config.max_connections,
        drops: None,
        runtime: runtime.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let serving = door.serve(listener, router(&shared));
    runtime.spawn("sandbox.twilio", tasks.track_future(serving));
    Ok(Twilio { shared })
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        // `{sid}.json`; a parameter is always a whole segment.
        .route("/2010-04-01/Accounts/{file}", get(account))
        .merge(messages::routes())
        .merge(conversations::routes())
        .fallback(async || not_found("the path"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(shared))
}

async fn account(State(shared): State<Arc<Shared>>, _: Authorised, Path(file): Path<String>) -> Response {
    let (account, refusal) = {
        let mut world = shared.lock();
        (world.account.clone(), world.refused(Scope::Account))
    };
    if let Some(refusal) = refusal {
        return refused(&refusal);
    }
    if file.strip_suffix(".json") != Some(&account.sid) {
        return not_found("the account");
    }
    let uri = format!("/2010-04-01/Accounts/{}.json", account.sid);
    let body = json!({
        "sid": account.sid, "owner_account_sid": account.sid, "friendly_name": "sandbox",
        "status": account.status, "type": "Full", "uri": uri,
    });
    Json(body).into_response()
}

// === impl Authorised ===

impl FromRequestParts<Arc<Shared>> for Authorised {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let account = shared.lock().account.clone();
        let given = credentials(&parts.headers);
        let is_good = given.is_some_and(|(user, password)| {
            (user == account.sid && password == account.auth_token)
                || (user == account.api_key && password == account.api_secret)
        });
        let path = parts.uri.path();
        let of_another = path
            .strip_prefix("/2010-04-01/Accounts/")
            .and_then(|rest| rest.split(['/', '.']).next())
            .is_some_and(|sid| sid != account.sid);
        match (is_good, of_another) {
            (true, false) => Ok(Self),
            (true, true) => Err(not_found("the account")),
            (false, _) => Err(error(StatusCode::UNAUTHORIZED, 20003, "Authenticate")),
        }
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// The answer to what was done, late or lost as was asked for.
pub(super) async fn done(shared: &Shared, body: Value) -> Response {
    let (delay, loses) = {
        let mut world = shared.lock();
        (world.delay, world.loses())
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    if loses {
        response.extensions_mut().insert(NoAnswer);
    }
    response
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = error(status, refusal.code, &refusal.message);
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

pub(super) fn error(status: StatusCode, code: u32, message: &str) -> Response {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more_info, "status": status.as_u16() });
    (status, Json(body)).into_response()
}

pub(super) fn not_found(what: &str) -> Response {
    error(StatusCode::NOT_FOUND, 20404, &format!("{what} was not found"))
}
