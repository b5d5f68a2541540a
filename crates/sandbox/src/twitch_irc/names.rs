//! What an account and a channel are called, and everything the sandbox derives from a name: ids,
//! colours, display names. Derived and not stored, so that one login has one id in every run.

/// Twitch logins are at most 25 characters.
const MAX_LOGIN: usize = 25;

/// The colours Twitch gives to people who never chose one.
const COLORS: [&str; 15] = [
    "#FF0000", "#0000FF", "#008000", "#B22222", "#FF7F50", "#9ACD32", "#FF4500", "#2E8B57", "#DAA520",
    "#D2691E", "#5F9EA0", "#1E90FF", "#FF69B4", "#8A2BE2", "#00FF7F",
];

/// The login in lower case, when it is one: 1 to 25 of `a-z 0-9 _`, a leading `#` ignored.
pub(crate) fn login(text: &str) -> Option<String> {
    let name = text.strip_prefix('#').unwrap_or(text);
    let valid =
        (1..=MAX_LOGIN).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    valid.then(|| name.to_ascii_lowercase())
}

/// The channel's login, when the text is an IRC channel name: a login after a `#`.
pub(crate) fn irc_channel(text: &str) -> Option<String> {
    text.starts_with('#').then(|| login(text)).flatten()
}

/// Whether this account may only read: `justinfan` and digits.
pub(crate) fn is_anonymous(login: &str) -> bool {
    login.strip_prefix("justinfan").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The account's id: nine digits, the same for the same login always. A channel's `room-id` is the
/// id of the account that owns it.
pub(crate) fn user_id(login: &str) -> u64 {
    100_000_000 + hash(login) % 900_000_000
}

/// The account's colour.
pub(crate) fn color(login: &str) -> &'static str {
    let places = u64::try_from(COLORS.len()).unwrap_or(1);
    let place = usize::try_from(hash(login) / 7 % places).unwrap_or(0);
    COLORS.get(place).copied().unwrap_or("#FF0000")
}

/// The login with a capital: Twitch display names differ from logins in case.
pub(crate) fn display_name(login: &str) -> String {
    let mut characters = login.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + characters.as_str())
}

/// FNV-1a: small, and the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_lower_case_letters_digits_and_underscores() {
        assert_eq!(login("#My_Channel1").as_deref(), Some("my_channel1"));
        assert_eq!(login("bot").as_deref(), Some("bot"));
        for bad in ["", "#", "a b", "a,b", "é", &"x".repeat(26), "##a"] {
            assert_eq!(login(bad), None, "{bad:?}");
        }
        assert_eq!(irc_channel("bot"), None);
    }

    #[test]
    fn only_justinfan_with_digits_is_anonymous() {
        assert!(is_anonymous("justinfan123"));
        assert!(!is_anonymous("justinfan_club"));
        assert!(!is_anonymous("bot"));
    }

    #[test]
    fn one_login_has_one_id_of_nine_digits() {
        assert_eq!(user_id("ronni"), user_id("ronni"));
        assert_ne!(user_id("ronni"), user_id("ronnie"));
        assert_eq!(user_id("ronni").to_string().len(), 9);
        assert_eq!(display_name("ronni"), "Ronni");
    }
}
