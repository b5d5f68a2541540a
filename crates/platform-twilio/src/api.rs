//! Twilio's REST and Conversations APIs, as far as they are used.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chatbus_http::hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use chatbus_http::hyper::{Method, Request};
use chatbus_http::{Answer, HttpClient, HttpError, Sent};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::config::{Sender, TwilioConfig};
use crate::form;
use crate::verdict::{Class, Refusal};

/// How long an answer may take, and how long it may be.
const WITHIN: Duration = Duration::from_secs(10);
const MOST: usize = 256 * 1024;
/// Twilio's `Retry-After` beyond this is not believed.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What may be asked of one account.
#[derive(Debug)]
pub(crate) struct Api {
    http: HttpClient,
    /// The whole header's value.
    token: HeaderValue,
    /// The same with the API key, where there is one.
    key: Option<HeaderValue>,
    account: String,
    /// `…/2010-04-01/Accounts/{sid}` of the REST API.
    rest: String,
    /// `…/v1/Services/{sid}/Conversations` or `…/v1/Conversations`.
    conversations: String,
}

/// A text message that is to be sent.
#[derive(Debug)]
pub(crate) struct TextMessage<'a> {
    pub(crate) from: &'a str,
    pub(crate) is_service: bool,
    pub(crate) to: &'a str,
    pub(crate) body: &'a str,
    /// Where its status is told.
    pub(crate) status_callback: Option<&'a str>,
}

/// What Twilio makes of the credentials.
#[derive(Debug)]
pub(crate) enum Standing {
    /// They are good. What its clock said, in seconds since the epoch, where it said so.
    Good { date: Option<String> },
    /// They are refused, or the account is closed.
    Refused(Refusal),
    /// It cannot be asked now; why, for people.
    Unknown(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource {
    sid: Option<String>,
    status: Option<serde_json::Value>,
    error_code: Option<u32>,
    code: Option<u32>,
    message: Option<String>,
}

// === impl Api ===

impl Api {
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub(crate) fn new(config: &TwilioConfig) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let basic = |user: &str, password: &SecretString| {
            let text = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            HeaderValue::from_str(&format!("Basic {text}")).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        let service = config.chat_service.as_ref().map_or_else(String::new, |sid| format!("/Services/{sid}"));
        Ok(Self {
            http: HttpClient::new(WITHIN, MOST)?,
            token: basic(&config.account_sid, &config.auth_token)?,
            key: config.api_key.as_ref().map(|key| basic(&key.key, &key.secret)).transpose()?,
            account: config.account_sid.clone(),
            rest: format!("{}/2010-04-01/Accounts/{}", config.api_url, config.account_sid),
            conversations: format!("{}/v1{service}/Conversations", config.conversations_url),
        })
    }

    /// Sends a text message; gives its id.
    pub(crate) async fn message(&self, message: &TextMessage<'_>) -> Result<String, Refusal> {
        let from = if message.is_service { "MessagingServiceSid" } else { "From" };
        let mut fields = vec![("To", message.to), (from, message.from), ("Body", message.body)];
        fields.extend(message.status_callback.map(|url| ("StatusCallback", url)));
        self.create(&format!("{}/Messages.json", self.rest), &fields).await
    }

    /// Says something in a conversation; gives the message's id.
    pub(crate) async fn say(
        &self,
        conversation: &str,
        author: Option<&str>,
        body: &str,
    ) -> Result<String, Refusal> {
        let mut fields = vec![("Body", body)];
        fields.extend(author.map(|author| ("Author", author)));
        self.create(&format!("{}/{conversation}/Messages", self.conversations), &fields).await
    }

    /// Makes `identity` take part in a conversation; that it does already is as good.
    pub(crate) async fn join(&self, conversation: &str, identity: &str) -> Result<(), Refusal> {
        let url = format!("{}/{conversation}/Participants", self.conversations);
        match self.create(&url, &[("Identity", identity)]).await {
            Ok(_) => Ok(()),
            Err(refusal) if matches!(&*refusal.code, "50433" | "50416" | "http_409") => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Asks whether the credentials are good: the token, by its account, and the key, where there is one, by
    /// something that every kind of key may ask for.
    pub(crate) async fn standing(&self) -> Standing {
        let account = match self.ask(Method::GET, &format!("{}.json", self.rest), &self.token, &[]).await {
            Ok(answer) => answer,
            Err(error) => return Standing::Unknown(error.to_string()),
        };
        let date = account.header("date").map(str::to_owned);
        if let Some(standing) = judged(&account) {
            return standing;
        }
        let status = read(&account).status;
        if let Some(status) =
            status.as_ref().and_then(|status| status.as_str()).filter(|status| *status != "active")
        {
            let mut refusal = Refusal::of_answer(401, Some(20005), "", None);
            refusal.message = format!("the account is {status}");
            return Standing::Refused(refusal);
        }
        let Some(key) = &self.key else { return Standing::Good { date } };
        let url = format!("{}/Messages.json?PageSize=1", self.rest);
        match self.ask(Method::GET, &url, key, &[]).await {
            Err(error) => Standing::Unknown(error.to_string()),
            Ok(answer) if matches!(answer.status.as_u16(), 401 | 403) => {
                judged(&answer).unwrap_or(Standing::Good { date })
            }
            Ok(_) => Standing::Good { date },
        }
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    async fn create(&self, url: &str, fields: &[(&str, &str)]) -> Result<String, Refusal> {
        let credentials = self.key.as_ref().unwrap_or(&self.token);
        let answer =
            self.ask(Method::POST, url, credentials, fields).await.map_err(|error| unanswered(&error))?;
        let resource = read(&answer);
        if !answer.status.is_success() {
            return Err(refusal(&answer, &resource));
        }
        // A message that failed at once.
        let status = resource.status.as_ref().and_then(|status| status.as_str()).unwrap_or_default();
        if matches!(status, "failed" | "undelivered") {
            return Err(Refusal::of_status(status, resource.error_code));
        }
        // It was done, or why answer so? But what it is called is lost.
        resource.sid.ok_or_else(|| Refusal::unverified("bad_answer", "Twilio's answer names no message"))
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        credentials: &HeaderValue,
        fields: &[(&str, &str)],
    ) -> Result<Answer, HttpError> {
        let body = if fields.is_empty() { String::new() } else { form::encoded(fields.iter().copied()) };
        let mut request = Request::builder().method(method).uri(url).header(AUTHORIZATION, credentials);
        if !fields.is_empty() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Sent::new(Bytes::from(body)));
        let request = request.map_err(|error| HttpError::Unreachable(error.to_string()))?;
        self.http.ask(request).await
    }
}

fn read(answer: &Answer) -> Resource {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

fn refusal(answer: &Answer, resource: &Resource) -> Refusal {
    let after =
        answer.header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let after = after.map(|after| after.min(LONGEST_WAIT));
    let message = resource.message.as_deref().unwrap_or_default();
    Refusal::of_answer(answer.status.as_u16(), resource.code, message, after)
}

/// What an answer says against the credentials, if it does.
fn judged(answer: &Answer) -> Option<Standing> {
    if answer.status.is_success() {
        return None;
    }
    let resource = read(answer);
    // Something between us and Twilio, or in its place, that knows messages only.
    if resource.code.is_none() && matches!(answer.status.as_u16(), 404 | 405 | 501) {
        return None;
    }
    let refusal = refusal(answer, &resource);
    Some(match refusal.class {
        Class::Reauth => Standing::Refused(refusal),
        // No such account.
        Class::Permanent(_) if answer.status.as_u16() == 404 => Standing::Refused(refusal),
        _ => Standing::Unknown(format!("{}: {}", refusal.code, refusal.message)),
    })
}

fn unanswered(error: &HttpError) -> Refusal {
    let message = error.to_string();
    match error {
        HttpError::Unreachable(_) | HttpError::NotPublic(_) => Refusal {
            class: Class::Retry(Duration::ZERO),
            code: "unreachable".to_owned(),
            message,
            is_known: true,
        },
        HttpError::Lost(_) => Refusal::unverified("connection_lost", &message),
        HttpError::TimedOut(_) => Refusal::unverified("no_answer", &message),
        HttpError::TooLong(_) => Refusal::unverified("bad_answer", &message),
    }
}

// === impl TextMessage ===

impl<'a> TextMessage<'a> {
    pub(crate) fn new(from: &'a Sender, to: &'a str, body: &'a str) -> Self {
        let is_service = matches!(from, Sender::Service(_));
        Self { from: from.as_str(), is_service, to, body, status_callback: None }
    }
}
