//! The tags before a line: `name=value` pairs with an escaping of their own.

use std::borrow::Cow;

use super::scan;

/// The tags of a line, still escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags<'a>(&'a str);

// === impl Tags ===

impl<'a> Tags<'a> {
    /// Tags from the text between `@` and the space.
    pub(super) fn new(section: &'a str) -> Self {
        Self(section)
    }

    /// Names and escaped values, in order, repeats included. A tag without a value has an empty one.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let (name, value, after) = match scan::find(rest.as_bytes(), b'=', b';') {
                    Some(at) if rest.as_bytes()[at] == b'=' => {
                        let (value, after) = scan::cut(&rest[at + 1..], b';');
                        (&rest[..at], value, after)
                    }
                    Some(at) => (&rest[..at], "", &rest[at + 1..]),
                    None => (rest, "", ""),
                };
                rest = after;
                if !name.is_empty() {
                    return Some((name, value));
                }
            }
        })
    }

    /// The escaped value of a tag: of repeated ones the last, as IRCv3 says.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().filter(|(known, _)| *known == name).last().map(|(_, value)| value)
    }

    /// The same for several tags, in one pass. What is not there is empty, as is a tag without a value.
    pub fn pick<const N: usize>(self, names: [&str; N]) -> [&'a str; N] {
        let mut values = [""; N];
        for (name, value) in self.iter() {
            if let Some(at) = names.iter().position(|wanted| *wanted == name) {
                values[at] = value;
            }
        }
        values
    }

    /// Whether any value is escaped.
    pub fn has_escapes(self) -> bool {
        memchr::memchr(b'\\', self.0.as_bytes()).is_some()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// The value that stands behind an escaped one. Unknown escapes lose their backslash, and so does a
/// lone one at the end.
pub fn unescape(value: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', value.as_bytes()) else { return Cow::Borrowed(value) };
    let mut text = String::with_capacity(value.len());
    text.push_str(&value[..first]);
    let mut rest = value[first..].chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some(':') => text.push(';'),
            Some('s') => text.push(' '),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    Cow::Owned(text)
}

/// The escaped form of a value, in which it can stand in a line. NUL, which no line can hold, is
/// left out.
pub fn escape(value: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, ';' | ' ' | '\r' | '\n' | '\\' | '\0');
    if !value.contains(special) {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            ';' => text.push_str("\\:"),
            ' ' => text.push_str("\\s"),
            '\r' => text.push_str("\\r"),
            '\n' => text.push_str("\\n"),
            '\\' => text.push_str("\\\\"),
            '\0' => {}
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}
