//! The names by which instances, messages and deliveries are known.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::attributes::is_plain;

/// The name of one running instance: 1 to 64 of `A-Z a-z 0-9 _ -`, so that it can stand in a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

/// Why a text is not an [`InstanceId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an instance id is 1 to 64 of A-Z a-z 0-9 _ -, which {0:?} is not")]
pub struct InvalidInstanceId(pub String);

/// The dedupe id of one publication on one topic: a repeat of it within the dedupe window is dropped.
///
/// At most 256 bytes, no control characters; a longer text is replaced by its SHA-256, so that
/// any platform's id can be used.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Arc<str>);

// === impl InstanceId ===

impl InstanceId {
    /// Checks the text.
    ///
    /// # Errors
    /// When it is empty, over 64 characters, or holds any other character.
    pub fn parse(text: &str) -> Result<Self, InvalidInstanceId> {
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if valid { Ok(Self(text.into())) } else { Err(InvalidInstanceId(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl MessageId ===

impl MessageId {
    /// From any text.
    pub fn new(text: &str) -> Self {
        if (1..=256).contains(&text.len()) && is_plain(text) {
            return Self(text.into());
        }
        let fits = !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
        if fits && text.trim() == text { Self(text.into()) } else { Self(sha256_hex(text.as_bytes()).into()) }
    }

    /// The id of what a step publishes because of the message with this id.
    #[must_use]
    pub fn step(&self, step: &str) -> Self {
        Self::new(&[&*self.0, "/", step].concat())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The SHA-256 of some bytes, in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // A formatter for each byte would cost more than the hash of a short text.
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_can_stand_in_a_topic() {
        assert!(InstanceId::parse("bot-1_A").is_ok());
        for bad in ["", "a.b", "a b", "*", &"x".repeat(65)] {
            assert!(InstanceId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_text_makes_a_message_id_that_can_stand_in_a_header() {
        assert_eq!(MessageId::new("abc").as_str(), "abc");
        for odd in ["", "a\r\nb", " padded ", &"x".repeat(300)] {
            let id = MessageId::new(odd);
            assert_eq!(id.as_str().len(), 64, "{odd:?}");
            assert_eq!(id, MessageId::new(odd));
        }
        assert_eq!(MessageId::new("abc").step("auth").as_str(), "abc/auth");
        assert_eq!(MessageId::new("straße 7").step("auth").as_str(), "straße 7/auth");
        assert_eq!(MessageId::new(&"x".repeat(256)).as_str(), "x".repeat(256));
        assert_eq!(MessageId::new(&"x".repeat(256)).step("auth").as_str().len(), 64);
    }
}
