//! Who sent it, and when: HMAC-SHA256 over the id, the time and the body, as the Standard Webhooks
//! specification 1.0.0 has it (<https://github.com/standard-webhooks/standard-webhooks>).
//!
//! | header | is |
//! |---|---|
//! | `webhook-id` | the message's id, the same at each repeat |
//! | `webhook-timestamp` | seconds since 1970, when it was sent |
//! | `webhook-signature` | `v1,` and the signature in base64; several, parted by spaces, while a key changes |
//!
//! What is signed is `ID.TIMESTAMP.BODY`. Pure: the time is passed in.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_event::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// The names of the headers.
pub const ID: &str = "webhook-id";
/// See [`ID`].
pub const TIMESTAMP: &str = "webhook-timestamp";
/// See [`ID`].
pub const SIGNATURE: &str = "webhook-signature";

/// How far a message's time may be from ours, in either direction.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How a secret begins.
const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Signatures of one message that are looked at.
const MAX_SIGNATURES: usize = 16;
/// The longest id.
const MAX_ID: usize = 256;

/// The secrets that count: the present one, with which is signed, and previous ones that are still good.
#[derive(Debug, Clone)]
pub struct Keys {
    present: SecretSlice<u8>,
    previous: Vec<SecretSlice<u8>>,
}

/// Why a text is no secret. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no secret: use whsec_ and the base64 of 24 to 64 random bytes")]
pub struct InvalidSecret;

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// Nobody says who sent it.
    #[error("the headers webhook-id, webhook-timestamp and webhook-signature are needed")]
    NoProof,
    /// The time is no number of seconds.
    #[error("webhook-timestamp is not a number of seconds since 1970")]
    BadTimestamp,
    /// It is too old, or of a time to come.
    #[error("webhook-timestamp is more than 5 minutes from now: send it again with a new one")]
    NotNow,
    /// None of its signatures is good.
    #[error("no signature in webhook-signature is good: use WEBHOOK_SECRET, and sign the body as it is sent")]
    BadSignature,
}

// === impl Keys ===

impl Keys {
    /// From the texts of settings.
    ///
    /// # Errors
    /// When the present one is no secret.
    pub fn parse(present: &str) -> Result<Self, InvalidSecret> {
        Ok(Self { present: secret(present)?, previous: Vec::new() })
    }

    /// With another that still counts.
    ///
    /// # Errors
    /// When it is no secret.
    pub fn with_previous(mut self, text: &str) -> Result<Self, InvalidSecret> {
        self.previous.push(secret(text)?);
        Ok(self)
    }

    /// The value of [`SIGNATURE`]: a signature with each of them, so that the other side can change its own
    /// secret before or after us.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let timestamp = seconds(at).to_string();
        let signed = self.all().filter_map(|key| {
            let made = mac(key, id, &timestamp, body)?.finalize().into_bytes();
            Some(format!("v1,{}", STANDARD.encode(made)))
        });
        signed.collect::<Vec<_>>().join(" ")
    }

    /// Checks a message by its headers: their values, where they are there and are text.
    ///
    /// # Errors
    /// When it must not be believed.
    pub fn verify(
        &self,
        header: impl Fn(&str) -> Option<String>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Unproved> {
        let all = (header(ID), header(TIMESTAMP), header(SIGNATURE));
        let (Some(id), Some(timestamp), Some(signatures)) = all else { return Err(Unproved::NoProof) };
        if id.is_empty() || id.len() > MAX_ID || signatures.trim().is_empty() {
            return Err(Unproved::NoProof);
        }
        let sent: i64 = timestamp.parse().map_err(|_| Unproved::BadTimestamp)?;
        if seconds(now).abs_diff(sent) > TOLERANCE.as_secs() {
            return Err(Unproved::NotNow);
        }
        let is_good = signatures.split(' ').take(MAX_SIGNATURES).any(|signature| {
            let bytes = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            // Compared in constant time.
            bytes.is_some_and(|bytes| {
                let macs = self.all().filter_map(|key| mac(key, &id, &timestamp, body));
                macs.into_iter().any(|mac| mac.verify_slice(&bytes).is_ok())
            })
        });
        if is_good { Ok(()) } else { Err(Unproved::BadSignature) }
    }

    fn all(&self) -> impl Iterator<Item = &SecretSlice<u8>> {
        std::iter::once(&self.present).chain(&self.previous)
    }
}

// === impl Unproved ===

impl Unproved {
    /// The HTTP status and the stable code.
    pub fn code(self) -> (u16, &'static str) {
        match self {
            Self::NoProof => (401, "no_signature"),
            Self::BadTimestamp => (401, "bad_timestamp"),
            Self::NotNow => (403, "timestamp_out_of_range"),
            Self::BadSignature => (403, "bad_signature"),
        }
    }
}

/// As it stands in [`TIMESTAMP`].
pub(crate) fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}

fn secret(text: &str) -> Result<SecretSlice<u8>, InvalidSecret> {
    let encoded = text.trim().strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
    if SECRET_BYTES.contains(&bytes.len()) { Ok(bytes.into()) } else { Err(InvalidSecret) }
}

/// `None` never: a key of any length is one.
fn mac(key: &SecretSlice<u8>, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(mac)
}

#[cfg(test)]
mod tests;
