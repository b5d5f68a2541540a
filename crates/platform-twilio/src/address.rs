//! Who can be written to: phone numbers and conversations.

use std::sync::Arc;

/// WhatsApp numbers have this before them.
pub(crate) const WHATSAPP: &str = "whatsapp:";

/// A phone number in the form of E.164, or one of WhatsApp with its prefix; the platform's own prefix is
/// stripped. `None` for anything else, short codes included: whoever answers one must be asked to.
pub(crate) fn recipient(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    let text = text.strip_prefix("twilio:").unwrap_or(text);
    is_number(text.strip_prefix(WHATSAPP).unwrap_or(text)).then(|| text.into())
}

/// The id of a conversation: `CH` and letters and digits, 34 in all where Twilio made it.
pub(crate) fn conversation(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    is_sid(text, "CH").then(|| text.into())
}

/// `+`, a digit that is not 0, and 6 to 14 more.
pub(crate) fn is_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

/// Whether it is an id that begins so and can stand in a path: at most 64 letters and digits.
pub(crate) fn is_sid(text: &str, prefix: &str) -> bool {
    (3..=64).contains(&text.len())
        && text.starts_with(prefix)
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What may be shown of an address.
pub(crate) fn last_four(address: &str) -> String {
    let digits: Vec<char> = address.chars().filter(char::is_ascii_digit).collect();
    format!("…{}", digits.iter().skip(digits.len().saturating_sub(4)).collect::<String>())
}

/// The text with all but the last four digits of every long number left out.
pub(crate) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut number = String::new();
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_digit() || (c == '+' && number.is_empty()) => number.push(c),
            other => {
                if number.len() >= 7 {
                    out.push_str(&last_four(&number));
                } else {
                    out.push_str(&number);
                }
                number.clear();
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_phone_number_is_a_recipient() {
        for (text, id) in [
            ("+15005550010", Some("+15005550010")),
            (" twilio:+15005550010 ", Some("+15005550010")),
            ("whatsapp:+15005550010", Some("whatsapp:+15005550010")),
            ("twilio:whatsapp:+15005550010", Some("whatsapp:+15005550010")),
            ("", None),
            ("1337", None),
            ("12345", None),
            ("15005550010", None),
            ("+05005550010", None),
            ("+1500555", Some("+1500555")),
            ("+150055", None),
            ("+1234567890123456", None),
            ("+1500555001٠", None),
            ("+1 500 555 0010", None),
            ("twitch:+15005550010", None),
            ("messenger:1", None),
            ("alice", None),
        ] {
            assert_eq!(recipient(text).as_deref(), id, "{text:?}");
        }
    }

    #[test]
    fn a_conversation_is_known_by_its_id_and_can_stand_in_a_path() {
        assert!(conversation(" CHc0ffee00c0ffee00c0ffee00c0ffee00").is_some());
        for bad in
            ["", "CH", "#hall", "CH/../x", "CH 1", "ch1", "MG0123", "CHé", &format!("CH{}", "0".repeat(63))]
        {
            assert_eq!(conversation(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn long_numbers_show_their_last_four_digits() {
        assert_eq!(masked("'To' +15005550010 and 21211, 15005550010"), "'To' …0010 and 21211, …0010");
        assert_eq!(masked("whatsapp:+15005550010"), "whatsapp:…0010");
    }
}
