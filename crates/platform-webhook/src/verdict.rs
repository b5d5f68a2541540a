//! What an answer to a post means for a delivery.
//!
//! | answer | verdict | why |
//! |---|---|---|
//! | 2xx | delivered | with the `id` of its body, where there is one |
//! | 410 | refused for good | the specification's way to say: post here no more |
//! | 408, 425, 429 | again after `Retry-After` | refused before it was read |
//! | another 4xx | refused for good | |
//! | 5xx | again after `Retry-After` | the key says that it is the same |
//! | 3xx or another status | refused for good, and counted as unknown | redirects are not followed |
//! | an address that is not public | refused for good | nothing went out |
//! | no connection | again | nothing went out |
//! | no answer, or half of one | unverified | sent again under the same key, see [`REMEMBERS`] |

use std::time::{Duration, UNIX_EPOCH};

use chatbus_connector::{PermanentReason, Verdict};
use chatbus_event::Timestamp;
use chatbus_http::{Answer, HttpError};
use serde::Deserialize;

/// How long the other side has to remember the ids it was given: the specification's tolerance for repeats,
/// twice.
pub(crate) const REMEMBERS: Duration = Duration::from_secs(600);

/// What is waited when nobody says how long.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The longest that is waited, whoever says what.
const RETRY_MOST: Duration = Duration::from_secs(3600);
/// The longest id of the other side that is kept, in bytes.
const MAX_ID: usize = 256;

#[derive(Deserialize)]
struct Said {
    id: String,
}

/// Whether a status has a row of its own.
pub(crate) fn is_known(status: u16) -> bool {
    matches!(status, 200..=299 | 400..=599)
}

/// One row for each kind of answer; its code is its status.
pub(crate) fn verdict(answer: Result<Answer, HttpError>, now: Timestamp) -> Verdict {
    let rejected = |code, message| Verdict::Permanent { reason: PermanentReason::Rejected, code, message };
    let answer = match answer {
        Ok(answer) => answer,
        Err(HttpError::NotPublic(refused)) => {
            return rejected("not_public".to_owned(), format!("{refused} (WEBHOOK_ALLOW_PRIVATE)"));
        }
        Err(error) if error.is_unsent() => {
            let (code, message) = ("unreachable".to_owned(), error.to_string());
            return Verdict::Retry { after: RETRY_AFTER, code, message };
        }
        Err(error) => {
            return Verdict::Unverified { code: "connection_lost".to_owned(), message: error.to_string() };
        }
    };
    let status = answer.status.as_u16();
    let code = format!("http_{status}");
    match status {
        200..=299 => Verdict::Delivered { provider_message_id: id(&answer) },
        410 => rejected(code, "nothing is to be posted there any more".to_owned()),
        408 | 425 | 429 | 500..=599 => {
            let message = "it is not taken now".to_owned();
            Verdict::Retry { after: retry_after(&answer, now), code, message }
        }
        _ => rejected(code, "it is refused".to_owned()),
    }
}

fn id(answer: &Answer) -> Option<String> {
    let Said { id } = serde_json::from_slice(&answer.body).ok()?;
    (!id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control)).then_some(id)
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(answer: &Answer, now: Timestamp) -> Duration {
    let wait = answer.header("retry-after").map(str::trim).and_then(|text| {
        let seconds = text.parse().ok().map(Duration::from_secs);
        seconds.or_else(|| {
            let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            let at = Timestamp::from_millis(i64::try_from(since_1970.as_millis()).ok()?);
            Some(at.since(now))
        })
    });
    wait.unwrap_or(RETRY_AFTER).min(RETRY_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_http::hyper::{HeaderMap, StatusCode, header};

    fn of(status: u16, retry_after: Option<&'static str>, body: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static(text));
        }
        let status = StatusCode::from_u16(status).unwrap();
        let now = Timestamp::parse("2025-11-21T17:02:00Z").unwrap();
        verdict(Ok(Answer { status, headers, body: body.to_owned().into() }), now)
    }

    #[test]
    fn what_is_taken_has_the_id_of_the_answer_if_that_is_one() {
        for (body, id) in [
            (r#"{"id":"m-1"}"#, Some("m-1")),
            ("", None),
            ("<html>", None),
            (r#"{"id":7}"#, None),
            (r#"{"id":""}"#, None),
            (r#"{"id":"a\nb"}"#, None),
            (&format!(r#"{{"id":"{}"}}"#, "x".repeat(257)), None),
        ] {
            let expected = Verdict::Delivered { provider_message_id: id.map(str::to_owned) };
            for status in [200, 201, 202, 204, 299] {
                assert_eq!(of(status, None, body), expected, "{status} {body}");
            }
        }
    }

    #[test]
    fn each_refusal_has_its_verdict() {
        for status in [300, 302, 308, 400, 401, 403, 404, 409, 410, 413, 422, 451, 600] {
            let Verdict::Permanent { reason, code, .. } = of(status, Some("1"), "") else {
                panic!("{status}")
            };
            assert_eq!((reason, code), (PermanentReason::Rejected, format!("http_{status}")));
            assert_eq!(is_known(status), (400..600).contains(&status), "{status}");
        }
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            let Verdict::Retry { after, code, .. } = of(status, None, "") else { panic!("{status}") };
            assert_eq!((after, code), (RETRY_AFTER, format!("http_{status}")));
        }
    }

    #[test]
    fn what_is_to_be_waited_is_read_and_bounded() {
        for (text, seconds) in [
            ("7", 7),
            ("0", 0),
            (" 7 ", 7),
            ("999999999", 3600),
            ("soon", 2),
            ("-1", 2),
            ("Fri, 21 Nov 2025 17:02:30 GMT", 30),
            ("Fri, 21 Nov 2025 17:01:00 GMT", 0),
            ("Fri, 21 Nov 2036 17:02:30 GMT", 3600),
        ] {
            let Verdict::Retry { after, .. } = of(503, Some(text), "") else { panic!("{text}") };
            assert_eq!(after, Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn without_an_answer_it_counts_whether_anything_went_out() {
        let of = |error| verdict(Err(error), Timestamp::EPOCH);
        assert!(matches!(of(HttpError::Unreachable("x".into())), Verdict::Retry { .. }));
        let private = Verdict::Permanent {
            reason: PermanentReason::Rejected,
            code: "not_public".to_owned(),
            message: "not an address of the public internet: 10.0.0.1 (WEBHOOK_ALLOW_PRIVATE)".to_owned(),
        };
        let refused = chatbus_http::NotPublic(vec!["10.0.0.1".parse().unwrap()]);
        assert_eq!(of(HttpError::NotPublic(refused)), private);
        for error in [HttpError::Lost("x".into()), HttpError::TimedOut(Duration::ZERO), HttpError::TooLong(7)]
        {
            assert!(matches!(of(error), Verdict::Unverified { code, .. } if code == "connection_lost"));
        }
    }
}
