//! Discord's REST interface, as far as it is used.
//!
//! Not twilight's client: that one repeats every 429 by itself, at once when the limit is the account's, and shows
//! it to nobody, and its messages cannot say `enforce_nonce`. A delivery needs each answer as it is.

pub(crate) mod limits;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_connector::{Share, Status};
use chatbus_event::Clock;
use chatbus_event::json::Raw;
use chatbus_http::hyper::{Method, Request, header};
use chatbus_http::{HttpClient, HttpError, Sent};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::ApiUrl;
use limits::{Limits, Told};

/// An answer is waited for this long.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest answer there is: a hundred messages with all that can be in them.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// How long a request of our own waits for a limit before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Discord's rule for who calls.
const USER_AGENT: &str = concat!("DiscordBot (chatbus, ", env!("CARGO_PKG_VERSION"), ")");

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    /// The path's form: requests of one form share limits.
    form: &'static str,
    /// What the limits of a form are counted by: a channel, a guild.
    major: Arc<str>,
    path: String,
    body: Option<Bytes>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// How long to wait, where the answer says so.
    pub(crate) retry_after: Option<Duration>,
}

/// Why nothing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// A limit forbids it until then; nothing went out.
    NotBefore(Instant),
    /// The token was refused before; nothing went out.
    Unauthorized,
    /// No connection: nothing went out.
    Unreachable(String),
    /// It may have been done.
    Lost(String),
}

/// The client. All shards and the sink share one, and with it the limits.
#[derive(Debug)]
pub(crate) struct Rest {
    http: HttpClient,
    api: ApiUrl,
    token: SecretString,
    limits: Mutex<Limits>,
    share: Share,
    clock: Arc<dyn Clock>,
    status: Status,
}

// === impl Call ===

impl Call {
    pub(crate) fn get(form: &'static str, major: &str, path: String) -> Self {
        Self { method: Method::GET, form, major: major.into(), path, body: None }
    }

    /// A message into a channel.
    pub(crate) fn say(channel: &Arc<str>, body: Bytes) -> Self {
        let path = format!("/channels/{channel}/messages");
        Self { method: Method::POST, form: SAY, major: Arc::clone(channel), path, body: Some(body) }
    }

    /// The conversation with a user.
    pub(crate) fn direct(user: &str) -> Self {
        let body = format!(r#"{{"recipient_id":"{user}"}}"#).into();
        let path = "/users/@me/channels".to_owned();
        Self { method: Method::POST, form: DIRECT, major: "".into(), path, body: Some(body) }
    }
}

/// The form of what says something in a channel.
pub(crate) const SAY: &str = "POST /channels/{}/messages";
/// The form of what opens a conversation.
pub(crate) const DIRECT: &str = "POST /users/@me/channels";

// === impl Rest ===

impl Rest {
    /// # Errors
    /// When the provider of cryptography supports no protocol version, which the one used does.
    pub(crate) fn new(
        api: ApiUrl,
        token: SecretString,
        clock: Arc<dyn Clock>,
        status: Status,
    ) -> Result<Self, rustls::Error> {
        let share = Share::whole();
        let limits = Mutex::new(Limits::new(share.clone()));
        Ok(Self { http: HttpClient::new(WITHIN, MAX_ANSWER)?, api, token, limits, share, clock, status })
    }

    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// Until when a limit forbids a request of this form, and whether the token was refused.
    pub(crate) fn outlook(&self, form: &'static str, major: &str) -> Option<Instant> {
        let now = self.clock.instant();
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).outlook(form, major, now)
    }

    /// Asks, if the limits allow it now. `is_held` is looked at as the last step before bytes go out.
    pub(crate) async fn ask(
        &self,
        call: &Call,
        is_held: impl FnOnce() -> bool,
    ) -> Result<Answer, Unanswered> {
        let now = self.clock.instant();
        {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            if limits.is_refused() {
                return Err(Unanswered::Unauthorized);
            }
            limits.take(call.form, &call.major, now).map_err(Unanswered::NotBefore)?;
        }
        let request = Request::builder()
            .method(call.method.clone())
            .uri(self.api.at(&call.path))
            .header(header::AUTHORIZATION, format!("Bot {}", self.token.expose_secret()))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Sent::new(call.body.clone().unwrap_or_default()))
            .map_err(|error| Unanswered::Unreachable(error.to_string()))?;
        if !is_held() {
            return Err(Unanswered::NotBefore(now));
        }
        let answer = self.http.ask(request).await.map_err(|error| match error {
            HttpError::Unreachable(why) => Unanswered::Unreachable(why),
            other => Unanswered::Lost(other.to_string()),
        })?;
        let told = Told::of(&answer);
        let now = self.clock.instant();
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.answered(call.form, &call.major, &told, now);
        if told.is_invalid() {
            self.status.count(|snapshot| {
                *snapshot.counters.other.entry("invalidRequests".to_owned()).or_default() += 1;
            });
        }
        Ok(Answer { status: told.status, body: answer.body, retry_after: told.retry_after })
    }

    /// Asks for JSON, and waits for a limit if it has to.
    ///
    /// # Errors
    /// What came instead: the last answer, or nothing.
    pub(crate) async fn json(&self, call: &Call) -> Result<Raw, Result<Answer, Unanswered>> {
        let until = self.clock.instant() + PATIENCE;
        loop {
            match self.ask(call, || true).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return Raw::parse(&answer.body).map_err(|_| Ok(answer));
                }
                // The limits know how long to wait now.
                Ok(answer) if answer.status == 429 && self.clock.instant() < until => {}
                Err(Unanswered::NotBefore(at)) if at < until => {
                    tokio::time::sleep(at.saturating_duration_since(self.clock.instant())).await;
                }
                other => return Err(other),
            }
        }
    }
}
