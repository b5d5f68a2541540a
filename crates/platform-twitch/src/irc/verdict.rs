//! What Twitch's words mean for a message that was sent: one table from NOTICE code to verdict.
//!
//! Codes: Twitch's list of NOTICE message ids, and those that its chat clients have met since. A code
//! that stands nowhere here is a refusal we do not know: permanent, and counted.

use std::time::Duration;

use super::limits::{DUPLICATE_WINDOW, MODE_RETRY, RATE_LIMIT_RETRY};

/// What a NOTICE says about the message in flight in its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It passes: try again after this long.
    Retry(Duration),
    /// The same text was said a moment ago: tell it apart, or wait this long.
    Duplicate(Duration),
    /// It does not pass.
    Permanent,
    /// The same, and the code is one we do not know.
    Unknown,
}

/// What a NOTICE's text says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// This long, whatever the text says.
    Fixed(Duration),
    /// As many seconds as the text names, else this long.
    Named(Duration),
}

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy)]
enum Row {
    Retry(Wait),
    Duplicate,
    Permanent,
    /// Tells of the room or of a command, never of a message: no verdict.
    News,
}

/// Every code we know. The first row that matches counts; `*` matches any end.
const TABLE: &[(&str, Row)] = &[
    // Passes by itself.
    ("msg_ratelimit", Row::Retry(Wait::Fixed(RATE_LIMIT_RETRY))),
    ("msg_slowmode", Row::Retry(Wait::Named(MODE_RETRY))),
    ("msg_timedout", Row::Retry(Wait::Named(MODE_RETRY))),
    ("msg_duplicate", Row::Duplicate),
    // Stays until a person changes something: longer than any delivery waits.
    ("msg_banned", Row::Permanent),
    ("msg_bad_characters", Row::Permanent),
    ("msg_channel_blocked", Row::Permanent),
    ("msg_channel_suspended", Row::Permanent),
    ("msg_emoteonly", Row::Permanent),
    ("msg_facebook", Row::Permanent),
    ("msg_followersonly", Row::Permanent),
    ("msg_followersonly_followed", Row::Permanent),
    ("msg_followersonly_zero", Row::Permanent),
    ("msg_r9k", Row::Permanent),
    // Held for a moderator, who may still let it through: never to be sent a second time.
    ("msg_rejected", Row::Permanent),
    ("msg_rejected_mandatory", Row::Permanent),
    ("msg_requires_verified_phone_number", Row::Permanent),
    ("msg_room_not_found", Row::Permanent),
    ("msg_subsonly", Row::Permanent),
    ("msg_suspended", Row::Permanent),
    ("msg_verified_email", Row::Permanent),
    ("no_permission", Row::Permanent),
    ("tos_ban", Row::Permanent),
    ("unrecognized_cmd", Row::Permanent),
    ("unavailable_command", Row::Permanent),
    ("invalid_user", Row::Permanent),
    ("whisper_*", Row::Permanent),
    // The room's modes, hosts, raids, lists, and answers to commands, which we never send.
    ("already_*", Row::News),
    ("autohost_*", Row::News),
    ("bad_*", Row::News),
    ("ban_success", Row::News),
    ("cmds_available", Row::News),
    ("color_changed", Row::News),
    ("commercial_*", Row::News),
    ("delete_*", Row::News),
    ("emote_only_*", Row::News),
    ("extra_*", Row::News),
    ("followers_*", Row::News),
    ("host_*", Row::News),
    ("hosts_*", Row::News),
    ("mod_success", Row::News),
    ("no_help", Row::News),
    ("no_mods", Row::News),
    ("no_vips", Row::News),
    ("not_hosting", Row::News),
    ("r9k_*", Row::News),
    ("raid_*", Row::News),
    ("room_mods", Row::News),
    ("slow_*", Row::News),
    ("subs_*", Row::News),
    ("timeout_*", Row::News),
    ("turbo_only_color", Row::News),
    ("unban_*", Row::News),
    ("unmod_*", Row::News),
    ("unraid_*", Row::News),
    ("unsupported_chatrooms_cmd", Row::News),
    ("untimeout_*", Row::News),
    ("unvip_*", Row::News),
    ("usage_*", Row::News),
    ("vip_success", Row::News),
    ("vips_success", Row::News),
];

/// Codes that say why a channel cannot be joined.
const JOIN_REFUSALS: [&str; 5] =
    ["msg_channel_suspended", "msg_banned", "tos_ban", "msg_room_not_found", "msg_channel_blocked"];

/// The beginnings of the NOTICEs that refuse a login. Twitch gives them no code.
const LOGIN_REFUSALS: [&str; 5] = [
    "login authentication failed",
    "login unsuccessful",
    "improperly formatted auth",
    "error logging in",
    "invalid nick",
];

/// What a NOTICE with this code and text means for the message in flight; `None` when it tells of
/// something else.
pub fn refusal(code: &str, text: &str) -> Option<Refusal> {
    let row = TABLE.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(beginning) => code.starts_with(beginning),
        None => code == *pattern,
    });
    match row.map(|(_, row)| row) {
        Some(Row::Retry(Wait::Fixed(wait))) => Some(Refusal::Retry(*wait)),
        Some(Row::Retry(Wait::Named(wait))) => Some(Refusal::Retry(seconds_named(text).unwrap_or(*wait))),
        Some(Row::Duplicate) => Some(Refusal::Duplicate(DUPLICATE_WINDOW)),
        Some(Row::Permanent) => Some(Refusal::Permanent),
        Some(Row::News) => None,
        None => Some(Refusal::Unknown),
    }
}

/// Whether a NOTICE with this code refuses a join.
pub fn refuses_join(code: &str) -> bool {
    JOIN_REFUSALS.contains(&code)
}

/// A stable code when a NOTICE with this text refuses the login.
pub fn refuses_login(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    LOGIN_REFUSALS.iter().any(|beginning| text.starts_with(beginning)).then_some("login_refused")
}

/// The last number before the word "second" in a text, at most a day.
fn seconds_named(text: &str) -> Option<Duration> {
    let mut number = None;
    for word in text.split_ascii_whitespace() {
        if word.starts_with("second") {
            break;
        }
        number = word.parse::<u64>().ok().or(number);
    }
    let named = text.split_ascii_whitespace().any(|word| word.starts_with("second"));
    number.filter(|_| named).map(|seconds| Duration::from_secs(seconds.clamp(1, 86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_meaning() {
        let seconds = Duration::from_secs;
        for (code, text, expected) in [
            (
                "msg_ratelimit",
                "You are sending messages too quickly.",
                Some(Refusal::Retry(RATE_LIMIT_RETRY)),
            ),
            (
                "msg_slowmode",
                "This room is in slow mode and you are sending messages too quickly. You will be able to talk again in 7 seconds.",
                Some(Refusal::Retry(seconds(7))),
            ),
            ("msg_slowmode", "Slow down.", Some(Refusal::Retry(MODE_RETRY))),
            ("msg_timedout", "You are timed out for 12 more seconds.", Some(Refusal::Retry(seconds(12)))),
            ("msg_timedout", "You are timed out for 12 hours.", Some(Refusal::Retry(MODE_RETRY))),
            ("msg_timedout", "You are timed out for 12 seconds.", Some(Refusal::Retry(seconds(12)))),
            ("msg_timedout", "Wait 99999999 seconds", Some(Refusal::Retry(seconds(86_400)))),
            ("msg_duplicate", "", Some(Refusal::Duplicate(DUPLICATE_WINDOW))),
            ("msg_never_seen_before", "", Some(Refusal::Unknown)),
            ("something_else", "", Some(Refusal::Unknown)),
            ("no_permission", "", Some(Refusal::Permanent)),
            ("no_mods", "", None),
            ("subs_on", "", None),
            ("slow_on", "", None),
            ("bad_ban_self", "", None),
        ] {
            assert_eq!(refusal(code, text), expected, "{code}: {text}");
        }
    }

    #[test]
    fn every_row_is_reached_and_every_refusal_of_a_message_is_final_or_passes() {
        for (pattern, row) in TABLE {
            let code = pattern.replace('*', "x");
            match (refusal(&code, ""), row) {
                (Some(Refusal::Retry(_)), Row::Retry(_))
                | (Some(Refusal::Duplicate(_)), Row::Duplicate)
                | (Some(Refusal::Permanent), Row::Permanent)
                | (None, Row::News) => {}
                (got, row) => panic!("{code}: {got:?} is not {row:?}"),
            }
        }
        for code in JOIN_REFUSALS {
            assert!(refuses_join(code) && refusal(code, "") == Some(Refusal::Permanent), "{code}");
        }
    }

    #[test]
    fn a_refused_login_is_known_by_its_text() {
        for text in
            ["Login authentication failed", "Login unsuccessful", "Improperly formatted auth", "Invalid NICK"]
        {
            assert!(refuses_login(text).is_some(), "{text}");
        }
        assert_eq!(refuses_login("This room is now in slow mode"), None);
    }
}
