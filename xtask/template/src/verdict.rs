//! What an answer of the platform means for a delivery.
//!
//! | answer | verdict | why |
//! |---|---|---|
//! | 2xx | delivered | with the id of its body |
//! | 401 | log in again | refused before it was read |
//! | 429 | again after `Retry-After` | refused before it was said |
//! | 400, 403, 404, 413, 422 | refused for good | |
//! | another 3xx or 4xx | refused for good, and counted as unknown | |
//! | 5xx, or none once the request was written | unverified | it may have been said |
//! | no connection | again | nothing went out |

use std::time::Duration;

use chatbus_connector::{PermanentReason, Verdict};
use chatbus_http::{Answer, HttpError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Said {
    id: String,
}

/// What is waited when the platform does not say how long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest that is waited, whatever it says.
const RETRY_MOST: Duration = Duration::from_secs(3600);

/// Whether a status has a row of its own.
pub(crate) fn is_known(status: u16) -> bool {
    matches!(status, 200..=299 | 400 | 401 | 403 | 404 | 413 | 422 | 429 | 500..=599)
}

/// One row for each kind of answer. What is not known is a refusal for good, and its status is its code.
pub(crate) fn verdict(answer: Result<Answer, HttpError>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_unsent() => {
            let (code, message) = ("unreachable".to_owned(), error.to_string());
            return Verdict::Retry { after: RETRY_AFTER, code, message };
        }
        Err(error) => {
            return Verdict::Unverified { code: "connection_lost".to_owned(), message: error.to_string() };
        }
    };
    let status = answer.status.as_u16();
    let (code, message) = (format!("http_{status}"), "the platform refuses it".to_owned());
    match status {
        200..=299 => {
            let said = serde_json::from_slice::<Said>(&answer.body).ok();
            Verdict::Delivered { provider_message_id: said.map(|said| said.id) }
        }
        401 => Verdict::Reauth { code, message },
        429 => Verdict::Retry { after: retry_after(&answer), code, message },
        500..=599 => Verdict::Unverified { code, message: "it may have been said".to_owned() },
        _ => Verdict::Permanent { reason: PermanentReason::Rejected, code, message },
    }
}

fn retry_after(answer: &Answer) -> Duration {
    let seconds = answer.header("retry-after").and_then(|text| text.trim().parse().ok());
    seconds.map_or(RETRY_AFTER, Duration::from_secs).min(RETRY_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_http::hyper::{HeaderMap, StatusCode, header};

    fn of(status: u16, retry_after: Option<&'static str>, body: &'static str) -> Verdict {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static(text));
        }
        let status = StatusCode::from_u16(status).unwrap();
        verdict(Ok(Answer { status, headers, body: body.into() }))
    }

    #[test]
    fn each_answer_has_its_verdict() {
        let delivered = |id: Option<&str>| Verdict::Delivered { provider_message_id: id.map(str::to_owned) };
        assert_eq!(of(201, None, r#"{"id":"m-1"}"#), delivered(Some("m-1")));
        assert_eq!(of(200, None, "<html>"), delivered(None));
        for (text, seconds) in [(Some("2"), 2), (None, 1), (Some("soon"), 1), (Some("999999"), 3600)] {
            let Verdict::Retry { after, code, .. } = of(429, text, "") else { panic!("{text:?}") };
            assert_eq!((after, &*code), (Duration::from_secs(seconds), "http_429"), "{text:?}");
        }
        assert!(matches!(of(401, None, ""), Verdict::Reauth { .. }));
        for status in [302, 400, 403, 404, 413, 418, 422] {
            let Verdict::Permanent { reason, code, .. } = of(status, None, "") else { panic!("{status}") };
            assert_eq!((reason, code), (PermanentReason::Rejected, format!("http_{status}")));
        }
        assert!(matches!(of(500, None, ""), Verdict::Unverified { .. }));
        assert!(matches!(of(503, None, ""), Verdict::Unverified { .. }));
        assert!(matches!(verdict(Err(HttpError::Lost("gone".into()))), Verdict::Unverified { .. }));
        let refused = HttpError::Unreachable("refused".into());
        assert!(matches!(verdict(Err(refused)), Verdict::Retry { .. }), "nothing went out");
        assert!([200, 401, 429, 500].into_iter().all(is_known) && ![302, 418].into_iter().any(is_known));
    }
}
