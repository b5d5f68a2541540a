//! The OAuth server: `/oauth2/…` as on id.twitch.tv, and `/auth/…` as in the layout of twitch-cli.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::TwitchApi;
use super::answer::{Answer, Problem, ok};
use super::auth::{Check, DEVICE_LIFETIME, Denied, Issued, scopes_of};
use super::loopback::is_loopback;
use super::pairs::Pairs;
use crate::twitch_irc::user_id;

/// A device asks no more often than this, in seconds.
const DEVICE_INTERVAL: u64 = 5;
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) fn routes() -> Router<TwitchApi> {
    Router::new()
        .route("/token", post(token))
        .route("/device", post(device))
        .route("/authorize", get(authorize))
        .route("/validate", get(validate))
        .route("/revoke", post(revoke))
}

async fn token(State(api): State<TwitchApi>, RawQuery(query): RawQuery, body: Bytes) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &body);
    let must = |name| pairs.get(name).ok_or_else(|| missing(name));
    let client_id = pairs.get("client_id").ok_or(Problem::oauth(400, "missing client id"))?;
    let grant_type = pairs.get("grant_type").ok_or(Problem::oauth(400, "missing grant type"))?;
    let secret = pairs.get("client_secret");
    let now = api.core.moment().mono;
    let mut world = api.core.lock();
    let auth = &mut world.auth;
    auth.check_secret(client_id, secret)?;
    let issued = match grant_type {
        "authorization_code" => auth.exchange_code(client_id, must("code")?, must("redirect_uri")?, now)?,
        "refresh_token" => auth.refresh(client_id, must("refresh_token")?, now)?,
        "client_credentials" if secret.is_none() => return Err(Problem::oauth(400, "missing client secret")),
        "client_credentials" => auth.app_token(client_id, now),
        DEVICE_GRANT => {
            // Twitch's page says device_code, and its clients send that.
            let code = pairs.get("device_code").ok_or_else(|| missing("device_code"))?;
            auth.exchange_device(client_id, code, now)?
        }
        _ => return Err(Problem::oauth(400, "invalid grant type")),
    };
    if let Some(login) = &issued.login {
        world.people.see(login);
    }
    drop(world);
    api.core.changed();
    ok(body_of(&issued))
}

fn body_of(issued: &Issued) -> Value {
    let mut body = json!({
        "access_token": issued.access_token,
        "expires_in": issued.expires_in,
        "token_type": "bearer",
    });
    if issued.login.is_some() {
        body["scope"] = json!(issued.scopes);
    }
    if let Some(refresh) = &issued.refresh_token {
        body["refresh_token"] = json!(refresh);
    }
    body
}

async fn device(State(api): State<TwitchApi>, RawQuery(query): RawQuery, body: Bytes) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &body);
    let client_id = pairs.get("client_id").ok_or(Problem::oauth(400, "missing client id"))?;
    // Documented as `scopes`; RFC 8628 says `scope`.
    let scopes = pairs.get("scopes").or_else(|| pairs.get("scope")).unwrap_or_default();
    let now = api.core.moment().mono;
    let (device_code, user_code) = api.core.lock().auth.start_device(client_id, scopes_of(scopes), now);
    api.core.changed();
    ok(json!({
        "device_code": device_code,
        "expires_in": DEVICE_LIFETIME.as_secs(),
        "interval": DEVICE_INTERVAL,
        "user_code": user_code,
        "verification_uri": format!("{}/activate?public=true&device-code={user_code}", api.url()),
    }))
}

/// What a browser finds at a `verification_uri`: the account that grants does so at once, or denies.
pub(super) async fn activate(State(api): State<TwitchApi>, RawQuery(query): RawQuery) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let code = pairs.get("device-code").ok_or_else(|| missing("device-code"))?;
    let login = api.core.lock().auth.grants_as.clone();
    let known = match &login {
        Some(login) => api.approve_device(code, login).is_ok(),
        None => api.deny_device(code).is_ok(),
    };
    if !known {
        return Err(Problem::oauth(404, "invalid device code"));
    }
    let said = if login.is_some() { "The device may go on." } else { "The device was denied." };
    Ok(said.into_response())
}

async fn authorize(State(api): State<TwitchApi>, RawQuery(query): RawQuery) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let client_id = pairs.get("client_id").ok_or(Problem::oauth(400, "missing client id"))?;
    let redirect_uri = pairs.get("redirect_uri").ok_or_else(|| missing("redirect_uri"))?;
    // A browser is never sent anywhere else than to this machine.
    let mut target = url::Url::parse(redirect_uri)
        .ok()
        .filter(is_loopback)
        .ok_or(Problem::oauth(400, "Parameter redirect_uri does not match registered URI"))?;
    let scopes = scopes_of(pairs.get("scope").unwrap_or_default());
    let scope = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
    let now = api.core.moment().mono;
    match pairs.get("response_type") {
        Some("code") => {
            let code = api.core.lock().auth.authorize(client_id, redirect_uri, scopes, now);
            let mut answer = target.query_pairs_mut();
            match &code {
                Some(code) => answer.append_pair("code", code).append_pair("scope", &scope),
                None => answer
                    .append_pair("error", "access_denied")
                    .append_pair("error_description", "The user denied you access"),
            };
            if let Some(state) = pairs.get("state") {
                answer.append_pair("state", state);
            }
        }
        _ => return Err(Problem::oauth(400, "invalid response type")),
    }
    api.core.changed();
    Ok(Redirect::to(target.as_str()).into_response())
}

async fn validate(State(api): State<TwitchApi>, headers: HeaderMap) -> Answer {
    let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = text.strip_prefix("OAuth ").or_else(|| text.strip_prefix("Bearer ")).unwrap_or_default();
    if token.is_empty() {
        return Err(Problem::oauth(401, "missing authorization token"));
    }
    let now = api.core.moment().mono;
    let world = api.core.lock();
    let Check::Good(token) = world.auth.check(token, now) else {
        return Err(Problem::oauth(401, "invalid access token"));
    };
    let expires_in = token.expires_in(now);
    ok(match &token.login {
        None => json!({ "client_id": token.client_id, "scopes": [], "expires_in": expires_in }),
        Some(login) => json!({
            "client_id": token.client_id,
            "login": login,
            "scopes": token.scopes,
            "user_id": user_id(login).to_string(),
            "expires_in": expires_in,
        }),
    })
}

async fn revoke(State(api): State<TwitchApi>, RawQuery(query): RawQuery, body: Bytes) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &body);
    pairs.get("client_id").ok_or(Problem::oauth(400, "missing client id"))?;
    let token = pairs.get("token").ok_or(Problem::oauth(400, "missing oauth token"))?;
    let now = api.core.moment().mono;
    let mut world = api.core.lock();
    let is_good = matches!(world.auth.check(token, now), Check::Good(_));
    if !is_good {
        return Err(Problem::oauth(400, "Invalid token"));
    }
    world.auth.end(token, true, now);
    Ok(StatusCode::OK.into_response())
}

fn missing(parameter: &str) -> Problem {
    Problem::oauth(400, &format!("missing {}", parameter.replace('_', " ")))
}

// === impl Problem ===

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::oauth(denied.status, denied.message)
    }
}
