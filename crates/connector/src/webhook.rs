//! The part of a platform that is called over HTTP.

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::Accept;

/// Answers what a platform posts.
#[async_trait]
pub trait Webhook: Send + Sync {
    /// Its path, such as `/webhooks/twilio`.
    fn path(&self) -> &'static str;

    /// Checks who asks before anything else, then takes what is told. What is answered as taken is safe: on
    /// the bus, or synced in the spool.
    async fn call(&self, request: WebhookRequest, accept: &dyn Accept) -> WebhookAnswer;
}

/// A request, whole. Bodies are at most [`WebhookRequest::MAX_BODY`] long.
#[derive(Debug, Clone)]
pub struct WebhookRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Scheme and authority as the platform called them, such as `https://bot.example`: what a proxy that is
    /// trusted says of it, else the `Host` header over `http`.
    pub origin: String,
    /// The path and what stands behind it, as they came.
    pub path_and_query: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// The body's bytes.
    pub body: Bytes,
    /// When it was read.
    pub received_at: Timestamp,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body's type, where there is a body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

// === impl WebhookRequest ===

impl WebhookRequest {
    /// The longest body that is read.
    pub const MAX_BODY: usize = 1024 * 1024;

    /// The first header of this name, in lower case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The query as it came, without the question mark.
    pub fn query(&self) -> &str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }
}

// === impl WebhookAnswer ===

impl WebhookAnswer {
    /// A status and no body.
    pub fn empty(status: u16) -> Self {
        Self { status, content_type: None, body: Bytes::new() }
    }

    /// A status and a body of this type.
    pub fn with(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Some(content_type), body: body.into() }
    }
}
