//! The gateway tokens: for the admin API, and for a command that finds no process to ask.

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
use chatbus_state::{State, StateError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refused::Refused;
use super::storing::Storing;

#[derive(Clone)]
struct Tokens {
    state: Arc<dyn State>,
    store: Storing,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What is done to the tokens.
#[derive(Debug)]
pub(crate) enum Order {
    Create(Asked),
    List,
    Revoke(String),
}

/// What is asked of a new token.
#[derive(Debug, Default, Deserialize, Serialize)]
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
pub(super) fn routes(state: Arc<dyn State>, store: Storing, runtime: &Runtime) -> Router {
    let tokens =
        Tokens { state, store, clock: Arc::clone(&runtime.clock), entropy: Arc::clone(&runtime.entropy) };
    Router::new()
        .route("/api/v1/tokens", get(list).post(create))
        .route("/api/v1/tokens/{id}", delete(revoke))
        .with_state(tokens)
}

async fn create(Extract(tokens): Extract<Tokens>, Json(asked): Json<Asked>) -> Response {
    match tokens.carry_out(Order::Create(asked)).await {
        Ok(created) => (StatusCode::CREATED, Json(created)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn list(Extract(tokens): Extract<Tokens>) -> Response {
    tokens.carry_out(Order::List).await.map(Json).into_response()
}

async fn revoke(Extract(tokens): Extract<Tokens>, Path(id): Path<String>) -> Response {
    tokens.carry_out(Order::Revoke(id)).await.map(Json).into_response()
}

/// Does to the tokens in a state what is asked, and gives what is shown of it.
///
/// # Errors
/// When what is asked cannot be, or the state does not take it.
pub(crate) async fn carry_out(
    state: &dyn State,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    order: Order,
) -> Result<Value, Refused> {
    let unavailable = |error: StateError| Refused::new("state_unavailable", &error);
    match order {
        Order::Create(asked) => make(state, clock, entropy, asked).await.map_err(|error| match error {
            CreateError::BadUser => Refused::new("bad_request", &error),
            CreateError::State(error) => unavailable(error),
        }),
        Order::List => Ok(json!(tokens::list(state).await.map_err(unavailable)?)),
        Order::Revoke(id) => match tokens::revoke(state, &id).await.map_err(unavailable)? {
            true => Ok(json!({ "id": id, "revoked": true })),
            false => Err(Refused::new("not_found", &"there is no token of this id")),
        },
    }
}

/// Makes a token; gives what is shown of it, the secret included.
///
/// # Errors
/// When its user cannot be one, or the state does not take it.
async fn make(
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

// === impl Tokens ===

impl Tokens {
    /// Brings the store's list up to date. The shared state is what counts: a store that is out of reach gets
    /// the list with the next change.
    async fn note(&self) {
        let Some(store) = self.store.now() else { return };
        if let Err(error) = super::noting::note(&*self.state, &*store).await {
            tracing::warn!(event = "token.not_noted", reason = %error, "the store does not have the list of tokens as it is");
        }
    }

    async fn carry_out(&self, order: Order) -> Result<Value, Refused> {
        let done = carry_out(&*self.state, &*self.clock, &*self.entropy, order).await?;
        self.note().await;
        Ok(done)
    }
}
