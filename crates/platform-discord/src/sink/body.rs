//! A message as Discord takes it.

use chatbus_event::sha256_hex;
use serde::Serialize;

/// A nonce's longest form.
const NONCE_CHARS: usize = 25;

/// See the module.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    content: &'a str,
    nonce: &'a str,
    enforce_nonce: bool,
    allowed_mentions: Mentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_reference: Option<Reference<'a>>,
}

/// Nobody.
#[derive(Serialize)]
struct Mentions {
    parse: [&'static str; 0],
    replied_user: bool,
}

#[derive(Serialize)]
struct Reference<'a> {
    message_id: &'a str,
    fail_if_not_exists: bool,
}

// === impl Body ===

impl<'a> Body<'a> {
    /// One that mentions nobody, and shows which message it answers if that is still there.
    pub(super) fn new(content: &'a str, nonce: &'a str, reply_to: Option<&'a str>) -> Self {
        Self {
            content,
            nonce,
            enforce_nonce: true,
            allowed_mentions: Mentions { parse: [], replied_user: false },
            message_reference: reply_to.map(|message_id| Reference { message_id, fail_if_not_exists: false }),
        }
    }
}

/// The nonce of a part of a delivery.
pub(super) fn nonce(delivery_id: &str, part: usize) -> String {
    let hash = sha256_hex(format!("{delivery_id}/{part}").as_bytes());
    hash.get(..NONCE_CHARS).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_nonce_of_its_own_that_stays_the_same() {
        assert_eq!(nonce("d-1", 0), nonce("d-1", 0));
        assert_ne!(nonce("d-1", 0), nonce("d-1", 1));
        assert_ne!(nonce("d-1", 0), nonce("d-2", 0));
        assert_eq!(nonce("é\r\n", 0).len(), NONCE_CHARS);
    }

    #[test]
    fn nobody_is_mentioned_and_a_missing_message_to_answer_is_no_hindrance() {
        let body = Body::new("@everyone <@1>", "n", Some("5"));
        let json = serde_json::to_value(&body).unwrap();
        assert_eq!(json["allowed_mentions"], serde_json::json!({ "parse": [], "replied_user": false }));
        assert_eq!(json["message_reference"]["fail_if_not_exists"], false);
    }
}
