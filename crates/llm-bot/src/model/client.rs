//! Calls the model: tries, waits, and gives up in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_runtime::{Backoff, Runtime};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use url::Url;

use super::failure::{BAD_ANSWER, MODEL_ERROR, ModelFailure, RATE_LIMITED, TIMEOUT, Trouble};
use super::pause::{asked, pause};
use super::reader::{Reader, refusal};
use crate::config::LlmConfig;
use crate::counts::Counters;
use crate::prompt::ChatMessage;
use chatbus_http::{Http, Sent, next_bytes};

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
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A model behind an endpoint.
pub(crate) struct ModelClient {
    http: Http,
    uri: Uri,
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
struct Ask<'a> {
    model: &'a str,
    messages: &'a [ChatMessage],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

/// How long the end of an answer is waited for once all of it is there. It lets the connection be used again;
/// an endpoint that never ends its answers costs no more than this.
const LAST_WORDS: Duration = Duration::from_millis(250);
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
        let uri = endpoint(&config.base_url).ok_or(ClientError::BaseUrl)?;
        let authorization = config.api_key.as_ref().map(bearer).transpose()?;
        let http = chatbus_http::transport().map_err(|error| ClientError::Tls(error.to_string()))?;
        let bounds = Bounds {
            timeout: config.timeout,
            retries: config.retries,
            first_retry: config.first_retry,
            max_retry: config.max_retry,
            max_answer_bytes: config.max_answer_bytes,
        };
        Ok(Self {
            http,
            uri,
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
        let begun = self.runtime.clock.instant();
        let answer = tokio::time::timeout(self.bounds.timeout, self.tries(messages, begun)).await;
        answer.unwrap_or_else(|_| {
            let seconds = self.bounds.timeout.as_secs_f64();
            Err(ModelFailure {
                code: TIMEOUT,
                message: format!("the model did not answer within {seconds} s"),
            })
        })
    }

    async fn tries(&self, messages: &[ChatMessage], begun: Instant) -> Result<String, ModelFailure> {
        let mut backoff = Backoff::new(self.bounds.first_retry, self.bounds.max_retry);
        let mut retries = 0;
        loop {
            let trouble = match Box::pin(self.one_try(messages)).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if !trouble.passes || retries >= self.bounds.retries {
                return Err(trouble.failure);
            }
            let passed = self.runtime.clock.instant().saturating_duration_since(begun);
            let left = self.bounds.timeout.saturating_sub(passed);
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
            retries += 1;
            self.counters.retries.add(1);
            tokio::time::sleep(wait).await;
        }
    }

    async fn one_try(&self, messages: &[ChatMessage]) -> Result<String, Trouble> {
        let request = self.request(messages)?;
        let response = self.http.request(request).await.map_err(|error| {
            let message = if error.is_connect() {
                "the model's endpoint cannot be reached"
            } else {
                "the connection ended before the answer"
            };
            Trouble::passing(MODEL_ERROR, message)
        })?;
        if response.status().is_success() { self.read(response).await } else { Err(refused(response).await) }
    }

    fn request(&self, messages: &[ChatMessage]) -> Result<Request<Sent>, Trouble> {
        let ask = Ask { model: &self.model, messages, stream: self.stream, temperature: self.temperature };
        let mut request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "text/event-stream, application/json")
            .header(header::USER_AGENT, "chatbus");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        // Texts and numbers can always be written.
        let body = serde_json::to_vec(&ask).unwrap_or_default();
        let unsendable = |_| Trouble::lasting(MODEL_ERROR, "the question cannot be put into a request");
        request.body(body.into()).map_err(unsendable)
    }

    async fn read(&self, mut response: Response<Incoming>) -> Result<String, Trouble> {
        let mut reader = Reader::new(self.bounds.max_answer_bytes);
        while !reader.is_over() {
            let next = if reader.is_whole() {
                match tokio::time::timeout(LAST_WORDS, next_bytes(&mut response)).await {
                    Ok(Ok(next)) => next,
                    Ok(Err(_)) | Err(_) => None,
                }
            } else {
                next_bytes(&mut response).await.map_err(|_| {
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
            .field("uri", &self.uri)
            .field("model", &self.model)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// Where completions are asked for.
fn endpoint(base: &str) -> Option<Uri> {
    let mut url = Url::parse(base.trim()).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_bare = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain || !is_bare {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().extend(["chat", "completions"]);
    url.as_str().parse().ok()
}

fn bearer(key: &SecretString) -> Result<header::HeaderValue, ClientError> {
    let text = format!("Bearer {}", key.expose_secret().trim());
    let mut value = header::HeaderValue::from_str(&text).map_err(|_| ClientError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What an answer with an error status means.
async fn refused(mut response: Response<Incoming>) -> Trouble {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let message = format!("the model's endpoint answered {}", status.as_u16());
    let trouble = match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let told = error_of(&mut response).await.map(|error| refusal(&error));
            let lasting = told.filter(|told| !told.passes);
            lasting.unwrap_or_else(|| Trouble::passing(RATE_LIMITED, message))
        }
        // Followed, it could take the key or a question elsewhere.
        status if status.is_redirection() => Trouble::lasting(BAD_ANSWER, message),
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Trouble::passing(MODEL_ERROR, message)
        }
        _ => Trouble::lasting(MODEL_ERROR, message),
    };
    Trouble { retry_after, ..trouble }
}

/// The `error` of an answer, as far as there is one.
async fn error_of(response: &mut Response<Incoming>) -> Option<serde_json::Value> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = next_bytes(response).await {
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
            assert_eq!(endpoint(base).map(|uri| uri.to_string()).as_deref(), expected, "{base}");
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
