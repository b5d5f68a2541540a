//! A line's tags, unescaped, each once.

use std::borrow::Cow;

use crate::irc::grammar::{Tags, unescape};

/// More tags than this are left out of the event: Twitch sends about thirty.
const MAX_TAGS: usize = 256;

/// Tags in the order in which they came; of repeated ones the last.
#[derive(Debug, Default)]
pub(super) struct TagSet<'a> {
    pairs: Vec<(&'a str, Cow<'a, str>)>,
    /// One bit for each kind of name that is there: most names that are asked for are not, and this
    /// says so without a look at each.
    seen: u64,
}

// === impl TagSet ===

impl<'a> TagSet<'a> {
    pub(super) fn read(tags: Tags<'a>) -> Self {
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
        if !tags.is_empty() {
            pairs.reserve(32);
        }
        let mut seen = 0_u64;
        let has_escapes = tags.has_escapes();
        for (name, value) in tags.iter() {
            let bit = 1_u64 << fingerprint(name);
            let repeated =
                if seen & bit == 0 { None } else { pairs.iter().position(|(known, _)| *known == name) };
            seen |= bit;
            let value = if has_escapes { unescape(value) } else { Cow::Borrowed(value) };
            match repeated {
                Some(at) => pairs[at].1 = value,
                None if pairs.len() < MAX_TAGS => pairs.push((name, value)),
                None => {}
            }
        }
        Self { pairs, seen }
    }

    /// The value of a tag that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        if self.seen & (1 << fingerprint(name)) == 0 {
            return None;
        }
        let (_, value) = self.pairs.iter().find(|(known, _)| *known == name)?;
        Some(&**value).filter(|value| !value.is_empty())
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
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        self.pairs.iter().map(|(name, value)| (*name, &**value)).collect()
    }
}

/// 0 to 63, the same for the same name.
fn fingerprint(name: &str) -> usize {
    let bytes = name.as_bytes();
    let end = |at: Option<&u8>| at.map_or(0, |b| usize::from(*b));
    (bytes.len() * 7 + end(bytes.first()) * 3 + end(bytes.last())) & 63
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
            let set = TagSet::read(Message::parse(&line).unwrap().tags());
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
        assert_eq!(TagSet::read(Message::parse(&line).unwrap().tags()).pairs().len(), MAX_TAGS);
    }
}
