//! Channel names in Twitch's form.

use std::sync::Arc;

/// `#` and a login: 1 to 25 of `a-z 0-9 _`, lower case. `None` when no channel can be called so.
///
/// ```
/// use chatbus_platform_twitch::channel_name;
/// assert_eq!(channel_name(" #My_Channel ").as_deref(), Some("#my_channel"));
/// assert_eq!(channel_name("a,b"), None);
/// ```
pub fn channel_name(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    let login = text.strip_prefix('#').unwrap_or(text);
    let valid =
        (1..=25).contains(&login.len()) && login.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    valid.then(|| format!("#{}", login.to_ascii_lowercase()).into())
}

/// A user id without the `twitch:` before it; `None` when it is empty, another platform's or malformed.
pub fn user_id(text: &str) -> Option<Arc<str>> {
    let id = text.trim();
    let id = id.strip_prefix("twitch:").unwrap_or(id);
    let valid = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_with_or_without_its_sign_and_in_any_case() {
        for text in ["my_channel", "#my_channel", "#MY_Channel", " my_channel "] {
            assert_eq!(channel_name(text).as_deref(), Some("#my_channel"), "{text:?}");
        }
        let long = "x".repeat(26);
        for bad in ["", "#", "##a", "a b", "a,b", "#a\r\nQUIT", "höhle", "a.b", &long, "12-3"] {
            assert_eq!(channel_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_user_id_loses_its_own_prefix_and_no_other() {
        for text in ["1337", "twitch:1337"] {
            assert_eq!(user_id(text).as_deref(), Some("1337"));
        }
        for bad in ["", "twitch:", "discord:1337", "twitch:twitch:1", "ada", "1 2", "-1"] {
            assert_eq!(user_id(bad), None, "{bad:?}");
        }
    }
}
