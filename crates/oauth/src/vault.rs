//! Seals what must not be read where it is stored.
//!
//! A sealed text is `format (1 byte) | key id (8 bytes) | nonce (12 bytes) | AES-256-GCM ciphertext and tag`.
//! Format, key id and what it is for are authenticated with it: a token that is moved to another account's row
//! does not open. Nonces are random, of 96 bits: one key seals a few texts an hour, and 2^32 would be safe.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chatbus_event::Entropy;
use secrecy::zeroize::Zeroizing;

use crate::Record;

/// Seals with one key, and opens what that one or the one before it sealed.
pub struct Vault {
    current: Key,
    previous: Option<Key>,
}

/// What was sealed.
#[derive(Debug, Clone)]
pub struct Opened {
    /// It.
    pub record: Record,
    /// Whether the previous key sealed it, so that it should be sealed anew.
    pub stale: bool,
}

/// Why something does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Neither key sealed it.
    #[error("sealed with a key that is neither CHATBUS_SECRET_KEY nor CHATBUS_SECRET_KEY_PREVIOUS")]
    UnknownKey,
    /// It was changed, cut, or sealed for something else.
    #[error("damaged, or sealed for another account")]
    Damaged,
    /// A later version of this program wrote it, or something else did.
    #[error("of an unknown format")]
    UnknownFormat,
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// It is not base64.
    #[error("not base64: a key is 32 random bytes in base64, as `openssl rand -base64 32` prints them")]
    NotBase64,
    /// It is, of another length.
    #[error(
        "{0} bytes instead of 32: a key is 32 random bytes in base64, as `openssl rand -base64 32` prints them"
    )]
    WrongLength(usize),
}

struct Key {
    id: [u8; KEY_ID_LEN],
    key: LessSafeKey,
}

const FORMAT: u8 = 1;
const KEY_ID_LEN: usize = 8;
const HEAD_LEN: usize = 1 + KEY_ID_LEN;

/// Reads a key of 32 bytes from its base64, of either alphabet, padded or not.
///
/// # Errors
/// When it is none; the error says how one is made, and never holds the text.
pub fn secret_key(text: &str) -> Result<[u8; 32], SecretKeyError> {
    let text = text.trim();
    let decoded = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD]
        .into_iter()
        .find_map(|engine| engine.decode(text).ok());
    let bytes = Zeroizing::new(decoded.ok_or(SecretKeyError::NotBase64)?);
    <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| SecretKeyError::WrongLength(bytes.len()))
}

// === impl Vault ===

impl Vault {
    /// A vault that seals with `current`.
    pub fn new(current: [u8; 32], previous: Option<[u8; 32]>) -> Self {
        Self { current: Key::new(current), previous: previous.map(Key::new) }
    }

    /// Seals the tokens of an account.
    pub fn seal(&self, platform: &str, identity: &str, record: &Record, entropy: &dyn Entropy) -> Vec<u8> {
        self.seal_bytes(&account(platform, identity), record.to_json(), entropy)
    }

    /// Opens the tokens of an account.
    ///
    /// # Errors
    /// When they were not sealed for this account with one of the keys.
    pub fn open(&self, platform: &str, identity: &str, sealed: &[u8]) -> Result<Opened, OpenError> {
        let (json, stale) = self.open_bytes(&account(platform, identity), sealed)?;
        let record = Record::from_json(&json).ok_or(OpenError::UnknownFormat)?;
        Ok(Opened { record, stale })
    }

    /// Seals anything; it opens for the same purpose only.
    pub(crate) fn seal_bytes(&self, purpose: &[u8], plain: Vec<u8>, entropy: &dyn Entropy) -> Vec<u8> {
        let Key { id, key } = &self.current;
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEAD_LEN + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend(id);
        let bound = Aad::from(bound(&sealed, purpose));
        sealed.extend(nonce);
        let mut text = Zeroizing::new(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        // Only a text of 64 GiB cannot be sealed; nothing sealed opens as nothing.
        if let Ok(tag) = key.seal_in_place_separate_tag(nonce, bound, &mut text) {
            sealed.extend(text.iter());
            sealed.extend(tag.as_ref());
        }
        sealed
    }

    /// Opens it; says also whether it should be sealed anew.
    pub(crate) fn open_bytes(
        &self,
        purpose: &[u8],
        sealed: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, bool), OpenError> {
        let (head, rest) = sealed.split_first_chunk::<HEAD_LEN>().ok_or(OpenError::UnknownFormat)?;
        let [FORMAT, id @ ..] = head else { return Err(OpenError::UnknownFormat) };
        let (key, stale) = if self.current.id == *id {
            (&self.current, false)
        } else {
            let previous = self.previous.as_ref().filter(|key| key.id == *id);
            (previous.ok_or(OpenError::UnknownKey)?, true)
        };
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(OpenError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = key.key.open_in_place(nonce, Aad::from(bound(head, purpose)), &mut text);
        let length = opened.map_err(|_| OpenError::Damaged)?.len();
        text.truncate(length);
        Ok((text, stale))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("has_previous", &self.previous.is_some()).finish_non_exhaustive()
    }
}

// === impl Key ===

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        // Not a part of the key, and nothing the key follows from.
        let named = [&b"chatbus key id"[..], &*bytes].concat();
        let mut id = [0; KEY_ID_LEN];
        for (to, from) in id.iter_mut().zip(digest(&SHA256, &Zeroizing::new(named)).as_ref()) {
            *to = *from;
        }
        // The only error is a length other than that of the type.
        let key = UnboundKey::new(&AES_256_GCM, &*bytes).expect("32 bytes are a key of AES-256");
        Self { id, key: LessSafeKey::new(key) }
    }
}

/// What an account's tokens are bound to. The platform's name holds no NUL.
fn account(platform: &str, identity: &str) -> Vec<u8> {
    [b"account", platform.as_bytes(), identity.as_bytes()].join(&0)
}

fn bound(head: &[u8], purpose: &[u8]) -> Vec<u8> {
    [head, purpose].concat()
}

#[cfg(test)]
mod tests;
