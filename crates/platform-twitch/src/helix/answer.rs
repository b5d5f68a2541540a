//! What Helix answers, and why there may be no answer.

use std::time::{Duration, Instant};

use chatbus_http::{Answer, HttpError};
use serde_json::Value;

use super::limit::Said;

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
    /// The time for it is over, or the lease under which it was to be asked ends before a connection would be
    /// made.
    #[error("its time or the lease is over")]
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

    /// The same for a question that does nothing: not to have an answer is all that went wrong.
    #[must_use]
    pub fn harmless(self) -> Self {
        match self {
            Self::Lost(why) => Self::Unreachable(why),
            other => other,
        }
    }

    /// Whether nothing can have been done.
    pub fn is_unsent(&self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

impl From<HttpError> for HelixError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Unreachable(why) => Self::Unreachable(why),
            HttpError::Lost(_) | HttpError::TimedOut(_) | HttpError::TooLong(_) => {
                Self::Lost(error.to_string())
            }
        }
    }
}

/// An answer, or what a 401 says. It need not be about the token: Twitch answers so, too, when a scope is
/// missing, and when the account asks in another's name or has no verified phone number
/// (dev.twitch.tv/docs/api/reference/#send-whisper).
pub(super) fn read(answer: &Answer, said: Said) -> Result<HelixAnswer, HelixError> {
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let answer = HelixAnswer { status: answer.status.as_u16(), body, wait: said.wait };
    if answer.status != 401 {
        return Ok(answer);
    }
    let message = answer.message().to_owned();
    let lower = message.to_ascii_lowercase();
    if lower.contains("scope") {
        Err(HelixError::MissingScope(message))
    } else if lower.contains("match") || lower.contains("phone number") {
        Err(HelixError::Denied(message))
    } else {
        Err(HelixError::Refused(message))
    }
}

#[cfg(test)]
mod tests {
    use chatbus_http::hyper::{HeaderMap, StatusCode};

    use super::*;

    fn of(status: u16, body: &'static str) -> Result<HelixAnswer, HelixError> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: HeaderMap::new(), body: bytes::Bytes::from(body) };
        read(&answer, Said::default())
    }

    #[test]
    fn a_401_says_whether_another_token_would_help() {
        let refused = HelixError::Refused;
        for (message, expected) in [
            ("Invalid OAuth token", refused("Invalid OAuth token".to_owned())),
            ("OAuth token is missing", refused("OAuth token is missing".to_owned())),
            ("", refused(String::new())),
            (
                "Missing scope: user:write:chat",
                HelixError::MissingScope("Missing scope: user:write:chat".to_owned()),
            ),
            (
                "The user access token must include the user:manage:whispers scope.",
                HelixError::MissingScope(
                    "The user access token must include the user:manage:whispers scope.".to_owned(),
                ),
            ),
            (
                "The ID in sender_id must match the user ID in the user access token.",
                HelixError::Denied(
                    "The ID in sender_id must match the user ID in the user access token.".to_owned(),
                ),
            ),
            (
                "Client ID and OAuth token do not match",
                HelixError::Denied("Client ID and OAuth token do not match".to_owned()),
            ),
            (
                "The user must have a verified phone number.",
                HelixError::Denied("The user must have a verified phone number.".to_owned()),
            ),
        ] {
            let body = serde_json::json!({"error":"Unauthorized","status":401,"message":message}).to_string();
            assert_eq!(of(401, body.leak()), Err(expected), "{message}");
        }
        assert_eq!(of(401, "<html>"), Err(refused(String::new())));
    }

    #[test]
    fn every_other_status_is_an_answer_whatever_its_body() {
        for (status, body, message) in
            [(200, "", ""), (204, "", ""), (500, "<html>", ""), (403, r#"{"message":"no"}"#, "no")]
        {
            let answer = of(status, body).unwrap();
            assert_eq!((answer.status, answer.message()), (status, message));
            assert_eq!(answer.is_success(), status < 300);
            assert!(answer.data().is_empty());
        }
    }
}
