//! What Helix's answers mean for what was to be said: one table for each of its two ways of saying something.
//!
//! Codes for a dropped chat message are those of IRC's NOTICEs, and mean the same: see
//! [`irc::verdict`](crate::irc::verdict). What stands nowhere is a refusal we do not know: permanent, and
//! counted. An error of Twitch's own proves nothing, so that what it answers may have been said.

use std::time::Duration;

use serde_json::Value;

use super::answer::HelixAnswer;
use crate::irc::limits::RATE_LIMIT_RETRY;
use crate::irc::verdict::{Refusal, refusal};

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Twitch took it, under this id.
    Yes {
        /// Twitch's id of it, where it gave one.
        id: Option<String>,
    },
    /// Twitch did not say it.
    No {
        /// What follows.
        refusal: Refusal,
        /// Twitch's code, or `http_` and the status.
        code: String,
        /// For people.
        message: String,
    },
    /// Nobody knows.
    Perhaps {
        /// A stable code.
        code: String,
        /// For people.
        message: String,
    },
}

/// What a status means, whatever the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Permanent,
    TooFast,
}

/// Codes that only Helix gives. Both tables together are those of Twitch's chat and of the clients that have
/// met them.
const DROPS: &[(&str, Refusal)] = &[
    // Held for a moderator, who may still let it through: never to be sent a second time.
    ("automod_held", Refusal::Permanent),
    // The channel's blocked words, links or other settings.
    ("channel_settings", Refusal::Permanent),
    // A moderator has warned the account, and a person has to acknowledge that first.
    ("user_warned", Refusal::Permanent),
];

/// Send Chat Message (dev.twitch.tv/docs/api/reference/#send-chat-message). A 200 is no verdict, see [`chat`].
const CHAT: &[(u16, Row)] = &[
    // A field is missing or no id.
    (400, Row::Permanent),
    // The account may not speak there.
    (403, Row::Permanent),
    (404, Row::Permanent),
    (409, Row::Permanent),
    // Too long.
    (422, Row::Permanent),
    (429, Row::TooFast),
];

/// Send Whisper (dev.twitch.tv/docs/api/reference/#send-whisper).
const WHISPERS: &[(u16, Row)] = &[
    // To oneself, to somebody who takes none from strangers, or malformed.
    (400, Row::Permanent),
    // The account is suspended, or may not whisper.
    (403, Row::Permanent),
    // There is no such user.
    (404, Row::Permanent),
    // 3 a second, 100 a minute, 40 people a day.
    (429, Row::TooFast),
];

/// What the answer to a chat message means. Twitch answers 200 to what it drops, too.
pub fn chat(answer: &HelixAnswer) -> Said {
    if answer.status != 200 {
        return by_status(CHAT, answer);
    }
    let Some(row) = answer.data().first() else {
        return perhaps("bad_answer", "an answer without a verdict");
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match row.get("is_sent").and_then(Value::as_bool) {
        Some(true) => Said::Yes { id: text(row.get("message_id")).filter(|id| !id.is_empty()) },
        Some(false) => {
            let reason = row.get("drop_reason");
            let part = |name| text(reason.and_then(|reason| reason.get(name)));
            let code = part("code").unwrap_or_else(|| "dropped".to_owned());
            let message = part("message").unwrap_or_default();
            Said::No { refusal: drop(&code, &message), code, message }
        }
        None => perhaps("bad_answer", "an answer without a verdict"),
    }
}

/// What the answer to a whisper means. A success says only that Twitch took it: what it drops afterwards,
/// it tells nobody.
pub fn whisper(answer: &HelixAnswer) -> Said {
    match answer.status {
        204 => Said::Yes { id: None },
        _ => by_status(WHISPERS, answer),
    }
}

/// What a drop code and its text mean.
fn drop(code: &str, text: &str) -> Refusal {
    let row = DROPS.iter().find(|(known, _)| *known == code).map(|(_, refusal)| *refusal);
    // What on IRC tells of something else than a message is about this one here.
    row.or_else(|| refusal(code, text)).unwrap_or(Refusal::Unknown)
}

fn by_status(table: &[(u16, Row)], answer: &HelixAnswer) -> Said {
    let code = format!("http_{}", answer.status);
    let refusal = match table.iter().find(|(status, _)| *status == answer.status) {
        Some((_, Row::Permanent)) => Refusal::Permanent,
        Some((_, Row::TooFast)) => {
            let wait = answer.wait.unwrap_or(RATE_LIMIT_RETRY);
            Refusal::Retry(wait.max(Duration::from_secs(1)))
        }
        None if answer.is_success() || answer.status >= 500 => {
            return Said::Perhaps { code, message: answer.message().to_owned() };
        }
        None => Refusal::Unknown,
    };
    Said::No { refusal, code, message: answer.message().to_owned() }
}

fn perhaps(code: &str, message: &str) -> Said {
    Said::Perhaps { code: code.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::irc::limits::{DUPLICATE_WINDOW, MODE_RETRY};

    fn answer(status: u16, body: Value, wait: Option<u64>) -> HelixAnswer {
        HelixAnswer { status, body, wait: wait.map(Duration::from_secs) }
    }

    fn no(refusal: Refusal, code: &str, message: &str) -> Said {
        Said::No { refusal, code: code.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn each_drop_code_has_its_meaning_and_the_same_as_on_irc() {
        for (code, text, expected) in [
            ("msg_duplicate", "", Refusal::Duplicate(DUPLICATE_WINDOW)),
            ("msg_ratelimit", "", Refusal::Retry(RATE_LIMIT_RETRY)),
            ("msg_slowmode", "You can talk again in 7 seconds.", Refusal::Retry(Duration::from_secs(7))),
            ("msg_slowmode", "", Refusal::Retry(MODE_RETRY)),
            (
                "msg_timedout",
                "You are timed out for 12 more seconds.",
                Refusal::Retry(Duration::from_secs(12)),
            ),
            ("msg_banned", "", Refusal::Permanent),
            ("msg_bad_characters", "", Refusal::Permanent),
            ("msg_channel_blocked", "", Refusal::Permanent),
            ("msg_channel_suspended", "", Refusal::Permanent),
            ("msg_emoteonly", "", Refusal::Permanent),
            ("msg_followersonly", "", Refusal::Permanent),
            ("msg_followersonly_followed", "", Refusal::Permanent),
            ("msg_followersonly_zero", "", Refusal::Permanent),
            ("msg_r9k", "", Refusal::Permanent),
            ("msg_rejected", "", Refusal::Permanent),
            ("msg_rejected_mandatory", "", Refusal::Permanent),
            ("msg_requires_verified_phone_number", "", Refusal::Permanent),
            ("msg_subsonly", "", Refusal::Permanent),
            ("msg_suspended", "", Refusal::Permanent),
            ("msg_verified_email", "", Refusal::Permanent),
            ("automod_held", "", Refusal::Permanent),
            ("channel_settings", "", Refusal::Permanent),
            ("user_warned", "", Refusal::Permanent),
            ("msg_never_seen_before", "", Refusal::Unknown),
            ("", "", Refusal::Unknown),
            // On IRC these tell of the room, and here nothing but the message can be meant.
            ("slow_on", "", Refusal::Unknown),
        ] {
            let body = json!({"data":[{"message_id":"","is_sent":false,"drop_reason":{"code":code,"message":text}}]});
            assert_eq!(chat(&answer(200, body, None)), no(expected, code, text), "{code}");
            if let Some(on_irc) = refusal(code, text).filter(|_| !DROPS.iter().any(|(own, _)| *own == code)) {
                assert_eq!(expected, on_irc, "{code}");
            }
        }
    }

    #[test]
    fn a_200_is_what_its_body_says() {
        for (body, expected) in [
            (json!({"data":[{"message_id":"m-1","is_sent":true}]}), Said::Yes { id: Some("m-1".to_owned()) }),
            (json!({"data":[{"message_id":"","is_sent":true,"drop_reason":null}]}), Said::Yes { id: None }),
            (json!({"data":[{"message_id":"","is_sent":false}]}), no(Refusal::Unknown, "dropped", "")),
            (
                json!({"data":[{"is_sent":false,"drop_reason":{"code":"msg_banned"}}]}),
                no(Refusal::Permanent, "msg_banned", ""),
            ),
            (json!({"data":[]}), perhaps("bad_answer", "an answer without a verdict")),
            (json!({"data":[{"message_id":"m-1"}]}), perhaps("bad_answer", "an answer without a verdict")),
            (Value::Null, perhaps("bad_answer", "an answer without a verdict")),
        ] {
            assert_eq!(chat(&answer(200, body.clone(), None)), expected, "{body}");
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let wait = |seconds| Refusal::Retry(Duration::from_secs(seconds));
        let body = || json!({"error":"No","message":"why"});
        for (status, waits, of_chat, of_whisper) in [
            (400, None, Refusal::Permanent, Refusal::Permanent),
            (403, None, Refusal::Permanent, Refusal::Permanent),
            (404, None, Refusal::Permanent, Refusal::Permanent),
            (409, None, Refusal::Permanent, Refusal::Unknown),
            (422, None, Refusal::Permanent, Refusal::Unknown),
            (429, None, Refusal::Retry(RATE_LIMIT_RETRY), Refusal::Retry(RATE_LIMIT_RETRY)),
            (429, Some(9), wait(9), wait(9)),
            (429, Some(0), wait(1), wait(1)),
            (302, None, Refusal::Unknown, Refusal::Unknown),
            (418, None, Refusal::Unknown, Refusal::Unknown),
        ] {
            let code = format!("http_{status}");
            assert_eq!(chat(&answer(status, body(), waits)), no(of_chat, &code, "why"), "{status}");
            assert_eq!(whisper(&answer(status, body(), waits)), no(of_whisper, &code, "why"), "{status}");
        }
        for status in [500, 502, 503, 504] {
            let expected = perhaps(&format!("http_{status}"), "why");
            assert_eq!(chat(&answer(status, body(), None)), expected);
            assert_eq!(whisper(&answer(status, body(), None)), expected);
        }
        assert_eq!(whisper(&answer(204, Value::Null, None)), Said::Yes { id: None });
        assert_eq!(whisper(&answer(200, Value::Null, None)), perhaps("http_200", ""));
        assert_eq!(chat(&answer(204, Value::Null, None)), perhaps("http_204", ""));
    }

    #[test]
    fn every_row_is_reached_once() {
        for table in [CHAT, WHISPERS] {
            let mut statuses: Vec<u16> = table.iter().map(|(status, _)| *status).collect();
            statuses.dedup();
            assert!(statuses.len() == table.len() && statuses.is_sorted());
        }
        for (code, expected) in DROPS {
            assert_eq!((drop(code, ""), refusal(code, "")), (*expected, Some(Refusal::Unknown)), "{code}");
        }
    }
}
