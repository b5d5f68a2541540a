//! Who calls: the token's account or application, and the points of its bucket.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::Problem;
use crate::twitch_api::auth::{Check, Scopes};
use crate::twitch_api::limits::Points;
use crate::twitch_irc::user_id;

/// A caller whose token is good.
#[derive(Debug, Clone)]
pub(in crate::twitch_api) struct Caller {
    pub(in crate::twitch_api) client_id: String,
    /// The token's account; an app's token has none.
    pub(in crate::twitch_api) login: Option<String>,
    scopes: Scopes,
}

// === impl Caller ===

impl Caller {
    /// Whether the token has one of these scopes.
    pub(in crate::twitch_api) fn has_any(&self, scopes: &[&str]) -> bool {
        scopes.is_empty() || scopes.iter().any(|scope| self.scopes.contains(*scope))
    }

    /// The id of the token's account.
    pub(in crate::twitch_api) fn user_id(&self) -> Option<String> {
        self.login.as_deref().map(|login| user_id(login).to_string())
    }
}

/// Lets on whoever has a good token and a point left, and tells everybody of the points.
pub(super) async fn identify(State(api): State<TwitchApi>, mut request: Request, next: Next) -> Response {
    let caller = match caller(&api, request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let now = api.core.moment();
    let key = format!("{} {}", caller.client_id, caller.login.as_deref().unwrap_or_default());
    let points = api.core.lock().limits.take(&key, now.mono);
    let mut response = if points.allowed {
        request.extensions_mut().insert(caller);
        next.run(request).await
    } else {
        Problem::new(429, "Too Many Requests").into_response()
    };
    let reset = now.wall.plus(points.full_in).as_millis().div_euclid(1_000) + 1;
    tell(response.headers_mut(), points, reset);
    response
}

fn tell(headers: &mut HeaderMap, points: Points, reset: i64) {
    headers.insert("Ratelimit-Limit", HeaderValue::from(points.limit));
    headers.insert("Ratelimit-Remaining", HeaderValue::from(points.remaining));
    headers.insert("Ratelimit-Reset", HeaderValue::from(reset));
}

fn caller(api: &TwitchApi, headers: &HeaderMap) -> Result<Caller, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = text(header::AUTHORIZATION.as_str());
    let token = token.strip_prefix("Bearer ").or_else(|| token.strip_prefix("bearer ")).unwrap_or_default();
    if token.is_empty() {
        return Err(Problem::new(401, "OAuth token is missing"));
    }
    let client_id = text("client-id");
    if client_id.is_empty() {
        return Err(Problem::new(401, "Client ID is missing"));
    }
    let now = api.core.moment().mono;
    let world = api.core.lock();
    let Check::Good(token) = world.auth.check(token, now) else {
        return Err(Problem::new(401, "Invalid OAuth token"));
    };
    if token.client_id != client_id {
        return Err(Problem::new(401, "Client ID and OAuth token do not match"));
    }
    Ok(Caller { client_id: client_id.to_owned(), login: token.login.clone(), scopes: token.scopes.clone() })
}
