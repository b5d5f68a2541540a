//! Calls the model: tries, waits, and gives up in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_runtime::{Backoff, Runtime};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url, header};
use rustls::crypto::aws_lc_rs;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::failure::{BAD_ANSWER, MODEL_ERROR, ModelFailure, RATE_LIMITED, TIMEOUT, Trouble};
use super::pause::{asked, pause};
use super::reader::{Reader, refusal};
use crate::config::LlmConfig;
use crate::counts::Counters;
use crate::prompt::ChatMessage;

/// Why no client can be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is none.
    #[error(
        "the model's base URL must be http:// or https:// with a host, and without user, query or fragment"
    )]
    BaseUrl,
    /// The key cannot stand in a header.
    #[error("the model's API key holds characters that no header can carry")]
    ApiKey,
    /// No HTTP client can be made on this machine.
    #[error("no HTTP client can be made: {0}")]
    Http(String),
}

/// A model behind an endpoint.
pub(crate) struct ModelClient {
    http: reqwest::Client,
    url: Url,
    authorization: Option<header::HeaderValue>,
    model: String,
    temperature: Option<f32>,
    stream: bool,
    bounds: Bounds,
    runtime: Runtime,
    counters: Arc<Counters>,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    timeout: Duration,
    retries: u32,
    first_retry: Duration,
    max_retry: Duration,
    max_answer_bytes: usize,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [ChatMessage],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

/// How long the end of an answer is waited for once all of it is there. It lets the connection be used again;
/// an endpoint that never ends its answers costs no more than this.
const LAST_WORDS: Duration = Duration::from_millis(250);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Of an answer that is an error so much is read, to see which one.
const MAX_ERROR_BYTES: usize = 16 * 1024;

// === impl ModelClient ===

impl ModelClient {
    /// # Errors
    /// See [`ClientError`].
    pub(crate) fn new(
        config: &LlmConfig,
        runtime: &Runtime,
        counters: Arc<Counters>,
    ) -> Result<Self, ClientError> {
        let url = endpoint(&config.base_url).ok_or(ClientError::BaseUrl)?;
        let authorization = config.api_key.as_ref().map(bearer).transpose()?;
        // No redirect takes the key or a question elsewhere, and no proxy is found in the environment.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .tls_backend_preconfigured(tls().map_err(|error| ClientError::Http(error.to_string()))?)
            .build()
            .map_err(|error| ClientError::Http(error.to_string()))?;
        let bounds = Bounds {
            timeout: config.timeout,
            retries: config.retries,
            first_retry: config.first_retry,
            max_retry: config.max_retry,
            max_answer_bytes: config.max_answer_bytes,
        };
        Ok(Self {
            http,
            url,
            authorization,
            model: config.model.clone(),
            temperature: config.temperature,
            stream: config.stream,
            bounds,
            runtime: runtime.clone(),
            counters,
        })
    }

    /// The model's answer, as it gave it.
    ///
    /// # Errors
    /// When there is none within the time and the tries that are allowed.
    pub(crate) async fn complete(&self, messages: &[ChatMessage]) -> Result<String, ModelFailure> {
        let end = self.runtime.clock.instant() + self.bounds.timeout;
        let answer = tokio::time::timeout(self.bounds.timeout, self.tries(messages, end)).await;
        answer.unwrap_or_else(|_| {
            let seconds = self.bounds.timeout.as_secs_f64();
            Err(ModelFailure {
                code: TIMEOUT,
                message: format!("the model did not answer within {seconds} s"),
            })
        })
    }

    async fn tries(&self, messages: &[ChatMessage], end: Instant) -> Result<String, ModelFailure> {
        let mut backoff = Backoff::new(self.bounds.first_retry, self.bounds.max_retry);
        loop {
            let trouble = match Box::pin(self.one_try(messages)).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if !trouble.passes || backoff.attempts() >= self.bounds.retries {
                return Err(trouble.failure);
            }
            let left = end.saturating_duration_since(self.runtime.clock.instant());
            let ours = backoff.next(&*self.runtime.entropy);
            let now = self.runtime.clock.now();
            let asked = trouble.retry_after.as_deref().and_then(|header| asked(header, now));
            let Some(wait) = pause(asked, ours, self.bounds.max_retry, left) else {
                return Err(trouble.failure);
            };
            tracing::debug!(
                event = "llm.retried",
                component = "llm-bot",
                errorCode = trouble.failure.code,
                reason = trouble.failure.message,
                afterMs = wait.as_millis(),
            );
            self.counters.retries.add(1);
            tokio::time::sleep(wait).await;
        }
    }

    async fn one_try(&self, messages: &[ChatMessage]) -> Result<String, Trouble> {
        let body =
            Request { model: &self.model, messages, stream: self.stream, temperature: self.temperature };
        let mut request = self.http.post(self.url.clone()).json(&body);
        request = request.header(header::ACCEPT, "text/event-stream, application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| unreachable_endpoint(&error))?;
        if response.status().is_success() { self.read(response).await } else { Err(refused(response).await) }
    }

    async fn read(&self, mut response: Response) -> Result<String, Trouble> {
        let mut reader = Reader::new(self.bounds.max_answer_bytes);
        while !reader.is_over() {
            let next = if reader.is_whole() {
                match tokio::time::timeout(LAST_WORDS, response.chunk()).await {
                    Ok(Ok(next)) => next,
                    Ok(Err(_)) | Err(_) => None,
                }
            } else {
                response.chunk().await.map_err(|_| {
                    Trouble::passing(MODEL_ERROR, "the connection ended in the middle of the answer")
                })?
            };
            match next {
                Some(bytes) => reader.push(&bytes)?,
                None => break,
            }
        }
        reader.finish()
    }
}

impl std::fmt::Debug for ModelClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelClient")
            .field("url", &self.url.as_str())
            .field("model", &self.model)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// Where completions are asked for.
fn endpoint(base: &str) -> Option<Url> {
    let mut url = Url::parse(base.trim()).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_bare = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain || !is_bare {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().extend(["chat", "completions"]);
    Some(url)
}

fn bearer(key: &SecretString) -> Result<header::HeaderValue, ClientError> {
    let text = format!("Bearer {}", key.expose_secret().trim());
    let mut value = header::HeaderValue::from_str(&text).map_err(|_| ClientError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Trusts the public certificate authorities, as Mozilla lists them, whatever the machine has.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn unreachable_endpoint(error: &reqwest::Error) -> Trouble {
    let message = if error.is_connect() {
        "the model's endpoint cannot be reached"
    } else {
        "the connection ended before the answer"
    };
    Trouble::passing(MODEL_ERROR, message)
}

/// What an answer with an error status means.
async fn refused(mut response: Response) -> Trouble {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let trouble = match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let limited = Trouble::passing(RATE_LIMITED, "the model's endpoint answered 429");
            let told = error_of(&mut response).await.map(|error| refusal(&error));
            told.filter(|told| !told.passes).unwrap_or(limited)
        }
        status if status.is_redirection() => Trouble::lasting(
            BAD_ANSWER,
            format!("the model's endpoint answered {}: redirects are not followed", status.as_u16()),
        ),
        status => {
            let message = format!("the model's endpoint answered {}", status.as_u16());
            if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
                Trouble::passing(MODEL_ERROR, message)
            } else {
                Trouble::lasting(MODEL_ERROR, message)
            }
        }
    };
    Trouble { retry_after, ..trouble }
}

/// The `error` of an answer, as far as there is one.
async fn error_of(response: &mut Response) -> Option<serde_json::Value> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ERROR_BYTES {
            return None;
        }
    }
    serde_json::from_slice::<serde_json::Value>(&body).ok()?.get("error").cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_are_asked_for_below_the_base_url() {
        for (base, expected) in [
            ("https://api.openai.com/v1", Some("https://api.openai.com/v1/chat/completions")),
            ("http://127.0.0.1:8000/v1/", Some("http://127.0.0.1:8000/v1/chat/completions")),
            ("http://localhost:1", Some("http://localhost:1/chat/completions")),
            ("ftp://a/v1", None),
            ("http://user:pw@a/v1", None),
            ("http://a/v1?key=x", None),
            ("nonsense", None),
        ] {
            assert_eq!(endpoint(base).map(String::from).as_deref(), expected, "{base}");
        }
    }

    #[test]
    fn the_key_is_shown_nowhere() {
        let config = LlmConfig { api_key: Some(SecretString::from("very-secret")), ..LlmConfig::default() };
        let runtime = chatbus_testkit::test_runtime(1);
        let client = ModelClient::new(&config, &runtime, Arc::default()).unwrap();
        assert!(!format!("{config:?} {client:?} {:?}", client.authorization).contains("very-secret"));
        let broken = LlmConfig { api_key: Some(SecretString::from("a\nsecret")), ..config };
        let error = ModelClient::new(&broken, &runtime, Arc::default()).unwrap_err();
        assert!(matches!(error, ClientError::ApiKey) && !error.to_string().contains("secret"));
    }
}
