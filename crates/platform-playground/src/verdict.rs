//! What an answer of the playground means for a delivery.

use std::time::Duration;

use chatbus_connector::{PermanentReason, Verdict};
use reqwest::StatusCode;
use serde::Deserialize;

use crate::api::{Answer, Unanswered};

#[derive(Deserialize)]
struct Said {
    id: String,
}

#[derive(Deserialize)]
struct No {
    code: String,
    #[serde(default)]
    message: String,
}

/// One row for each kind of answer. What is not known is a refusal for good, and its status is its code.
pub(crate) fn verdict(answer: Result<Answer, Unanswered>) -> Verdict {
    let Answer { status, retry_after, body } = match answer {
        Ok(answer) => answer,
        Err(Unanswered::Unreachable) => {
            return Verdict::Retry {
                after: Duration::ZERO,
                code: "unreachable".to_owned(),
                message: "nobody listens at PLAYGROUND_URL".to_owned(),
            };
        }
        Err(Unanswered::Lost) => return unverified("connection_lost"),
    };
    if status.is_success() {
        // It was said, or why answer so? But the id is with what was lost.
        return match serde_json::from_slice(&body) {
            Ok(Said { id }) => Verdict::Delivered { provider_message_id: Some(id) },
            Err(_) => unverified("bad_answer"),
        };
    }
    if status.is_server_error() {
        return unverified(&format!("http_{}", status.as_u16()));
    }
    let No { code, message } = serde_json::from_slice(&body)
        .unwrap_or_else(|_| No { code: format!("http_{}", status.as_u16()), message: String::new() });
    if status == StatusCode::TOO_MANY_REQUESTS {
        let after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        return Verdict::Retry { after: after.unwrap_or_default(), code, message };
    }
    Verdict::Permanent { reason: PermanentReason::Rejected, code, message }
}

fn unverified(code: &str) -> Verdict {
    Verdict::Unverified { code: code.to_owned(), message: "it may have been said".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        verdict(Ok(Answer { status, retry_after: retry_after.map(str::to_owned), body: body.into() }))
    }

    #[test]
    fn each_answer_has_its_verdict() {
        let delivered = Verdict::Delivered { provider_message_id: Some("m-1".into()) };
        assert_eq!(of(201, None, r#"{"id":"m-1","repeated":false}"#), delivered);
        assert_eq!(of(200, None, r#"{"id":"m-1"}"#), delivered);
        assert_eq!(of(201, None, "<html>"), unverified("bad_answer"));
        assert_eq!(of(503, Some("1"), ""), unverified("http_503"));
        let slow = |after| Verdict::Retry { after, code: "slow_down".into(), message: "m".into() };
        let no = r#"{"code":"slow_down","message":"m"}"#;
        assert_eq!(of(429, Some("2"), no), slow(Duration::from_secs(2)));
        assert_eq!(of(429, None, no), slow(Duration::ZERO));
        assert_eq!(of(429, Some("soon"), no), slow(Duration::ZERO));
        let rejected = |code: &str, message: &str| Verdict::Permanent {
            reason: PermanentReason::Rejected,
            code: code.into(),
            message: message.into(),
        };
        assert_eq!(of(403, None, r#"{"code":"banned","message":"m"}"#), rejected("banned", "m"));
        assert_eq!(of(404, None, ""), rejected("http_404", ""));
        assert_eq!(of(302, None, ""), rejected("http_302", ""));
        assert_eq!(verdict(Err(Unanswered::Lost)), unverified("connection_lost"));
        assert!(matches!(verdict(Err(Unanswered::Unreachable)), Verdict::Retry { .. }), "nothing went out");
    }
}
