//! Keys.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A key within a space: parts of `A-Z a-z 0-9 _ -`, joined by dots. Anything else has to be written in
/// hex ([`Key::hex`]): what comes from outside never becomes part of a subject as it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

/// Why a text is not a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key: 1 to 400 characters, in dot-separated parts of A-Z a-z 0-9 _ -")]
pub struct InvalidKey(pub String);

// === impl Key ===

impl Key {
    /// The most characters of a key.
    pub const MAX_LEN: usize = 400;

    /// Checks the text.
    ///
    /// # Errors
    /// When it is empty, too long, or holds an empty part or another character.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let valid = text.len() <= Self::MAX_LEN && text.split('.').all(is_part);
        if valid { Ok(Self(text.into())) } else { Err(InvalidKey(text.to_owned())) }
    }

    /// Any text as one part: its bytes in lower-case hex. An empty text is `_`.
    pub fn hex(text: &str) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if text.is_empty() {
            return "_".to_owned();
        }
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
        text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte)]).collect()
    }

    /// The text that [`Key::hex`] was made from; `None` when it was made from none.
    pub fn unhex(part: &str) -> Option<String> {
        if part == "_" {
            return Some(String::new());
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let bytes: Option<Vec<u8>> = part
            .as_bytes()
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
                _ => None,
            })
            .collect();
        String::from_utf8(bytes?).ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts.
    pub fn parts(&self) -> std::str::Split<'_, char> {
        self.0.split('.')
    }

    /// Whether it is `prefix`, or begins with its parts.
    pub fn is_under(&self, prefix: &Self) -> bool {
        self.0.strip_prefix(&*prefix.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_part_of_a_subject() {
        for good in ["a", "ingress-egress.bot_1", "31333337.A-b"] {
            assert_eq!(Key::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a*", "a>", "twitch:1", "ü", &"x".repeat(401)] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_text_is_a_part_in_hex() {
        for text in ["", "1337", "twitch:1337", "ü.*>\u{0}"] {
            let part = Key::hex(text);
            assert!(Key::parse(&part).is_ok(), "{part}");
            assert_eq!(Key::unhex(&part).as_deref(), Some(text));
        }
        assert_eq!((Key::unhex("abc"), Key::unhex("zz"), Key::unhex("ff")), (None, None, None));
    }

    #[test]
    fn a_prefix_ends_where_a_part_does() {
        let key = |text| Key::parse(text).unwrap();
        assert!(key("a.b").is_under(&key("a")) && key("a.b").is_under(&key("a.b")));
        assert!(!key("ab.c").is_under(&key("a")) && !key("a").is_under(&key("a.b")));
    }
}
