//! An object split into members that keep their text.

use bytes::Bytes;

use super::raw::{Raw, unescape};
use super::scan::Scanner;

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
    value: Raw,
}

// === impl Object ===

impl Object {
    /// `{}`.
    pub fn new() -> Self {
        Self { members: Vec::new(), source: None }
    }

    /// Splits text that was checked; `None` when it is no object.
    pub(super) fn split(text: &Bytes) -> Option<Self> {
        let mut members = Vec::with_capacity(24);
        walk(text, |member| members.push(member))?;
        Some(Self { members, source: Some(text.clone()) })
    }

    /// One member of text that was checked, the last one where the key is repeated, without splitting
    /// off the others.
    pub(super) fn find(text: &Bytes, key: &str) -> Option<Raw> {
        let mut found = None;
        walk(text, |member| {
            if member.is(key) {
                found = Some(member.value);
            }
        })?;
        found
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
            None => self.members.push(Member { key: Raw::of(key).to_bytes(), value }),
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
    let _ = walk(text, |member| {
        if let Some(at) = keys.iter().position(|key| member.is(key)) {
            found[at] = Some(member.value);
        }
    });
    found
}

/// Hands over each member of an object in turn; `None` when the text is none.
fn walk(text: &Bytes, mut each: impl FnMut(Member)) -> Option<()> {
    if text.first() != Some(&b'{') {
        return None;
    }
    let mut scanner = Scanner::new(text);
    scanner.at = 1;
    loop {
        scanner.space();
        match scanner.peek()? {
            b'}' => return Some(()),
            b',' => scanner.at += 1,
            _ => {
                let key_start = scanner.at;
                scanner.string().ok()?;
                let key = text.slice(key_start..scanner.at);
                scanner.space();
                scanner.expect(b':', "").ok()?;
                scanner.space();
                let start = scanner.at;
                scanner.value(1).ok()?;
                each(Member { key, value: Raw::checked(text.slice(start..scanner.at)) });
            }
        }
    }
}

// === impl Member ===

impl Member {
    fn inner(&self) -> &[u8] {
        self.key.get(1..self.key.len().saturating_sub(1)).unwrap_or_default()
    }

    fn is(&self, key: &str) -> bool {
        let inner = self.inner();
        if inner.contains(&b'\\') { self.name() == key } else { inner == key.as_bytes() }
    }

    fn name(&self) -> String {
        unescape(&String::from_utf8_lossy(self.inner()))
    }
}
