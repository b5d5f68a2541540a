//! What a platform's token and device addresses are asked, and what their answers mean.

use std::time::Duration;

use chatbus_http::hyper::header::{ACCEPT, CONTENT_TYPE};
use chatbus_http::hyper::{Method, Request};
use chatbus_http::{Answer, HttpClient, Sent};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::{FlowSpec, ProviderError, refusal};

/// Turns codes and refresh tokens into tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exchange {
    http: HttpClient,
}

/// What is had for a code or a refresh token.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// What the platform is asked with.
    pub access_token: SecretString,
    /// What the next access token is had with; an answer to a refresh may leave it out, then it stays.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lasts, where the platform says so.
    pub expires_in: Option<Duration>,
    /// What the token may be used for, where the platform says so.
    pub scopes: Option<Vec<String>>,
}

/// A login that is begun on one device and confirmed on another (RFC 8628, section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// What the platform is asked with.
    pub device_code: SecretString,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// How long the code lasts.
    pub expires_in: Duration,
    /// How long to wait between two polls.
    pub interval: Duration,
}

/// What a poll for a device's tokens gives.
#[derive(Debug, Clone)]
pub enum Polled {
    /// The person has not confirmed yet.
    Pending,
    /// Nor that, and the next poll has to wait 5 s longer from here on.
    SlowDown,
    /// The person has confirmed.
    Tokens(Tokens),
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    scope: Option<Scopes>,
}

/// RFC 6749 has a text with spaces; some platforms answer with a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    List(Vec<String>),
    Text(String),
}

#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: String,
    user_code: String,
    // The second name is that of the drafts.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

/// RFC 8628, section 3.2: where the answer names none.
const DEFAULT_INTERVAL: u64 = 5;
/// RFC 8628, section 3.5.
pub(crate) const SLOW_DOWN_BY: Duration = Duration::from_secs(5);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

// === impl Exchange ===

impl Exchange {
    /// Asks with this client, whose limits of time and size hold.
    pub fn new(http: HttpClient) -> Self {
        Self { http }
    }

    /// Tokens for the code that a browser came back with; `verifier` is the text whose hash it was sent with
    /// (RFC 7636).
    ///
    /// # Errors
    /// When the platform refuses the code, or gives no answer that can be used.
    pub async fn code(
        &self,
        flow: &FlowSpec,
        code: &SecretString,
        verifier: &SecretString,
        redirect_uri: &str,
    ) -> Result<Tokens, ProviderError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.expose_secret()),
        ];
        self.tokens(flow, &fields, &[code, verifier]).await
    }

    /// Tokens for a refresh token, which may be used up by that.
    ///
    /// # Errors
    /// When the platform refuses it, or gives no answer that can be used.
    pub async fn refresh(&self, flow: &FlowSpec, token: &SecretString) -> Result<Tokens, ProviderError> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())];
        self.tokens(flow, &fields, &[token]).await
    }

    /// Begins a login on another device.
    ///
    /// # Errors
    /// When the platform has no such flow, refuses, or gives no answer that can be used.
    pub async fn device_start(
        &self,
        flow: &FlowSpec,
        scopes: &[String],
    ) -> Result<DeviceCode, ProviderError> {
        let Some(url) = &flow.device_url else {
            let message = "the platform has no login on another device".to_owned();
            return Err(ProviderError::Refused { code: "no_device_flow".to_owned(), message });
        };
        let scopes = scopes.join(" ");
        // The second name of the scopes is one that some platforms have in place of the RFC's.
        let answer = self.ask(flow, url, &[("scope", &scopes), ("scopes", &scopes)]).await?;
        let told: DeviceAnswer = read(&answer, &secrets_of(flow, &[]))?;
        Ok(DeviceCode {
            device_code: told.device_code.into(),
            user_code: told.user_code,
            verification_uri: told.verification_uri,
            expires_in: Duration::from_secs(told.expires_in),
            interval: Duration::from_secs(told.interval.unwrap_or(DEFAULT_INTERVAL).max(1)),
        })
    }

    /// Asks whether a login on another device was confirmed.
    ///
    /// # Errors
    /// When it was refused (`access_denied`), is too late (`expired_token`), or no answer can be used.
    pub async fn device_poll(
        &self,
        flow: &FlowSpec,
        scopes: &[String],
        code: &SecretString,
    ) -> Result<Polled, ProviderError> {
        let scopes = scopes.join(" ");
        let fields = [
            ("grant_type", DEVICE_GRANT),
            ("device_code", code.expose_secret()),
            ("scope", &scopes),
            ("scopes", &scopes),
        ];
        match self.tokens(flow, &fields, &[code]).await {
            Ok(tokens) => Ok(Polled::Tokens(tokens)),
            Err(ProviderError::Refused { code, .. }) if code == "authorization_pending" => {
                Ok(Polled::Pending)
            }
            Err(ProviderError::Refused { code, .. }) if code == "slow_down" => Ok(Polled::SlowDown),
            Err(error) => Err(error),
        }
    }

    async fn tokens(
        &self,
        flow: &FlowSpec,
        fields: &[(&str, &str)],
        secrets: &[&SecretString],
    ) -> Result<Tokens, ProviderError> {
        let answer = self.ask(flow, &flow.token_url, fields).await?;
        let told: TokenAnswer = read(&answer, &secrets_of(flow, secrets))?;
        if told.access_token.is_empty() {
            return Err(ProviderError::Unavailable("an answer with an empty token".to_owned()));
        }
        Ok(Tokens {
            access_token: told.access_token.into(),
            refresh_token: told.refresh_token.filter(|token| !token.is_empty()).map(SecretString::from),
            // Zero is what some platforms say of tokens that do not end.
            expires_in: told.expires_in.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            scopes: told.scope.map(Scopes::list),
        })
    }

    async fn ask(
        &self,
        flow: &FlowSpec,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, ProviderError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Sent::from(form(flow, fields)))
            .map_err(|error| ProviderError::Unavailable(format!("not an address: {error}")))?;
        self.http.ask(request).await.map_err(|error| ProviderError::Unavailable(error.to_string()))
    }
}

// === impl Scopes ===

impl Scopes {
    fn list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// What is sent: the application's credentials stand in the form (RFC 6749, section 2.3.1).
fn form(flow: &FlowSpec, fields: &[(&str, &str)]) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("client_id", &flow.client_id);
    if let Some(secret) = &flow.client_secret {
        form.append_pair("client_secret", secret.expose_secret());
    }
    form.extend_pairs(fields).finish()
}

fn secrets_of<'a>(flow: &'a FlowSpec, more: &[&'a SecretString]) -> Vec<&'a str> {
    more.iter().copied().chain(flow.client_secret.as_ref()).map(|secret| secret.expose_secret()).collect()
}

fn read<T: for<'a> Deserialize<'a>>(answer: &Answer, secrets: &[&str]) -> Result<T, ProviderError> {
    if !answer.status.is_success() {
        return Err(refusal::judge(answer.status.as_u16(), &answer.body, secrets));
    }
    // The error of serde_json can quote what it read.
    serde_json::from_slice(&answer.body)
        .map_err(|_| ProviderError::Unavailable("an answer that is not what the protocol has".to_owned()))
}

#[cfg(test)]
mod tests;
