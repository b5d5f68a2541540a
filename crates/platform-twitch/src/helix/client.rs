//! Asks Helix, as an account or as the application.
//!
//! Nothing is asked twice that may have been done once: only a 401, which did nothing, is followed by a second
//! try with another token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatbus_connector::{Account, Credential};
use chatbus_event::Clock;
use chatbus_http::HttpClient;
use chatbus_http::hyper::Method;
use secrecy::SecretString;
use serde_json::Value;

use super::answer::{HelixAnswer, HelixError, read};
use super::application::Application;
use super::limit::{Limit, Said};
use super::question::{Leave, Question, at};
use crate::config::ApiConfig;
use crate::oauth::identity;

/// An answer takes at most this long, the connection included. Twitch answers within a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A page of 100 subscriptions has some 60 KiB.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a refused token may take to be renewed while who asked waits.
const RENEWED_WITHIN: Duration = Duration::from_secs(10);

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

    /// The same, and only while there is leave for it.
    pub(super) async fn call_under(
        &self,
        method: Method,
        path: &'static str,
        query: &[(&str, &str)],
        body: Option<Value>,
        leave: Option<Leave<'_>>,
    ) -> Result<HelixAnswer, HelixError> {
        let url = at(&self.0.config.api_url, path, query)?;
        let question = Question { method: &method, url: &url, body: body.as_ref(), scheme: "Bearer", leave };
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
            Question { method: &method, url: &url, body: body.as_ref(), scheme: "Bearer", leave: None };
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
        let is_whole = self.0.config.is_of_one_twitch();
        let who = if is_whole { self.validate().await } else { self.own_user().await };
        let who = who.map_err(HelixError::harmless)?;
        *self.0.who.lock().unwrap_or_else(PoisonError::into_inner) = Some(who.clone());
        Ok(who)
    }

    async fn validate(&self) -> Result<Who, HelixError> {
        let url = at(&self.0.config.auth_url, "/validate", &[])?;
        let question = Question { method: &Method::GET, url: &url, body: None, scheme: "OAuth", leave: None };
        let (answer, generation) = self.ask_as_account(question).await?;
        let said = identity(&answer.body).ok_or_else(|| unknown(&answer))?;
        Ok(Who { generation, user_id: said.user_id, login: said.login, scopes: said.scopes })
    }

    /// Without a query it is the token's own user (dev.twitch.tv/docs/api/reference/#get-users).
    async fn own_user(&self) -> Result<Who, HelixError> {
        let url = at(&self.0.config.api_url, "/users", &[])?;
        let question =
            Question { method: &Method::GET, url: &url, body: None, scheme: "Bearer", leave: None };
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
        if question.leave.is_some_and(|leave| !leave.holds(clock.instant())) {
            return Err(HelixError::Lapsed);
        }
        let answer = self.http()?.ask(request).await?;
        let said = Said::of(&answer, clock.now());
        limit.lock().unwrap_or_else(PoisonError::into_inner).heard(
            said,
            answer.status.as_u16() == 429,
            clock.instant(),
        );
        read(&answer, said)
    }
}

fn quiet_until(limit: &Mutex<Limit>, now: Instant) -> Option<Instant> {
    limit.lock().unwrap_or_else(PoisonError::into_inner).quiet_until(now)
}

/// Nobody said whose the token is. Nothing was done by asking.
fn unknown(answer: &HelixAnswer) -> HelixError {
    HelixError::Unreachable(format!("whose the token is was not said: HTTP {}", answer.status))
}
