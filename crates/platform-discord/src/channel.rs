//! Ids in Discord's form.

use std::sync::Arc;

/// A snowflake: the id of anything on Discord, a number that is not 0. `None` when the text is none.
pub(crate) fn snowflake(text: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| is_number && *id != 0)
}

/// The id of a channel: a snowflake, with nothing around it but white space.
///
/// ```
/// use chatbus_platform_discord::channel_id;
/// assert_eq!(channel_id(" 41771983423143937 ").as_deref(), Some("41771983423143937"));
/// assert_eq!(channel_id("#general"), None);
/// ```
pub fn channel_id(text: &str) -> Option<Arc<str>> {
    snowflake(text.trim()).map(|id| id.to_string().into())
}

/// A user id without the `discord:` before it; `None` when it is empty, another platform's or malformed.
pub fn user_id(text: &str) -> Option<Arc<str>> {
    let id = text.trim();
    let id = id.strip_prefix("discord:").unwrap_or(id);
    snowflake(id).map(|id| id.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_loses_its_own_prefix_and_no_other() {
        for text in ["80351110224678912", "discord:80351110224678912", " 80351110224678912"] {
            assert_eq!(user_id(text).as_deref(), Some("80351110224678912"), "{text:?}");
        }
        for bad in [
            "",
            "discord:",
            "twitch:1337",
            "discord:discord:1",
            "ada",
            "1 2",
            "-1",
            "+1",
            "0",
            "99999999999999999999",
        ] {
            assert_eq!(user_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn nothing_but_a_number_becomes_part_of_a_path() {
        for bad in ["", "1/../2", "1?x", "１２", "1e3", "#1", "<#1>"] {
            assert_eq!(channel_id(bad), None, "{bad:?}");
        }
    }
}
