//! What an answer of Discord means for a delivery: one table, by Discord's own code, else by the status.

use std::time::Duration;

use chatbus_connector::{PermanentReason, Verdict};
use chatbus_event::json::Raw;

use crate::rest::{Answer, Unanswered};

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Something that passes; how long to wait where the answer does not tell.
    Passes(Duration),
    /// The token is not good.
    Reauth,
    /// Refused for good.
    Rejected,
}

const fn passes(seconds: u64) -> Class {
    Class::Passes(Duration::from_secs(seconds))
}

/// Codes of Discord's reference (JSON Error Codes) that a message can meet.
const CODES: &[(u64, Class)] = &[
    (10_003, Class::Rejected),  // Unknown channel
    (10_004, Class::Rejected),  // Unknown guild
    (10_008, Class::Rejected),  // Unknown message
    (10_013, Class::Rejected),  // Unknown user
    (20_009, Class::Rejected),  // Explicit content cannot be sent to the recipient
    (20_012, Class::Rejected),  // Not authorised to do this on this application
    (20_016, passes(5)),        // Slow mode
    (20_022, passes(30)),       // Announcement rate limit
    (20_026, Class::Rejected),  // The bot was flagged by the anti-spam system
    (20_028, passes(5)),        // The channel's write rate limit
    (20_029, passes(5)),        // The server's write rate limit
    (20_031, Class::Rejected),  // Words that are not allowed
    (30_007, Class::Rejected),  // Maximum of webhooks
    (30_010, Class::Rejected),  // Maximum of reactions
    (30_013, Class::Rejected),  // Maximum of channels
    (30_033, Class::Rejected),  // Maximum of thread participants
    (30_046, Class::Rejected),  // Maximum of edits to old messages
    (40_001, Class::Reauth),    // Unauthorised
    (40_002, Class::Reauth),    // The account must be verified
    (40_003, passes(60)),       // Opening direct messages too fast
    (40_004, passes(60)),       // Sending is switched off for the moment
    (40_005, Class::Rejected),  // Too large
    (40_007, Class::Rejected),  // The user is banned from this guild
    (40_062, passes(5)),        // Service resource is being rate limited
    (40_067, Class::Rejected),  // A tag is needed to post in a forum
    (40_333, Class::Rejected),  // The network in front refused the request
    (50_001, Class::Rejected),  // Missing access
    (50_006, Class::Rejected),  // Empty message
    (50_007, Class::Rejected),  // Cannot send messages to this user
    (50_008, Class::Rejected),  // Not a text channel
    (50_009, Class::Rejected),  // Verification level too high
    (50_013, Class::Rejected),  // Missing permissions
    (50_014, Class::Reauth),    // Invalid authentication token
    (50_024, Class::Rejected),  // Not on this type of channel
    (50_033, Class::Rejected),  // Invalid recipients
    (50_035, Class::Rejected),  // Invalid form body
    (50_068, Class::Rejected),  // Invalid message type
    (50_083, Class::Rejected),  // The thread is archived
    (50_109, Class::Rejected),  // Invalid JSON
    (50_278, Class::Rejected),  // No guild in common with this user
    (130_000, passes(5)),       // The resource is overloaded
    (160_002, Class::Rejected), // Cannot reply without permission to read the history
    (160_005, Class::Rejected), // The thread is locked
    (200_000, Class::Rejected), // Blocked by automatic moderation
    (200_001, Class::Rejected), // Title blocked by automatic moderation
    (240_000, Class::Rejected), // Blocked by the filter of harmful links
];

/// What a request for a conversation or a message came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// Whether neither the code nor the status is in the table.
    pub(crate) is_unknown: bool,
}

/// One row for each kind of answer. What is not known is a refusal for good. An answer that leaves open whether
/// something was said is [`Verdict::Unverified`]: sent again under the same nonce, Discord says it once.
pub(crate) fn verdict(answer: &Result<Answer, Unanswered>) -> Judged {
    let answer = match answer {
        Ok(answer) => answer,
        Err(unanswered) => return Judged { verdict: unsaid(unanswered), is_unknown: false },
    };
    let body = Raw::parse(&answer.body).ok();
    let field = |name: &str| body.as_ref().and_then(|body| body.get(name));
    if (200..300).contains(&answer.status) {
        let id = field("id").and_then(|id| id.as_str().map(std::borrow::Cow::into_owned));
        let verdict = match id {
            Some(id) => Verdict::Delivered { provider_message_id: Some(id) },
            None => unverified("bad_answer", "the answer names no message"),
        };
        return Judged { verdict, is_unknown: false };
    }
    let number = field("code").and_then(|code| code.as_u64()).filter(|code| *code != 0);
    let message = field("message").and_then(|text| text.as_str().map(std::borrow::Cow::into_owned));
    let message = message.unwrap_or_else(|| format!("Discord answered {}", answer.status));
    let code = number.map_or_else(|| word(answer.status), |number| number.to_string());
    let known = number.and_then(|number| CODES.iter().find(|(code, _)| *code == number));
    let class = match (known, answer.status) {
        (Some((_, class)), _) => Some(*class),
        (None, 429) => Some(passes(1)),
        (None, 401) => Some(Class::Reauth),
        (None, 500..) => {
            return Judged { verdict: Verdict::Unverified { code, message }, is_unknown: false };
        }
        (None, _) => None,
    };
    let verdict = match class {
        Some(Class::Passes(untold)) => {
            Verdict::Retry { after: answer.retry_after.unwrap_or(untold), code, message }
        }
        Some(Class::Reauth) => Verdict::Reauth { code, message },
        Some(Class::Rejected) | None => {
            Verdict::Permanent { reason: PermanentReason::Rejected, code, message }
        }
    };
    Judged { verdict, is_unknown: class.is_none() }
}

fn unsaid(unanswered: &Unanswered) -> Verdict {
    match unanswered {
        Unanswered::NotBefore(_) => Verdict::NotNow,
        Unanswered::Unauthorized => unauthorized(),
        Unanswered::Unreachable(why) => Verdict::Retry {
            after: Duration::from_secs(1),
            code: "unreachable".to_owned(),
            message: why.clone(),
        },
        Unanswered::Lost(why) => unverified("connection_lost", why),
    }
}

/// The token was refused.
pub(crate) fn unauthorized() -> Verdict {
    Verdict::Reauth {
        code: "unauthorized".to_owned(),
        message: "Discord refuses DISCORD_BOT_TOKEN".to_owned(),
    }
}

fn unverified(code: &str, message: &str) -> Verdict {
    Verdict::Unverified { code: code.to_owned(), message: message.to_owned() }
}

fn word(status: u16) -> String {
    match status {
        401 => "unauthorized".to_owned(),
        429 => "rate_limited".to_owned(),
        _ => format!("http_{status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: u64, retry_after: Option<u64>) -> Judged {
        let body = format!(r#"{{"code":{code},"message":"why"}}"#).into();
        verdict(&Ok(Answer { status, body, retry_after: retry_after.map(Duration::from_secs) }))
    }

    #[test]
    fn every_code_of_the_table_has_its_verdict() {
        for (code, class) in CODES {
            let Judged { verdict, is_unknown } = of(403, *code, None);
            assert!(!is_unknown, "{code}");
            let (code, message) = (code.to_string(), "why".to_owned());
            let expected = match class {
                Class::Passes(after) => Verdict::Retry { after: *after, code, message },
                Class::Reauth => Verdict::Reauth { code, message },
                Class::Rejected => Verdict::Permanent { reason: PermanentReason::Rejected, code, message },
            };
            assert_eq!(verdict, expected);
        }
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0), "each once, in order");
    }

    #[test]
    fn the_codes_that_matter_most_are_what_the_reference_says() {
        for (status, code, expected) in [
            (404, 10_003, "rejected 10003"),
            (403, 50_007, "rejected 50007"),
            (403, 50_013, "rejected 50013"),
            (400, 50_035, "rejected 50035"),
            (400, 200_000, "rejected 200000"),
            (429, 20_016, "retry 20016"),
            (429, 0, "retry rate_limited"),
            (401, 0, "reauth unauthorized"),
            (401, 40_001, "reauth 40001"),
            (500, 0, "unverified http_500"),
            (503, 0, "unverified http_503"),
            (503, 130_000, "retry 130000"),
            (404, 0, "unknown http_404"),
            (400, 99_999, "unknown 99999"),
        ] {
            let Judged { verdict, is_unknown } = of(status, code, Some(7));
            let told = match verdict {
                Verdict::Permanent { code, .. } if is_unknown => format!("unknown {code}"),
                Verdict::Permanent { reason: PermanentReason::Rejected, code, .. } => {
                    format!("rejected {code}")
                }
                Verdict::Retry { after, code, .. } => {
                    assert_eq!(after, Duration::from_secs(7), "as long as the answer says");
                    format!("retry {code}")
                }
                Verdict::Reauth { code, .. } => format!("reauth {code}"),
                Verdict::Unverified { code, .. } => format!("unverified {code}"),
                other => format!("{other:?}"),
            };
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_brought_no_answer_says_whether_it_may_have_been_said() {
        let of = |unanswered| verdict(&Err(unanswered)).verdict;
        assert!(matches!(of(Unanswered::Unreachable("no".to_owned())), Verdict::Retry { .. }));
        assert!(matches!(of(Unanswered::Lost("gone".to_owned())), Verdict::Unverified { .. }));
        assert!(matches!(of(Unanswered::Unauthorized), Verdict::Reauth { .. }));
    }

    #[test]
    fn a_success_names_the_message_or_is_asked_for_again() {
        let of = |body: &'static str| {
            verdict(&Ok(Answer { status: 200, body: body.into(), retry_after: None })).verdict
        };
        let delivered = Verdict::Delivered { provider_message_id: Some("12".to_owned()) };
        assert_eq!(of(r#"{"id":"12"}"#), delivered);
        for odd in ["", "{}", "<html>", r#"{"id":7}"#] {
            assert!(matches!(of(odd), Verdict::Unverified { .. }), "{odd}");
        }
    }
}
