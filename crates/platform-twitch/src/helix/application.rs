//! The application's own token: had with its secret, kept until it ends
//! (dev.twitch.tv/docs/authentication/getting-tokens-oauth, "Client credentials grant flow").

use std::time::{Duration, Instant};

use chatbus_http::hyper::{Method, Request, StatusCode, header};
use chatbus_http::{HttpClient, Sent};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use super::answer::HelixError;
use crate::config::ApiConfig;

/// A token that ends so soon is not used any more.
const SPARE: Duration = Duration::from_secs(60);

/// Has the application's token. One at a time asks for it.
#[derive(Debug, Default)]
pub(super) struct Application(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    token: SecretString,
    until: Instant,
}

// === impl Application ===

impl Application {
    /// The token; another one than `refused`.
    pub(super) async fn token(
        &self,
        config: &ApiConfig,
        http: &HttpClient,
        refused: Option<&SecretString>,
        now: Instant,
    ) -> Result<SecretString, HelixError> {
        let mut held = self.0.lock().await;
        let is_refused = |held: &Held| {
            refused.is_some_and(|refused| refused.expose_secret() == held.token.expose_secret())
        };
        if let Some(held) = held.as_ref().filter(|held| now + SPARE < held.until && !is_refused(held)) {
            return Ok(held.token.clone());
        }
        let fresh = ask(config, http, now).await?;
        let token = fresh.token.clone();
        *held = Some(fresh);
        Ok(token)
    }
}

async fn ask(config: &ApiConfig, http: &HttpClient, now: Instant) -> Result<Held, HelixError> {
    let Some(secret) = &config.client_secret else { return Err(HelixError::NoToken) };
    let form = Serializer::new(String::new())
        .append_pair("client_id", &config.client_id)
        .append_pair("client_secret", secret.expose_secret())
        .append_pair("grant_type", "client_credentials")
        .finish();
    let url = format!("{}/token", config.auth_url.as_str().trim_end_matches('/'));
    let request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Sent::from(form))
        .map_err(|error| HelixError::Unusable(error.to_string()))?;
    // Whatever became of this, what the token was wanted for has not been asked.
    let answer = http.ask(request).await.map_err(|error| HelixError::Unreachable(error.to_string()))?;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    match (answer.status, text("access_token")) {
        (StatusCode::OK, Some(token)) => {
            let lasts = body.get("expires_in").and_then(Value::as_u64).unwrap_or_default();
            // Some servers' tokens end never, or in what is too far away to count.
            let until = now + Duration::from_secs(lasts.min(365 * 86_400));
            Ok(Held { token: token.into(), until })
        }
        (status, _) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            Err(HelixError::Refused(text("message").unwrap_or("the application is refused").to_owned()))
        }
        (status, _) => Err(HelixError::Unreachable(format!("no token: HTTP {}", status.as_u16()))),
    }
}
