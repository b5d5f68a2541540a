//! The attributes of a bus message: small named texts beside the body.

use std::borrow::Cow;
use std::ops::Range;

use crate::words::{HIGH, below, equal};

/// Names of the attributes chatbus sets. The body is the truth; these are for routing and reading.
pub mod names {
    /// The event's correlation id.
    pub const CORRELATION_ID: &str = "correlationId";
    /// The event's type.
    pub const TYPE: &str = "type";
    /// The event's source.
    pub const SOURCE: &str = "source";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// The dedupe id, as in [`MessageId`](crate::MessageId).
    pub const MESSAGE_ID: &str = "messageId";
    /// The event's channel.
    pub const CHANNEL: &str = "channel";
    /// Names one delivery through every hop and retry, on the egress side.
    pub const DELIVERY_ID: &str = "deliveryId";
    /// RFC 3339; after it the delivery is given up, on the egress side.
    pub const DEADLINE: &str = "deadline";
    /// How often the event was forwarded between instances, on the egress side.
    pub const HOPS: &str = "hops";
    /// The outcome's status, on a finalizer topic.
    pub const STATUS: &str = "status";
    /// Where outcomes are copied to.
    pub const REPLY_TO: &str = "replyTo";
    /// CloudEvents 1.0, binary mode.
    pub const CE_ID: &str = "ce-id";
    /// CloudEvents 1.0, binary mode.
    pub const CE_TYPE: &str = "ce-type";
    /// CloudEvents 1.0, binary mode.
    pub const CE_SOURCE: &str = "ce-source";
    /// CloudEvents 1.0, binary mode.
    pub const CE_SPECVERSION: &str = "ce-specversion";
    /// CloudEvents 1.0, binary mode.
    pub const CE_TIME: &str = "ce-time";

    /// All of these, those first that every message has.
    pub(super) const OURS: [&str; 16] = [
        CORRELATION_ID,
        TYPE,
        SOURCE,
        TRACEPARENT,
        MESSAGE_ID,
        CHANNEL,
        CE_ID,
        CE_TYPE,
        CE_SOURCE,
        CE_SPECVERSION,
        CE_TIME,
        DELIVERY_ID,
        DEADLINE,
        HOPS,
        STATUS,
        REPLY_TO,
    ];

    /// Which of these a name is, to the letter.
    pub(super) fn place(name: &str) -> Option<usize> {
        OURS.iter().position(|ours| *ours == name)
    }

    /// The name of ours that this one is, to the letter.
    pub(super) fn known(name: &str) -> Option<&'static str> {
        OURS.get(place(name)?).copied()
    }
}

/// An ordered list of named texts. Names keep their case and are compared without it.
///
/// Values hold no control characters and no white space at either end, so that every driver can
/// carry them as they are and none can be made to start another header line.
///
/// All values stand in one text, one behind the other: every message has a dozen of them.
#[derive(Clone, Default)]
pub struct Attributes {
    entries: Vec<Entry>,
    values: String,
}

#[derive(Clone)]
struct Entry {
    name: Cow<'static, str>,
    start: usize,
    end: usize,
}

/// Room for the values of one message of ours.
const VALUES_BYTES: usize = 384;

// === impl Attributes ===

impl Attributes {
    /// No attributes.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), values: String::new() }
    }

    /// No attributes, with room for `n`.
    pub fn with_capacity(n: usize) -> Self {
        Self::with_room(n, VALUES_BYTES)
    }

    /// No attributes, with room for `n` whose values are of so many bytes together.
    pub fn with_room(n: usize, values: usize) -> Self {
        Self { entries: Vec::with_capacity(n), values: String::with_capacity(values) }
    }

    /// Attributes whose names and values stand in this text, at these places, about `n` of them. The same as
    /// [`Attributes::set_named`] for each, but what needs no cleaning is not copied. Places that the text
    /// does not have set nothing.
    pub fn within(
        text: String,
        n: usize,
        places: impl IntoIterator<Item = (Range<usize>, Range<usize>)>,
    ) -> Self {
        let mut attributes = Self { entries: Vec::with_capacity(n), values: text };
        // Of our own names each mostly stands there once, and then need not be looked for.
        let (mut seen, mut all_ours) = ([false; names::OURS.len()], true);
        for (name, value) in places {
            let (Some(name), Some(text)) =
                (attributes.values.get(name), attributes.values.get(value.clone()))
            else {
                continue;
            };
            match names::place(name).and_then(|at| Some((*names::OURS.get(at)?, seen.get_mut(at)?))) {
                Some((name, seen)) if is_plain(text) => {
                    let (name, Range { start, end }) = (Cow::Borrowed(name), value);
                    if !std::mem::replace(seen, true) && all_ours {
                        attributes.entries.push(Entry { name, start, end });
                    } else {
                        attributes.put_place(name, start, end);
                    }
                }
                _ => {
                    all_ours = false;
                    let (name, text) = (name.to_owned(), text.to_owned());
                    attributes.set_named(&name, &text);
                }
            }
        }
        attributes
    }

    /// Sets `name` to `value`, replacing what stood there. Control characters are dropped from the
    /// value and it is trimmed; an empty name, one with anything but printable ASCII, or one with a
    /// colon is ignored, since no driver could carry it.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl AsRef<str>) {
        let name = name.into();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return;
        }
        self.replace(name, value.as_ref());
    }

    /// The same for a name from outside, which costs nothing where it is one of ours.
    pub fn set_named(&mut self, name: &str, value: &str) {
        match names::known(name) {
            Some(known) => self.replace(Cow::Borrowed(known), value),
            None => self.set(name.to_owned(), value),
        }
    }

    fn replace(&mut self, name: Cow<'static, str>, value: &str) {
        let start = self.values.len();
        self.values.push_str(&clean(value));
        let end = self.values.len();
        self.put_place(name, start, end);
    }

    fn put_place(&mut self, name: Cow<'static, str>, start: usize, end: usize) {
        match self.entries.iter_mut().find(|entry| same(&entry.name, &name)) {
            // What stood there stays behind in the text: replacing is rare, and the text is short-lived.
            Some(entry) => (entry.start, entry.end) = (start, end),
            None => self.entries.push(Entry { name, start, end }),
        }
    }

    /// Adds any value under a name that is known to be valid, and not to be there yet.
    pub(crate) fn put(&mut self, name: &'static str, value: &str) {
        self.push(name, &clean(value));
    }

    /// Adds a name and value that are known to be valid, and a name that is not there yet.
    pub(crate) fn push(&mut self, name: &'static str, value: &str) {
        let start = self.values.len();
        self.values.push_str(value);
        self.entries.push(Entry { name: Cow::Borrowed(name), start, end: self.values.len() });
    }

    /// The value of `name`, whatever the case of either.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|entry| same(&entry.name, name)).map(|entry| self.value(entry))
    }

    /// Removes `name` and gives what it was.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.entries.iter().position(|entry| same(&entry.name, name))?;
        let entry = self.entries.remove(at);
        Some(self.value(&entry).to_owned())
    }

    /// Names and values, in the order in which they were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.name.as_ref(), self.value(entry)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn value(&self, entry: &Entry) -> &str {
        self.values.get(entry.start..entry.end).unwrap_or_default()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Attributes {}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<Cow<'static, str>>, V: AsRef<str>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut attributes = Self::new();
        for (name, value) in pairs {
            attributes.set(name, value);
        }
        attributes
    }
}

/// Most names differ in their length or their first letter already.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.as_bytes().first().map(u8::to_ascii_lowercase)
            == b.as_bytes().first().map(u8::to_ascii_lowercase)
        && a.eq_ignore_ascii_case(b)
}

fn clean(value: &str) -> Cow<'_, str> {
    if is_plain(value) {
        return Cow::Borrowed(value);
    }
    if value.chars().any(char::is_control) {
        let kept: String = value.chars().filter(|c| !c.is_control()).collect();
        return Cow::Owned(kept.trim().to_owned());
    }
    Cow::Borrowed(value.trim())
}

/// Whether this is printable ASCII with no space at either end, as nearly every value is. Looks at
/// eight bytes at once, the last eight overlapping those before.
pub(crate) fn is_plain(text: &str) -> bool {
    let odd = |chunk: &[u8; 8]| {
        let word = u64::from_le_bytes(*chunk);
        (word & HIGH) | below(word, 0x20) | equal(word, 0x7f)
    };
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ') {
        return false;
    }
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(|b| matches!(b, 0x20..=0x7e));
    };
    let (words, _) = bytes.as_chunks();
    words.iter().fold(odd(last), |found, word| found | odd(word)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_is_what_needs_no_cleaning(text in "[ -~]{0,40}|[ a-z\u{0}\u{1f}\u{7f}\u{80}ü]{0,24}") {
            let expected = text.bytes().all(|b| matches!(b, 0x20..=0x7e))
                && !text.starts_with(' ') && !text.ends_with(' ');
            prop_assert_eq!(is_plain(&text), expected);
        }

        #[test]
        fn what_stands_in_a_text_is_set_as_if_it_were_given(
            pairs in proptest::collection::vec(("[a-z ]{0,4}|channel|CHANNEL|hops|type", "[ -~\u{0}ü]{0,12}"), 0..6),
        ) {
            let text: String = pairs.iter().flat_map(|(name, value)| [name.as_str(), value]).collect();
            let (mut places, mut given, mut at) = (Vec::new(), Attributes::new(), 0);
            for (name, value) in &pairs {
                let (middle, end) = (at + name.len(), at + name.len() + value.len());
                places.push((at..middle, middle..end));
                given.set_named(name, value);
                at = end;
            }
            let within = Attributes::within(text, 2, places);
            prop_assert_eq!(within, given);
        }

        #[test]
        fn a_value_is_cleaned_the_same_whatever_its_length(text in any::<String>()) {
            let kept: String = text.chars().filter(|c| !c.is_control()).collect();
            prop_assert_eq!(clean(&text), kept.trim());
        }
    }

    #[test]
    fn an_odd_byte_is_seen_wherever_it_stands() {
        for len in 1..40 {
            for at in 0..len {
                for odd in ['\u{0}', '\n', '\u{1f}', '\u{7f}', 'ü'] {
                    let mut text = "x".repeat(len);
                    text.replace_range(at..=at, odd.encode_utf8(&mut [0; 4]));
                    assert!(!is_plain(&text), "{text:?}");
                }
            }
            assert!(is_plain(&"~".repeat(len)) && is_plain(&"!".repeat(len)));
        }
    }

    #[test]
    fn names_keep_their_case_and_are_found_without_it() {
        let mut a = Attributes::new();
        a.set(names::CORRELATION_ID, "c-1");
        assert_eq!(a.get("correlationid"), Some("c-1"));
        a.set("CORRELATIONID", "c-2");
        assert_eq!(a.iter().collect::<Vec<_>>(), [("correlationId", "c-2")]);
        a.set_named("x-other", "y");
        a.set_named("type", "t");
        assert_eq!(a.clone().len(), 3);
        assert_eq!(format!("{a:?}"), r#"{"correlationId": "c-2", "x-other": "y", "type": "t"}"#);
        assert_eq!((a.remove("X-Other").as_deref(), a.remove("type").as_deref()), (Some("y"), Some("t")));
        assert_eq!(a.remove("CorrelationId").as_deref(), Some("c-2"));
        assert!(a.is_empty());
    }

    #[test]
    fn no_value_can_start_another_header_line() {
        let a: Attributes = [("channel", " #a\r\nNats-Msg-Id: x\0 ")].into_iter().collect();
        assert_eq!(a.get("channel"), Some("#aNats-Msg-Id: x"));
        let b: Attributes = [("bad name", "x"), ("", "x"), ("a:b", "x")].into_iter().collect();
        assert!(b.is_empty());
    }
}
