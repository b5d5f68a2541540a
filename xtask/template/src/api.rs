//! The platform's HTTP API, as its clients see it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/messages?after=CURSOR` | 200 `{"next":"CURSOR","messages":[…]}`; without a cursor no messages, only where to begin |
//! | `POST /v1/channels/CHANNEL/messages` with `{"text"}` | 201 `{"id"}` |
//!
//! Both bear the token.

use std::time::Duration;

use chatbus_http::hyper::Request;
use chatbus_http::hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use chatbus_http::{Answer, HttpClient, HttpError, Sent};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

/// One account's view of the API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    base: Url,
    token: SecretString,
    http: HttpClient,
}

/// Why a page could not be read: a stable code, and a text for people that holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether the token is refused.
    pub(crate) is_refused: bool,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Page {
    /// Where the next page begins.
    pub(crate) next: String,
    #[serde(default)]
    pub(crate) messages: Vec<Message>,
}

/// Something that somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) channel: String,
    pub(crate) user: User,
    pub(crate) text: String,
}

/// Who said it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// How long an answer may take, and how many bytes it may have.
const WITHIN: Duration = Duration::from_secs(10);
const MOST: usize = 4 * 1024 * 1024;

// === impl Api ===

impl Api {
    /// # Errors
    /// When TLS cannot be set up on this machine; why, for people.
    pub(crate) fn new(base: Url, token: SecretString) -> Result<Self, String> {
        let http = HttpClient::new(WITHIN, MOST).map_err(|error| error.to_string())?;
        Ok(Self { base, token, http })
    }

    /// What was said after the cursor.
    pub(crate) async fn read(&self, after: Option<&str>) -> Result<Page, Unread> {
        let mut url = self.at(&["v1", "messages"]);
        url.query_pairs_mut().extend_pairs(after.map(|cursor| ("after", cursor)));
        let answer = self.ask("GET", &url, Sent::default()).await.map_err(|error| {
            let code = if error.is_unsent() { "unreachable" } else { "no_answer" };
            Unread { code: code.to_owned(), message: error.to_string(), is_refused: false }
        })?;
        let status = answer.status.as_u16();
        if status != 200 {
            let message = "the platform refuses to be read".to_owned();
            return Err(Unread { code: format!("http_{status}"), message, is_refused: status == 401 });
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let message = format!("the platform's answer is not understood: {error}");
            Unread { code: "bad_answer".to_owned(), message, is_refused: false }
        })
    }

    /// Says a text.
    pub(crate) async fn say(&self, channel: &str, text: &str) -> Result<Answer, HttpError> {
        let url = self.at(&["v1", "channels", channel.trim_start_matches('#'), "messages"]);
        self.ask("POST", &url, Sent::from(json!({ "text": text }).to_string())).await
    }

    async fn ask(&self, method: &str, url: &Url, body: Sent) -> Result<Answer, HttpError> {
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose_secret()))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| HttpError::Unreachable(error.to_string()))?;
        self.http.ask(request).await
    }

    /// The URL of a path; each part of it is escaped.
    fn at(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }
}
