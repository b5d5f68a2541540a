//! What is asked for. Pure.

use axum::http::request::Parts;
use bytes::Bytes;
use chatbus_event::EgressKind;
use chatbus_event::json::Raw;
use uuid::Uuid;

use crate::frames::{self, Recipient, Request};
use crate::publish::NAMESPACE;

/// A text to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) to: Recipient,
    pub(super) kind: Option<EgressKind>,
    pub(super) text: String,
    /// The idempotency key.
    pub(super) key: Option<String>,
    /// Whether the answer waits for the outcome.
    pub(super) waits: bool,
}

/// An idempotency key is at most this long.
const MAX_KEY_BYTES: usize = 256;

// === impl Asked ===

impl Asked {
    /// Reads a request and its body.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub(super) fn read(parts: &Parts, body: &Bytes) -> Result<Self, String> {
        let waits = match parts.uri.query() {
            None | Some("") => false,
            Some("wait=outcome") => true,
            Some(_) => return Err("the query may be wait=outcome and nothing else".to_owned()),
        };
        let key = match parts.headers.get("idempotency-key") {
            None => None,
            Some(key) => match key.to_str() {
                Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Some(key.to_owned()),
                _ => return Err("Idempotency-Key is not 1 to 256 characters of ASCII".to_owned()),
            },
        };
        let raw = Raw::parse(body).map_err(|error| format!("the body is not JSON: {error}"))?;
        if !raw.is_object() {
            return Err("the body is not a JSON object".to_owned());
        }
        match frames::read_egress(Some(&raw), None) {
            Ok(Request::Egress { to, kind, text, .. }) => Ok(Self { to, kind, text, key, waits }),
            Ok(_) => Err("the body is nothing to send".to_owned()),
            // In a frame the body is its payload.
            Err(problem) => Err(problem.message.replace("payload.", "")),
        }
    }

    /// The id by which a repeat is known: a key that is a UUID is the id of a frame as well.
    pub(super) fn id(&self) -> Option<String> {
        let key = self.key.as_deref()?;
        let of_key = || Uuid::new_v5(&NAMESPACE, format!("idempotency-key\n{key}").as_bytes());
        Some(Uuid::parse_str(key).unwrap_or_else(|_| of_key()).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, key: Option<&str>, body: &str) -> Result<Asked, String> {
        let mut request = axum::http::Request::post(uri);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Asked::read(&parts, &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = r##"{"to":"twitch:#a","text":"hi"}"##;
        for (uri, key, body, named) in [
            ("/?wait=1", None, good, "wait=outcome"),
            ("/", Some(""), good, "Idempotency-Key"),
            ("/", Some(&*"x".repeat(257)), good, "Idempotency-Key"),
            ("/", None, "", "not JSON"),
            ("/", None, "[]", "not a JSON object"),
            ("/", None, "{}", "to or replyTo"),
            ("/", None, r##"{"to":"twitch:#a","replyTo":"x","text":"hi"}"##, "to or replyTo"),
            ("/", None, r##"{"to":7,"text":"hi"}"##, "to or replyTo"),
            ("/", None, r##"{"to":"twitch:#a"}"##, "text is missing"),
            ("/", None, r##"{"to":"twitch:#a","text":" "}"##, "text is missing, blank"),
            ("/", None, r##"{"to":"twitch:#a","text":"hi","type":"shout"}"##, "type is not"),
        ] {
            let why = read(uri, key, body).unwrap_err();
            assert!(why.contains(named) && !why.contains("payload"), "{body}: {why}");
        }
        let asked = read("/?wait=outcome", Some("k"), good).unwrap();
        assert!(asked.waits && asked.key.as_deref() == Some("k"));
        assert!(!read("/", None, good).unwrap().waits);
    }

    #[test]
    fn a_key_is_always_the_same_id_and_a_uuid_is_its_own() {
        let id = |key: &str| read("/", Some(key), r##"{"replyTo":"e","text":"hi"}"##).unwrap().id().unwrap();
        assert_eq!(id("order 7"), id("order 7"));
        assert_ne!(id("order 7"), id("order 8"));
        let uuid = "7f0f33b0-3c0e-4f7b-8f55-0d4ac2f1a001";
        assert_eq!(id(uuid), uuid);
    }
}
