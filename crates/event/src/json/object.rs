//! An object split into members that keep their text.

use bytes::Bytes;

use super::raw::{Raw, unescape};
use super::scan::{JsonError, Scanner, Span};

/// An object's members in their order, repeats included.
///
/// A member is two places in a text, so splitting copies and counts nothing, and looking one up reads
/// little memory.
#[derive(Debug, Clone)]
pub struct Object {
    /// What this was split from.
    text: Bytes,
    /// Keys and values that were set since. Their places go on where those of the text end.
    added: Vec<u8>,
    members: Vec<Member>,
    /// Whether it is no longer what the text says.
    is_changed: bool,
}

#[derive(Debug, Clone)]
struct Member {
    /// The key as it was written, with its quotes.
    key: Span,
    tag: Tag,
    value: Span,
}

/// What tells nearly all keys apart by one comparison: the length and the first seven bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag(u64);

// === impl Object ===

impl Object {
    /// `{}`.
    pub fn new() -> Self {
        Self { text: Bytes::from_static(b"{}"), added: Vec::new(), members: Vec::new(), is_changed: false }
    }

    /// Checks that the bytes are one JSON value of at most 100 levels, and splits it; `None` when it is
    /// no object.
    ///
    /// # Errors
    /// Names the first byte that is wrong.
    pub fn parse(bytes: &Bytes) -> Result<Option<Self>, JsonError> {
        let mut members = Vec::with_capacity(24);
        let value = Scanner::document(bytes, |key, value| members.push(Member::of(bytes, key, value)))?;
        if bytes.get(value.start) != Some(&b'{') {
            return Ok(None);
        }
        for member in &mut members {
            for place in [&mut member.key, &mut member.value] {
                *place = place.start - value.start..place.end - value.start;
            }
        }
        Ok(Some(Self { text: bytes.slice(value), added: Vec::new(), members, is_changed: false }))
    }

    /// Splits text that was checked; `None` when it is no object.
    pub(super) fn split(text: &Bytes) -> Option<Self> {
        let mut members = Vec::with_capacity(8);
        walk(text, |key, value| members.push(Member::of(text, key, value)))?;
        Some(Self { text: text.clone(), added: Vec::new(), members, is_changed: false })
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
    pub fn get(&self, key: &str) -> Option<Raw> {
        let value = self.place(key)?;
        Some(Raw::checked(match self.added_place(value) {
            Some(place) => Bytes::copy_from_slice(self.added.get(place).unwrap_or_default()),
            None => self.text.slice(value.clone()),
        }))
    }

    /// The text of a member's value, without taking a share in it.
    pub(crate) fn look(&self, key: &str) -> Option<&[u8]> {
        self.place(key).map(|value| self.at(value))
    }

    /// Sets a member: where it stood, the last one where the key is repeated, else at the end.
    #[expect(clippy::needless_pass_by_value, reason = "what is set is made for it")]
    pub fn set(&mut self, key: &str, value: Raw) {
        let tag = Tag::of(key.as_bytes());
        let known = self.members.iter().rposition(|member| self.is(member, tag, key));
        let same = known
            .and_then(|at| self.members.get(at))
            .is_some_and(|member| self.at(&member.value) == value.as_bytes());
        if same {
            return;
        }
        let value = self.add(value.as_bytes());
        match known.and_then(|at| self.members.get_mut(at)) {
            Some(member) => member.value = value,
            None => {
                let key = self.add(Raw::of(key).as_bytes());
                let tag = Tag::written(inner(self.at(&key)));
                self.members.push(Member { key, tag, value });
            }
        }
        self.is_changed = true;
    }

    /// Removes every member with this key.
    pub fn remove(&mut self, key: &str) {
        let tag = Tag::of(key.as_bytes());
        while let Some(at) = self.members.iter().rposition(|member| self.is(member, tag, key)) {
            self.members.remove(at);
            self.is_changed = true;
        }
    }

    /// Keys (unescaped) and values, in order, repeats included.
    pub fn iter(&self) -> impl Iterator<Item = (String, &[u8])> {
        self.members.iter().map(|member| (unescaped(inner(self.at(&member.key))), self.at(&member.value)))
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The text: the very bytes it was read from where nothing changed.
    pub fn encode(&self) -> Bytes {
        if !self.is_changed {
            return self.text.clone();
        }
        let size: usize = self.members.iter().map(|m| m.key.len() + m.value.len() + 2).sum();
        let mut out = Vec::with_capacity(size + 2);
        out.push(b'{');
        for (n, member) in self.members.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_slice(self.at(&member.key));
            out.push(b':');
            out.extend_from_slice(self.at(&member.value));
        }
        out.push(b'}');
        out.into()
    }

    /// The text as a value.
    pub fn to_raw(&self) -> Raw {
        Raw::checked(self.encode())
    }

    /// Where a member's value stands; the last one where the key is repeated.
    fn place(&self, key: &str) -> Option<&Span> {
        let tag = Tag::of(key.as_bytes());
        let found =
            self.members.iter().rev().find(|member| {
                (member.tag == tag || member.tag == Tag::ESCAPED) && self.is(member, tag, key)
            });
        found.map(|member| &member.value)
    }

    /// Whether a member has this name, whose tag is `tag`.
    fn is(&self, member: &Member, tag: Tag, name: &str) -> bool {
        if member.tag == tag {
            return tag.is_all() || inner(self.at(&member.key)) == name.as_bytes();
        }
        member.tag == Tag::ESCAPED && unescaped(inner(self.at(&member.key))) == name
    }

    fn at(&self, place: &Span) -> &[u8] {
        match self.added_place(place) {
            Some(place) => self.added.get(place),
            None => self.text.get(place.clone()),
        }
        .unwrap_or_default()
    }

    /// The place within what was added; `None` when it is in the text.
    fn added_place(&self, place: &Span) -> Option<Span> {
        let start = place.start.checked_sub(self.text.len())?;
        Some(start..start + place.len())
    }

    fn add(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len() + self.added.len();
        self.added.extend_from_slice(bytes);
        start..start + bytes.len()
    }
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Object {
    /// Whether both have the same text.
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl Eq for Object {}

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
    fn of(text: &[u8], key: Span, value: Span) -> Self {
        let tag = Tag::written(inner(text.get(key.clone()).unwrap_or_default()));
        Self { key, tag, value }
    }
}

// === impl Tag ===

impl Tag {
    /// A key with escapes, which may be another than it looks. No name has this tag: its length is none.
    const ESCAPED: Self = Self(u64::MAX);
    /// The longest length that stands in a tag as it is.
    const LONGEST: usize = 0xfe;

    /// The tag of a name.
    #[inline]
    fn of(name: &[u8]) -> Self {
        let len = u8::try_from(name.len().min(Self::LONGEST)).unwrap_or(u8::MAX);
        // Names are short, and a copy of unknown length costs more than seven steps.
        let start = name.iter().take(7).rev().fold(0, |start, byte| start << 8 | u64::from(*byte));
        Self(start | u64::from(len) << 56)
    }

    /// The tag of a key as it was written.
    fn written(inner: &[u8]) -> Self {
        if inner.contains(&b'\\') { Self::ESCAPED } else { Self::of(inner) }
    }

    /// Whether it says all of the name.
    fn is_all(self) -> bool {
        self.0 >> 56 <= 7
    }
}
