//! A line's tags, unescaped, each once.

use crate::irc::grammar::{Tags, unescape};

/// More tags than this are left out of the event: Twitch sends about thirty.
const MAX_TAGS: usize = 256;

/// Tags in the order in which they came; of repeated ones the last.
#[derive(Debug)]
pub(super) struct TagSet<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    /// One bit for each kind of name that is there: most names that are asked for are not, and this
    /// says so without a look at each.
    seen: u64,
    /// For each kind of name that is there, where the last of the kind is: nearly always the one that
    /// is asked for.
    places: [u8; KINDS],
}

/// How many kinds of names [`fingerprint`] tells apart.
const KINDS: usize = 64;

// === impl TagSet ===

impl<'a> TagSet<'a> {
    /// No tags.
    pub(super) const EMPTY: Self = Self { pairs: Vec::new(), seen: 0, places: [0; KINDS] };

    /// Reads the tags. `unescaped` keeps the values that stand in the line otherwise than they are.
    pub(super) fn read(tags: Tags<'a>, unescaped: &'a mut Vec<String>) -> Self {
        let mut set = Self::EMPTY;
        if tags.is_empty() {
            return set;
        }
        set.pairs.reserve(32);
        let is_escaped = |value: &str| memchr::memchr(b'\\', value.as_bytes()).is_some();
        if !tags.has_escapes() {
            tags.iter().for_each(|(name, value)| set.set(name, value));
            return set;
        }
        let values = tags.iter().map(|(_, value)| value).filter(|value| is_escaped(value));
        unescaped.extend(values.map(|value| unescape(value).into_owned()));
        let mut unescaped = unescaped.iter();
        for (name, value) in tags.iter() {
            let other = if is_escaped(value) { unescaped.next() } else { None };
            set.set(name, other.map_or(value, String::as_str));
        }
        set
    }

    fn set(&mut self, name: &'a str, value: &'a str) {
        if let Some(at) = self.find(name) {
            self.pairs[at].1 = value;
        } else if self.pairs.len() < MAX_TAGS {
            let kind = fingerprint(name);
            self.seen |= 1 << kind;
            self.places[kind] = u8::try_from(self.pairs.len()).unwrap_or(u8::MAX);
            self.pairs.push((name, value));
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let kind = fingerprint(name);
        if self.seen & (1 << kind) == 0 {
            return None;
        }
        let place = usize::from(self.places[kind]);
        if self.pairs.get(place).is_some_and(|(known, _)| *known == name) {
            return Some(place);
        }
        self.pairs.iter().position(|(known, _)| *known == name)
    }

    /// The value of a tag that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.pairs.get(self.find(name)?)?;
        Some(*value).filter(|value| !value.is_empty())
    }

    /// Whether a tag says yes.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// A tag that is a whole number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Names and values, empty ones included.
    pub(super) fn pairs(&self) -> &[(&'a str, &'a str)] {
        &self.pairs
    }
}

/// Less than [`KINDS`], the same for the same name. Tells apart all tags that a chat message usually has.
fn fingerprint(name: &str) -> usize {
    let bytes = name.as_bytes();
    let end = |at: Option<&u8>| at.map_or(0, |b| usize::from(*b));
    (bytes.len() + end(bytes.first()) * 53 + end(bytes.last()) * 57) % KINDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irc::grammar::Message;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_name_stands_once_with_its_last_value(
            tags in proptest::collection::vec(("[a-d]{1,2}", "[a-z\\\\]{0,3}"), 0..40),
        ) {
            let line = tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";");
            let line = format!("@x;{line} FOO");
            let mut unescaped = Vec::new();
            let set = TagSet::read(Message::parse(&line).unwrap().tags(), &mut unescaped);
            let pairs = set.pairs();
            for (name, _) in &tags {
                let last = tags.iter().rfind(|(other, _)| other == name).map(|(_, value)| unescape(value));
                let here: Vec<&str> = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).collect();
                prop_assert_eq!(here, [last.unwrap()]);
            }
        }
    }

    #[test]
    fn a_line_of_nothing_but_tags_is_cut() {
        let many = (0..20_000).map(|i| format!("t{i}")).collect::<Vec<_>>().join(";");
        let line = format!("@{many} FOO");
        let mut unescaped = Vec::new();
        let set = TagSet::read(Message::parse(&line).unwrap().tags(), &mut unescaped);
        assert_eq!(set.pairs().len(), MAX_TAGS);
    }
}
