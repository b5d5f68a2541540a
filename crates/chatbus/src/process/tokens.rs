//! The admin API's gateway tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use chatbus_event::{Clock, Entropy};
use chatbus_gateway::tokens::{self, CreateError, NewToken};
use chatbus_runtime::Runtime;
use chatbus_state::State;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Clone)]
struct Tokens {
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What is asked of a new token.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) user: Option<String>,
    pub(crate) bot: Option<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) expires_in_seconds: Option<u64>,
}

/// `/api/v1/tokens`, for whoever lets only the administrator there.
pub(super) fn routes(state: Arc<dyn State>, runtime: &Runtime) -> Router {
    let tokens = Tokens { state, clock: Arc::clone(&runtime.clock), entropy: Arc::clone(&runtime.entropy) };
    Router::new()
        .route("/api/v1/tokens", get(list).post(create))
        .route("/api/v1/tokens/{id}", delete(revoke))
        .with_state(tokens)
}

async fn create(Extract(tokens): Extract<Tokens>, Json(asked): Json<Asked>) -> Response {
    let Tokens { state, clock, entropy } = tokens;
    match make(&*state, &*clock, &*entropy, asked).await {
        Ok(created) => (StatusCode::CREATED, Json(created)).into_response(),
        Err(error @ CreateError::BadUser) => refusal(StatusCode::BAD_REQUEST, "bad_request", &error),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, "state_unavailable", &error),
    }
}

async fn list(Extract(tokens): Extract<Tokens>) -> Response {
    match tokens::list(&*tokens.state).await {
        Ok(all) => Json(all).into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, "state_unavailable", &error),
    }
}

async fn revoke(Extract(tokens): Extract<Tokens>, Path(id): Path<String>) -> Response {
    match tokens::revoke(&*tokens.state, &id).await {
        Ok(true) => Json(json!({ "id": id, "revoked": true })).into_response(),
        Ok(false) => refusal(StatusCode::NOT_FOUND, "not_found", &"there is no token of this id"),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, "state_unavailable", &error),
    }
}

/// Makes a token; gives what is shown of it, the secret included.
///
/// # Errors
/// When its user cannot be one, or the state does not take it.
pub(crate) async fn make(
    state: &dyn State,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    asked: Asked,
) -> Result<Value, CreateError> {
    let user_id =
        asked.user.or_else(|| asked.bot.as_ref().map(|bot| format!("bot:{bot}"))).unwrap_or_default();
    let new = NewToken {
        user_id,
        lives: asked.expires_in_seconds.map(Duration::from_secs),
        origins: asked.origins,
        channels: asked.channels,
        types: asked.types,
        bot: asked.bot,
        platforms: asked.platforms,
    };
    let created = tokens::create(state, clock, entropy, new).await?;
    let token = created.token;
    Ok(json!({
        "token": created.secret, "id": token.id, "user_id": token.user_id, "expires_at": token.expires_at,
    }))
}

fn refusal(status: StatusCode, code: &str, why: &impl std::fmt::Display) -> Response {
    (status, Json(json!({ "error": { "code": code, "message": why.to_string() } }))).into_response()
}
