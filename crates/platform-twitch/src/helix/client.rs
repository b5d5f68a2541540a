//! Asks Helix, as an account or as the application.
//!
//! Nothing is asked twice that may have been done once: only a 401, which did nothing, is followed by a second
//! try with another token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatbus_connector::{Account, Credential};
use chatbus_event::Clock;
use chatbus_http::hyper::{Method, Request, header};
use chatbus_http::{Answer, HttpClient, HttpError, Sent};
use chatbus_runtime::Fence;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::application::Application;
use super::limit::{Limit, Said};
use crate::config::ApiConfig;
use crate::oauth::identity;

/// An answer takes at most this long, the connection included. Twitch answers within a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A page of 100 subscriptions has some 60 KiB.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a refused token may take to be renewed while who asked waits.
const RENEWED_WITHIN: Duration = Duration::from_secs(10);
/// As long as making a connection may take: what is asked goes out no later than that.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// Asks Helix. Cheap to clone; clones share connections, limits and the application's token.
#[derive(Debug, Clone)]
pub struct Helix(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ApiConfig,
    account: Account,
    http: Result<HttpClient, HelixError>,
    clock: Arc<dyn Clock>,
    application: Application,
    account_limit: Mutex<Limit>,
    application_limit: Mutex<Limit>,
    who: Mutex<Option<Who>>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct HelixAnswer {
    /// The HTTP status; never 401.
    pub status: u16,
    /// The body; `Null` when it is empty or no JSON.
    pub body: Value,
    /// In how long Twitch will hear more, where it says so; at most two minutes.
    pub wait: Option<Duration>,
}

/// Why nothing came back that says whether it was done. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelixError {
    /// There is no token: a person has to log in first.
    #[error("there is no token: log in first")]
    NoToken,
    /// Twitch refuses the token, and there was no other in time.
    #[error("the token is refused: {0}")]
    Refused(String),
    /// The token does not allow it.
    #[error("the token lacks a scope: {0}")]
    MissingScope(String),
    /// Twitch wants nothing asked before then.
    #[error("asked too often")]
    Limited(Instant),
    /// Twitch refuses what no other token of the account would change.
    #[error("refused: {0}")]
    Denied(String),
    /// The lease under which this was to be asked is over, or ends before a connection would be made.
    #[error("the lease is over")]
    Lapsed,
    /// What was to be asked cannot be.
    #[error("it cannot be asked: {0}")]
    Unusable(String),
    /// No connection.
    #[error("out of reach: {0}")]
    Unreachable(String),
    /// The connection ended, or there was no answer in time: it may have been done. Nothing was done in
    /// every other case.
    #[error("no answer: {0}")]
    Lost(String),
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Which token, as [`Credential::generation`] counts.
    pub generation: u64,
    /// The account's id.
    pub user_id: String,
    /// Its login.
    pub login: String,
    /// What the token may be used for; empty when that is not known.
    pub scopes: Vec<String>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    method: &'a Method,
    url: &'a Url,
    body: Option<&'a Value>,
    scheme: &'static str,
    fence: Option<&'a Fence>,
}

// === impl Helix ===

impl Helix {
    /// Asks as this account; nothing is asked yet. On a machine where no HTTP client can be made every
    /// question is [`HelixError::Unusable`].
    pub fn new(config: ApiConfig, account: Account, clock: Arc<dyn Clock>) -> Self {
        let http = HttpClient::new(ANSWER_WITHIN, MOST_BYTES)
            .map_err(|error| HelixError::Unusable(error.to_string()));
        Self(Arc::new(Inner {
            config,
            account,
            http,
            clock,
            application: Application::default(),
            account_limit: Mutex::default(),
            application_limit: Mutex::default(),
            who: Mutex::default(),
        }))
    }

    /// The account that is asked as.
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Until when the account may ask nothing, if that is so.
    pub fn quiet_until(&self) -> Option<Instant> {
        quiet_until(&self.0.account_limit, self.0.clock.instant())
    }

    /// Asks as the account. `path` stands behind TWITCH_API_URL, such as `/users`.
    ///
    /// A token that Twitch refuses is reported to its keeper, and the question is asked once more with the
    /// next one, for which it waits at most ten seconds.
    ///
    /// # Errors
    /// When no answer came that says whether it was done, or none was asked for; [`HelixError::is_unsent`].
    pub async fn call(
        &self,
        method: Method,
        path: &'static str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<HelixAnswer, HelixError> {
        self.call_under(method, path, query, body, None).await
    }

    /// The same, and only while this fence is held.
    pub(super) async fn call_under(
        &self,
        method: Method,
        path: &'static str,
        query: &[(&str, &str)],
        body: Option<Value>,
        fence: Option<&Fence>,
    ) -> Result<HelixAnswer, HelixError> {
        let url = at(&self.0.config.api_url, path, query)?;
        let question = Question { method: &method, url: &url, body: body.as_ref(), scheme: "Bearer", fence };
        Ok(self.ask_as_account(question).await?.0)
    }

    /// Asks as the application, whose token is had with its secret, kept, and had anew when it ends or is
    /// refused.
    ///
    /// # Errors
    /// As [`Helix::call`].
    pub async fn call_as_app(
        &self,
        method: Method,
        path: &'static str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<HelixAnswer, HelixError> {
        let url = at(&self.0.config.api_url, path, query)?;
        let question =
            Question { method: &method, url: &url, body: body.as_ref(), scheme: "Bearer", fence: None };
        let limit = &self.0.application_limit;
        let mut refused: Option<SecretString> = None;
        loop {
            let Inner { config, clock, application, .. } = &*self.0;
            let token = application.token(config, self.http()?, refused.as_ref(), clock.instant()).await?;
            match self.ask(question, &token, limit).await {
                Err(HelixError::Refused(_)) if refused.is_none() => refused = Some(token),
                answer => return answer,
            }
        }
    }

    /// Whose the account's token is: what its keeper knows, else what Twitch says, asked once a token.
    ///
    /// # Errors
    /// As [`Helix::call`].
    pub async fn who(&self) -> Result<Who, HelixError> {
        let Credential { generation, user_id, login, scopes, .. } = self.0.account.now();
        if let Some(user_id) = user_id {
            return Ok(Who { generation, user_id, login: login.unwrap_or_default(), scopes });
        }
        let known = self.0.who.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.generation == generation) {
            return Ok(known);
        }
        let who =
            if self.0.config.is_of_one_twitch() { self.validate().await? } else { self.own_user().await? };
        *self.0.who.lock().unwrap_or_else(PoisonError::into_inner) = Some(who.clone());
        Ok(who)
    }

    async fn validate(&self) -> Result<Who, HelixError> {
        let url = at(&self.0.config.auth_url, "/validate", &[])?;
        let question = Question { method: &Method::GET, url: &url, body: None, scheme: "OAuth", fence: None };
        let (answer, generation) = self.ask_as_account(question).await?;
        let said = identity(&answer.body).ok_or_else(|| unknown(&answer))?;
        Ok(Who { generation, user_id: said.user_id, login: said.login, scopes: said.scopes })
    }

    /// Without a query it is the token's own user (dev.twitch.tv/docs/api/reference/#get-users).
    async fn own_user(&self) -> Result<Who, HelixError> {
        let url = at(&self.0.config.api_url, "/users", &[])?;
        let question =
            Question { method: &Method::GET, url: &url, body: None, scheme: "Bearer", fence: None };
        let (answer, generation) = self.ask_as_account(question).await?;
        let text = |name: &str| answer.data().first()?.get(name)?.as_str().map(str::to_owned);
        let (user_id, login) = text("id").zip(text("login")).ok_or_else(|| unknown(&answer))?;
        Ok(Who { generation, user_id, login, scopes: Vec::new() })
    }

    /// Gives the generation of the token that was answered about, too.
    async fn ask_as_account(&self, question: Question<'_>) -> Result<(HelixAnswer, u64), HelixError> {
        let Inner { account, account_limit, .. } = &*self.0;
        let Credential { generation, token, .. } = account.now();
        match self.ask(question, &token.ok_or(HelixError::NoToken)?, account_limit).await {
            Err(HelixError::Refused(message)) => {
                account.refused(generation);
                let next = account.after(generation, RENEWED_WITHIN).await;
                let Some((token, generation)) = next.and_then(|next| next.token.zip(Some(next.generation)))
                else {
                    return Err(HelixError::Refused(message));
                };
                Ok((self.ask(question, &token, account_limit).await?, generation))
            }
            answer => Ok((answer?, generation)),
        }
    }

    fn http(&self) -> Result<&HttpClient, HelixError> {
        self.0.http.as_ref().map_err(Clone::clone)
    }

    /// Asks once.
    async fn ask(
        &self,
        question: Question<'_>,
        token: &SecretString,
        limit: &Mutex<Limit>,
    ) -> Result<HelixAnswer, HelixError> {
        let Inner { config, clock, .. } = &*self.0;
        if let Some(until) = quiet_until(limit, clock.instant()) {
            return Err(HelixError::Limited(until));
        }
        let request = question.request(&config.client_id, token)?;
        if question.fence.is_some_and(|fence| !fence.is_held(clock.instant() + CONNECTED_WITHIN)) {
            return Err(HelixError::Lapsed);
        }
        let answer = self.http()?.ask(request).await.map_err(|error| match error {
            HttpError::Unreachable(why) => HelixError::Unreachable(why),
            HttpError::Lost(_) | HttpError::TimedOut(_) | HttpError::TooLong(_) => {
                HelixError::Lost(error.to_string())
            }
        })?;
        let said = Said::of(&answer, clock.now());
        limit.lock().unwrap_or_else(PoisonError::into_inner).heard(
            said,
            answer.status.as_u16() == 429,
            clock.instant(),
        );
        read(&answer, said)
    }
}

// === impl HelixAnswer ===

impl HelixAnswer {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What Twitch says of it, for people; empty when it says nothing.
    pub fn message(&self) -> &str {
        self.body.get("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// The rows of the answer.
    pub fn data(&self) -> &[Value] {
        self.body.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

// === impl HelixError ===

impl HelixError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Refused(_) => "token_refused",
            Self::MissingScope(_) => "missing_scope",
            Self::Limited(_) => "rate_limited",
            Self::Denied(_) => "denied",
            Self::Lapsed => "lease_lost",
            Self::Unusable(_) => "unusable",
            Self::Unreachable(_) => "unreachable",
            Self::Lost(_) => "connection_lost",
        }
    }

    /// Whether nothing can have been done.
    pub fn is_unsent(&self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

// === impl Question ===

impl Question<'_> {
    fn request(&self, client_id: &str, token: &SecretString) -> Result<Request<Sent>, HelixError> {
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

/// An answer, or what a 401 says. It need not be about the token: Twitch answers so, too, when a scope is
/// missing, and when the account asks in another's name or has no verified phone number
/// (dev.twitch.tv/docs/api/reference/#send-whisper).
fn read(answer: &Answer, said: Said) -> Result<HelixAnswer, HelixError> {
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let answer = HelixAnswer { status: answer.status.as_u16(), body, wait: said.wait };
    if answer.status != 401 {
        return Ok(answer);
    }
    let message = answer.message().to_owned();
    let lower = message.to_ascii_lowercase();
    if lower.contains("scope") {
        Err(HelixError::MissingScope(message))
    } else if lower.contains("must match") || lower.contains("phone number") {
        Err(HelixError::Denied(message))
    } else {
        Err(HelixError::Refused(message))
    }
}

fn at(base: &Url, path: &'static str, query: &[(&str, &str)]) -> Result<Url, HelixError> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&text).map_err(|error| HelixError::Unusable(error.to_string()))?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

fn quiet_until(limit: &Mutex<Limit>, now: Instant) -> Option<Instant> {
    limit.lock().unwrap_or_else(PoisonError::into_inner).quiet_until(now)
}

/// Nobody said whose the token is. Nothing was done by asking.
fn unknown(answer: &HelixAnswer) -> HelixError {
    HelixError::Unreachable(format!("whose the token is was not said: HTTP {}", answer.status))
}
