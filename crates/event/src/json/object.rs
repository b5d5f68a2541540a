//! An object split into members that keep their text.

use bytes::Bytes;

use super::raw::{Raw, unescape};
use super::scan::{JsonError, Scanner, Span};

/// An object's members in their order, repeats included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    members: Vec<Member>,
    /// The text this was split from, until something changes.
    source: Option<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// The key as it was written, with its quotes.
    key: Bytes,
    /// Whether the key has escapes, and so may be another than it looks.
    is_escaped: bool,
    value: Raw,
}

// === impl Object ===

impl Object {
    /// `{}`.
    pub fn new() -> Self {
        Self { members: Vec::new(), source: None }
    }

    /// Checks that the bytes are one JSON value of at most 100 levels, and splits it; `None` when it is
    /// no object.
    ///
    /// # Errors
    /// Names the first byte that is wrong.
    pub fn parse(bytes: &Bytes) -> Result<Option<Self>, JsonError> {
        let mut members = Vec::new();
        let text = Scanner::document(bytes, |key, value| {
            if members.is_empty() {
                members.reserve(24);
            }
            members.push(Member::of(bytes, key, value));
        })?;
        let is_object = bytes.get(text.start) == Some(&b'{');
        Ok(is_object.then(|| Self { members, source: Some(bytes.slice(text)) }))
    }

    /// Splits text that was checked; `None` when it is no object.
    pub(super) fn split(text: &Bytes) -> Option<Self> {
        let mut members = Vec::with_capacity(8);
        walk(text, |key, value| members.push(Member::of(text, key, value)))?;
        Some(Self { members, source: Some(text.clone()) })
    }

    /// One member of text that was checked, the last one where the key is repeated, without splitting
    /// off the others.
    pub(super) fn find(text: &Bytes, key: &str) -> Option<Raw> {
        let mut found = None;
        walk(text, |name, value| {
            if is_key(&text[name], key) {
                found = Some(value);
            }
        })?;
        found.map(|value| Raw::checked(text.slice(value)))
    }

    /// A member's value; the last one where the key is repeated, as most readers take it.
    pub fn get(&self, key: &str) -> Option<&Raw> {
        self.members.iter().rev().find(|member| member.is(key)).map(|member| &member.value)
    }

    /// Sets a member: where it stood, the last one where the key is repeated, else at the end.
    pub fn set(&mut self, key: &str, value: Raw) {
        match self.members.iter_mut().rev().find(|member| member.is(key)) {
            Some(member) if member.value == value => return,
            Some(member) => member.value = value,
            None => self.members.push(Member::new(Raw::of(key).to_bytes(), value)),
        }
        self.source = None;
    }

    /// Removes every member with this key.
    pub fn remove(&mut self, key: &str) {
        let before = self.members.len();
        self.members.retain(|member| !member.is(key));
        if self.members.len() != before {
            self.source = None;
        }
    }

    /// Keys (unescaped) and values, in order, repeats included.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Raw)> {
        self.members.iter().map(|member| (member.name(), &member.value))
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The text: the very bytes it was read from where nothing changed.
    pub fn encode(&self) -> Bytes {
        if let Some(source) = &self.source {
            return source.clone();
        }
        let size: usize = self.members.iter().map(|m| m.key.len() + m.value.as_bytes().len() + 2).sum();
        let mut out = Vec::with_capacity(size + 2);
        out.push(b'{');
        for (n, member) in self.members.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&member.key);
            out.push(b':');
            out.extend_from_slice(member.value.as_bytes());
        }
        out.push(b'}');
        out.into()
    }

    /// The text as a value.
    pub fn to_raw(&self) -> Raw {
        Raw::checked(self.encode())
    }
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl<'k> FromIterator<(&'k str, Raw)> for Object {
    fn from_iter<I: IntoIterator<Item = (&'k str, Raw)>>(members: I) -> Self {
        let mut object = Self::new();
        for (key, value) in members {
            object.set(key, value);
        }
        object
    }
}

/// Some members of text that was checked, in one pass; of a repeated key the last one.
pub(super) fn pick<const N: usize>(text: &Bytes, keys: [&str; N]) -> [Option<Raw>; N] {
    let mut found = [const { None }; N];
    // Of text that is no object there is nothing to pick.
    let _ = walk(text, |name, value| {
        if let Some(at) = keys.iter().position(|key| is_key(&text[name.clone()], key)) {
            found[at] = Some(value);
        }
    });
    found.map(|value| value.map(|value| Raw::checked(text.slice(value))))
}

/// Says where each key, with its quotes, and each value of an object stands; `None` when the text, which
/// was checked, is none.
fn walk(text: &Bytes, each: impl FnMut(Span, Span)) -> Option<()> {
    if text.first() != Some(&b'{') {
        return None;
    }
    Scanner::new(text).object(0, each).ok()
}

/// Whether this key, with its quotes, is that name.
fn is_key(quoted: &[u8], name: &str) -> bool {
    let inner = inner(quoted);
    inner == name.as_bytes() || (inner.contains(&b'\\') && unescaped(inner) == name)
}

fn inner(quoted: &[u8]) -> &[u8] {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
}

fn unescaped(inner: &[u8]) -> String {
    unescape(&String::from_utf8_lossy(inner))
}

// === impl Member ===

impl Member {
    fn new(key: Bytes, value: Raw) -> Self {
        Self { is_escaped: key.contains(&b'\\'), key, value }
    }

    fn of(text: &Bytes, key: Span, value: Span) -> Self {
        Self::new(text.slice(key), Raw::checked(text.slice(value)))
    }

    fn is(&self, name: &str) -> bool {
        let inner = inner(&self.key);
        if self.is_escaped { unescaped(inner) == name } else { inner == name.as_bytes() }
    }

    fn name(&self) -> String {
        unescaped(inner(&self.key))
    }
}
