//! What the server answers to a publish, and what an error of JetStream means to us.

use chatbus_bus::{BusError, BusErrorKind, Stored};
use chatbus_event::Family;
use memchr::memchr;
use serde::Deserialize;

use crate::headers;

/// An error of JetStream's API.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiError {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

#[derive(Debug, Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

/// What nobody answers for.
const UNSERVED: &str = "no JetStream stream takes it";

/// Reads the answer to a publish.
pub(crate) fn read(headers: &[u8], payload: &[u8], family: Family) -> Result<Stored, BusError> {
    if let Some(stored) = stored(headers, payload) {
        return Ok(stored);
    }
    let what = || format!("publishing on {}", family.label());
    if headers::status(headers).is_some() {
        return Err(BusError::closed(format!("{}: {UNSERVED}", what())));
    }
    let ack: Ack = serde_json::from_slice(payload)
        .map_err(|e| BusError::new(BusErrorKind::Refused, what()).caused_by(e))?;
    match ack.error {
        None => Ok(Stored { seq: ack.seq, duplicate: ack.duplicate }),
        Some(error) => Err(error.into_bus_error(&what())),
    }
}

/// What nearly every answer says, whatever the family; `None` for one that has to be looked at closely.
pub(crate) fn stored(headers: &[u8], payload: &[u8]) -> Option<Stored> {
    let seq = if headers.is_empty() { plain(payload) } else { None };
    seq.map(|seq| Stored { seq, duplicate: false })
}

/// The place in an acknowledgement as the server writes nearly all of them,
/// `{"stream":"chatbus-ingress", "seq":7}`; `None` for every other shape, which is no verdict.
fn plain(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(b"{\"stream\":\"")?;
    let (stream, rest) = rest.split_at_checked(memchr(b'"', rest)?)?;
    if !stream.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=')) {
        return None;
    }
    let rest = rest.strip_prefix(b"\",")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let digits = rest.strip_prefix(b"\"seq\":")?.strip_suffix(b"}")?;
    match digits {
        // More could be over what a number holds, and a leading zero is no JSON.
        [b'1'..=b'9', ..] if digits.len() <= 18 => digits.iter().try_fold(0, |seq: u64, digit| {
            digit.is_ascii_digit().then(|| seq * 10 + u64::from(digit - b'0'))
        }),
        _ => None,
    }
}

/// Whether the answer was that no stream takes the message, so that the streams have to be looked at.
pub(crate) fn is_unserved(error: &BusError) -> bool {
    error.kind() == BusErrorKind::Closed && error.to_string().ends_with(UNSERVED)
}

// === impl ApiError ===

impl ApiError {
    /// The kind it is to us: one row for each of the server's codes that means something else than
    /// "refused, try again".
    pub(crate) fn kind(&self) -> BusErrorKind {
        let says = |word: &str| self.description.contains(word);
        match self.err_code {
            // Message size exceeds maximum allowed.
            10054 => BusErrorKind::TooLarge,
            // Insufficient resources; memory, storage resources exceeded.
            10023 | 10028 | 10047 => BusErrorKind::Full,
            // The store failed; with these words because of the stream's own limits.
            10077 if says("maximum bytes") || says("maximum messages") => BusErrorKind::Full,
            // No suitable peers: they are full, or not there yet.
            10005 if says("insufficient storage") => BusErrorKind::Full,
            10005 => BusErrorKind::Closed,
            // JetStream not enabled, for the account or at all; subjects overlap with another stream;
            // replicas not supported in non-clustered mode or too many.
            10039 | 10076 | 10065 | 10074 => BusErrorKind::Misconfigured,
            // JetStream system temporarily unavailable; cluster not available, no leader.
            10008 | 10009 => BusErrorKind::Closed,
            _ => BusErrorKind::Refused,
        }
    }

    pub(crate) fn into_bus_error(self, what: &str) -> BusError {
        let kind = self.kind();
        BusError::new(kind, format!("{what}: {} ({})", self.description, self.err_code))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_fast_is_what_a_json_library_reads(
            text in "\\{\"stream\":\"[a-z=_\\\\ü-]{0,9}\",? ?\"seq\": ?[0-9]{0,21}(, ?\"duplicate\": true|,\"domain\":\"d\"|x)?\\}?"
        ) {
            if let Some(seq) = plain(text.as_bytes()) {
                let ack: Ack = serde_json::from_str(&text).unwrap();
                prop_assert!(ack.seq == seq && !ack.duplicate && ack.error.is_none());
            }
        }
    }

    #[test]
    fn the_usual_acknowledgement_is_read_fast() {
        assert_eq!(plain(br#"{"stream":"dev=chatbus-egress-of", "seq":1234567}"#), Some(1_234_567));
        assert_eq!(plain(br#"{"stream":"S","seq":7}"#), Some(7));
        for other in [
            r#"{"stream":"S", "seq":7,"duplicate": true}"#,
            r#"{"stream":"S", "seq":7, "domain":"d"}"#,
            r#"{"stream":"S","seq":99999999999999999999}"#,
            r#"{"stream":"S","seq":07}"#,
            r#"{"stream":"S","seq":}"#,
            r#"{"stream":"S","seq":7"#,
            r#"{"error":{"code":503},"stream":"S","seq":0}"#,
            "",
        ] {
            assert_eq!(plain(other.as_bytes()), None, "{other}");
        }
    }

    fn answer(headers: &'static [u8], payload: &'static str) -> Result<Stored, BusError> {
        read(headers, payload.as_bytes(), Family::Ingress)
    }

    #[test]
    fn an_acknowledgement_says_the_place_and_whether_it_is_a_repeat() {
        let stored = answer(b"", r#"{"stream":"S","seq":7,"domain":"d"}"#).unwrap();
        assert_eq!(stored, Stored { seq: 7, duplicate: false });
        let stored = answer(b"", r#"{"stream":"S","seq":7,"duplicate":true}"#).unwrap();
        assert!(stored.duplicate);
    }

    #[test]
    fn each_refusal_is_of_its_kind() {
        let of = |code: u32, description: &str| ApiError {
            code: 0,
            err_code: code,
            description: description.into(),
        };
        for (error, kind) in [
            (of(10077, "maximum bytes exceeded"), BusErrorKind::Full),
            (of(10077, "maximum messages exceeded"), BusErrorKind::Full),
            (of(10077, "disk on fire"), BusErrorKind::Refused),
            (of(10054, "message size exceeds maximum allowed"), BusErrorKind::TooLarge),
            (of(10023, "insufficient resources"), BusErrorKind::Full),
            (of(10047, "insufficient storage resources available"), BusErrorKind::Full),
            (of(10005, "no suitable peers for placement, insufficient storage"), BusErrorKind::Full),
            (of(10005, "no suitable peers for placement, peer offline"), BusErrorKind::Closed),
            (of(10039, "jetstream not enabled for account"), BusErrorKind::Misconfigured),
            (of(10008, "jetstream system temporarily unavailable"), BusErrorKind::Closed),
            (of(1, "anything else"), BusErrorKind::Refused),
        ] {
            assert_eq!(error.kind(), kind, "{error:?}");
        }
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S","seq":0}"#;
        assert_eq!(answer(b"", full).unwrap_err().kind(), BusErrorKind::Full);
        let unserved = answer(b"NATS/1.0 503\r\n\r\n", "").unwrap_err();
        assert!(is_unserved(&unserved) && unserved.is_temporary());
        assert!(answer(b"", "not json").is_err());
    }
}
