//! What Helix is asked, and until when it may be.

use std::time::{Duration, Instant};

use chatbus_http::Sent;
use chatbus_http::hyper::{Method, Request, header};
use chatbus_runtime::Fence;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::answer::HelixError;

/// As long as making a connection may take: what is asked goes out no later than that.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) body: Option<&'a Value>,
    /// How the token is called: `Bearer` or `OAuth`.
    pub(super) scheme: &'static str,
    pub(super) leave: Option<Leave<'a>>,
}

/// Until when something may be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave<'a> {
    /// While this is held.
    pub(super) fence: &'a Fence,
    /// Before this.
    pub(super) deadline: Instant,
}

// === impl Leave ===

impl Leave<'_> {
    /// Whether it is there for what goes out after a connection is made.
    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.deadline && self.fence.is_held(now + CONNECTED_WITHIN)
    }
}

// === impl Question ===

impl Question<'_> {
    /// The request that asks it.
    pub(super) fn request(&self, client_id: &str, token: &SecretString) -> Result<Request<Sent>, HelixError> {
        let body = self.body.map(Value::to_string);
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.url.as_str())
            .header(header::AUTHORIZATION, format!("{} {}", self.scheme, token.expose_secret()))
            .header("client-id", client_id);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        // The error names neither the token nor the text.
        let unusable = |error: chatbus_http::hyper::http::Error| HelixError::Unusable(error.to_string());
        request.body(Sent::from(body.unwrap_or_default())).map_err(unusable)
    }
}

/// Where something is: `path` stands behind `base`.
pub(super) fn at(base: &Url, path: &'static str, query: &[(&str, &str)]) -> Result<Url, HelixError> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&text).map_err(|error| HelixError::Unusable(error.to_string()))?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}
