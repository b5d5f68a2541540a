//! One JSON value as text.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use super::object::{Object, pick};
use super::scan::{JsonError, Scanner};

/// The text of one valid JSON value, shared with the document it stands in.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Bytes);

// === impl Raw ===

impl Raw {
    /// `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Checks that the bytes are one JSON value of at most 100 levels.
    ///
    /// # Errors
    /// Names the first byte that is wrong.
    pub fn parse(bytes: &Bytes) -> Result<Self, JsonError> {
        Ok(Self(bytes.slice(Scanner::document(bytes, |_, _| {})?)))
    }

    /// The JSON of a value. A type that cannot be JSON (a map with keys that are no strings) is `null`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        serde_json::to_vec(value).map_or(Self::NULL, |text| Self(text.into()))
    }

    /// For slices of text that was checked already.
    pub(super) fn checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The string this is, unescaped; `None` when it is something else. A lone surrogate, which no
    /// UTF-8 text can hold, becomes U+FFFD.
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        string(&self.0)
    }

    /// The number this is, as nearly as an `f64` holds it.
    pub fn as_f64(&self) -> Option<f64> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => std::str::from_utf8(&self.0).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The whole number from 0 to 2^64-1 this is, written without fraction or exponent.
    pub fn as_u64(&self) -> Option<u64> {
        std::str::from_utf8(&self.0).ok()?.parse().ok()
    }

    /// The truth value this is.
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.as_bytes() == b"null"
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// The object this is, split into its members.
    pub fn as_object(&self) -> Option<Object> {
        Object::split(&self.0)
    }

    /// The values of the array this is.
    pub fn as_array(&self) -> Option<Vec<Raw>> {
        if self.0.first() != Some(&b'[') {
            return None;
        }
        let mut values = Vec::new();
        let each = |value| values.push(Self(self.0.slice(value)));
        Scanner::new(&self.0).array(0, each).ok()?;
        Some(values)
    }

    /// The member of the object this is; the last one where a key is repeated.
    pub fn get(&self, key: &str) -> Option<Raw> {
        Object::find(&self.0, key)
    }

    /// Several members at once, in one pass over the text.
    pub fn pick<const N: usize>(&self, keys: [&str; N]) -> [Option<Raw>; N] {
        pick(&self.0, keys)
    }

    /// Follows keys inward.
    pub fn at(&self, path: &[&str]) -> Option<Raw> {
        path.iter().try_fold(self.clone(), |value, key| value.get(key))
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(&self.0).map_err(serde::ser::Error::custom)?;
        let raw: &serde_json::value::RawValue =
            serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// The string that a text which was checked is, unescaped.
pub(crate) fn string(text: &[u8]) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let text = std::str::from_utf8(inner).ok()?;
    if inner.contains(&b'\\') { Some(Cow::Owned(unescape(text))) } else { Some(Cow::Borrowed(text)) }
}

/// Undoes the escapes of a string that was checked.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at + 1..].chars();
        let escape = chars.next();
        rest = chars.as_str();
        match escape {
            Some('u') => {
                let (c, after) = unicode_escape(rest);
                out.push(c);
                rest = after;
            }
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out.push_str(rest);
    out
}

/// Reads the digits behind `\u`, and a second escape where the first is a high surrogate.
fn unicode_escape(rest: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(rest) else { return (char::REPLACEMENT_CHARACTER, rest) };
    let after = &rest[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(low) = after.strip_prefix("\\u").and_then(unit)
        && (0xdc00..0xe000).contains(&low)
    {
        let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00));
        return (c.unwrap_or(char::REPLACEMENT_CHARACTER), &after[6..]);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), after)
}
