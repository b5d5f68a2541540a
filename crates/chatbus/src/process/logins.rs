//! Accounts on platforms: kept, shown, and logged in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State as Extract};
use axum::http::header::{ACCEPT, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chatbus_http::HttpClient;
use chatbus_oauth::{
    AccountView, Backing, Callback, DevicePoll, Fallback, FlowError, Flows, Keeper, Provider,
};
use chatbus_runtime::Runtime;
use chatbus_runtime::settings::{Problem, Values};
use chatbus_state::State;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::{Storing, secret_key};
use crate::registry;
use crate::settings::Core;

/// The accounts of a process, and what logs them in.
#[derive(Clone)]
pub(super) struct Logins {
    pub(super) keeper: Keeper,
    flows: Flows,
    public_url: Option<Arc<str>>,
}

/// What a platform sends a browser back with.
#[derive(Deserialize)]
struct Returned {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Below the time that a stop may take: it waits for an answer that may hold the only good token.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: usize = 64 * 1024;
/// Of what signs a login's state, in bytes.
const SHORTEST_SECRET: usize = 16;

/// What is wrong with the settings of logins.
pub(super) fn problems(values: &Values, core: &Core) -> Vec<Problem> {
    match registry::providers(values) {
        Err(problems) => problems,
        Ok(providers) if providers.is_empty() => Vec::new(),
        Ok(_) => {
            let mut problems = secret_key::check(values, is_kept_here(core));
            let secret = values.text("OAUTH_STATE_SECRET").map(str::trim);
            if secret.is_some_and(|secret| secret.len() < SHORTEST_SECRET) {
                let why = format!(
                    "use at least {SHORTEST_SECRET} characters, such as `openssl rand -hex 32` prints"
                );
                problems.push(Problem::new("OAUTH_STATE_SECRET", why));
            }
            problems
        }
    }
}

/// The accounts of the platforms that are configured; `None` where no account can log in.
///
/// # Errors
/// Names each setting that is wrong.
pub(super) fn open(
    values: &Values,
    core: &Core,
    store: &Storing,
    state: &Arc<dyn State>,
    runtime: &Runtime,
) -> Result<Option<Logins>, Vec<Problem>> {
    let providers: Vec<Arc<dyn Provider>> = registry::providers(values)?;
    if providers.is_empty() {
        return Ok(None);
    }
    let vault = secret_key::vault(values, &core.data_dir, &*runtime.entropy).map_err(|one| vec![one])?;
    let http = HttpClient::new(ANSWER_WITHIN, LONGEST_ANSWER)
        .map_err(|error| vec![Problem::new("TLS", error.to_string())])?;
    let backing = Backing {
        stores: store.watched(),
        state: Arc::clone(state),
        vault: Arc::new(vault),
        http,
        runtime: runtime.clone(),
    };
    let fallbacks = registry::fallback_tokens(values).into_iter().map(|set| Fallback {
        platform: set.platform,
        identity: set.identity,
        token: set.token,
        login: set.login,
    });
    let keeper = Keeper::new(&providers, fallbacks.collect());
    let secret = values.text("OAUTH_STATE_SECRET").map(SecretString::from);
    let flows = Flows::new(keeper.clone(), backing.clone(), secret.as_ref());
    let keeping = keeper.clone();
    runtime.spawn("oauth.keeper", async move { keeping.run(backing).await });
    let public_url = core.access.public_url.as_deref().map(Arc::from);
    Ok(Some(Logins { keeper, flows, public_url }))
}

/// Whether the store is the file in DATA_DIR, beside which a key may be made.
fn is_kept_here(core: &Core) -> bool {
    core.services.store_url.trim() == "sqlite:"
}

/// What the administrator may.
pub(super) fn admin_routes(logins: Option<Logins>) -> Router {
    let Some(logins) = logins else {
        return Router::new().route("/api/v1/oauth", get(async || Json(json!([]))));
    };
    Router::new()
        .route("/api/v1/oauth", get(list))
        .route("/api/v1/oauth/{platform}/{identity}/device", post(begin_device))
        .route("/api/v1/oauth/device/{handle}", post(poll_device))
        .route("/oauth/{platform}/{identity}/start", get(start))
        .route("/oauth/{platform}/{identity}/status", get(status))
        .with_state(logins)
}

/// Where browsers come back to: what they bring says who they are.
pub(super) fn open_routes(logins: Option<Logins>) -> Router {
    let Some(logins) = logins else { return Router::new() };
    Router::new().route("/oauth/{platform}/{identity}/callback", get(callback)).with_state(logins)
}

async fn list(Extract(logins): Extract<Logins>) -> Json<Vec<AccountView>> {
    Json(logins.keeper.views())
}

async fn status(Extract(logins): Extract<Logins>, Path((platform, who)): Path<(String, String)>) -> Response {
    match logins.keeper.find(&platform, &who) {
        Some(view) => Json(view).into_response(),
        None => refused(&FlowError::UnknownAccount),
    }
}

async fn begin_device(
    Extract(logins): Extract<Logins>,
    Path((platform, identity)): Path<(String, String)>,
) -> Response {
    match logins.flows.device_begin(&platform, &identity).await {
        Ok(begun) => Json(json!({
            "user_code": begun.user_code,
            "verification_uri": begun.verification_uri,
            "interval": begun.interval.as_secs(),
            "expires_in": begun.expires_in.as_secs(),
            "handle": begun.handle,
        }))
        .into_response(),
        Err(error) => refused(&error),
    }
}

async fn poll_device(Extract(logins): Extract<Logins>, Path(handle): Path<String>) -> Response {
    match logins.flows.device_poll(&handle).await {
        Ok(DevicePoll::Pending { slow_down }) => {
            Json(json!({ "state": "pending", "slow_down": slow_down })).into_response()
        }
        Ok(DevicePoll::LoggedIn(done)) => {
            Json(json!({ "state": "done", "account": done.account, "replaced": done.replaced }))
                .into_response()
        }
        Err(error) => refused(&error),
    }
}

/// Sends the browser to the platform; tells where to who asks for JSON.
async fn start(
    Extract(logins): Extract<Logins>,
    Path((platform, identity)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    // A page of another site must not begin a login in an administrator's browser.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        let told = json!({ "error": { "code": "forbidden", "message": "open this address itself, not from another site" } });
        return (StatusCode::FORBIDDEN, Json(told)).into_response();
    }
    let begun = match logins.flows.begin(&platform, &identity, logins.public_url.as_deref()) {
        Ok(begun) => begun,
        Err(error) => return refused(&error),
    };
    let wants_json = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    let mut response = if wants_json {
        Json(json!({ "url": begun.redirect_to })).into_response()
    } else {
        StatusCode::FOUND.into_response()
    };
    let headers = response.headers_mut();
    for (name, text) in [(LOCATION, &begun.redirect_to), (SET_COOKIE, &begun.set_cookie)] {
        match HeaderValue::from_str(text) {
            Ok(value) if name != LOCATION || !wants_json => drop(headers.insert(name, value)),
            Ok(_) => {}
            Err(error) => return refused(&FlowError::Misconfigured(error.to_string())),
        }
    }
    response
}

async fn callback(
    Extract(logins): Extract<Logins>,
    Path((platform, identity)): Path<(String, String)>,
    Query(returned): Query<Returned>,
    headers: HeaderMap,
) -> Response {
    let callback = Callback {
        code: returned.code.as_deref(),
        state: returned.state.as_deref(),
        error: returned.error.as_deref(),
        error_description: returned.error_description.as_deref(),
        cookies: headers.get(COOKIE).and_then(|value| value.to_str().ok()),
    };
    let done = logins.flows.complete(&platform, &identity, logins.public_url.as_deref(), callback).await;
    let (status, text) = match &done {
        Ok(done) => {
            let login = done.account.login.as_deref().unwrap_or("the account");
            (
                StatusCode::OK,
                format!("{login} is logged in as {platform} {identity}. This page can be closed."),
            )
        }
        Err(error) => (status_of(error), format!("The login failed ({}): {error}.", error.code())),
    };
    (status, Html(page(&text))).into_response()
}

/// A page that says one thing. The text may come from a platform.
fn page(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>chatbus</title>\
         <body style=\"font:16px/1.5 system-ui;margin:4rem auto;max-width:36rem;padding:0 1rem\">\
         <h1 style=\"font-size:1.2rem\">chatbus</h1><p>{escaped}</p></body></html>"
    )
}

fn status_of(error: &FlowError) -> StatusCode {
    StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refused(error: &FlowError) -> Response {
    let told = json!({ "error": { "code": error.code(), "message": error.to_string() } });
    (status_of(error), Json(told)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_says_is_text_and_no_markup() {
        let page = page("<script>alert('x')</script> & more");
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && page.contains("&amp; more"));
    }
}
