//! What a webhook tells: named values, from a form or from a JSON object.

use std::borrow::Cow;

use url::form_urlencoded;

use crate::signature::Param;

/// Named values in the order they came. Of a name that is repeated the first value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
    is_text: bool,
}

// === impl Form ===

impl Form {
    /// From decoded parameters. What is not UTF-8 is replaced by U+FFFD, and [`Form::is_text`] says so.
    pub fn of(params: &[Param]) -> Self {
        let mut is_text = true;
        let mut text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            is_text &= matches!(text, Cow::Borrowed(_));
            text.into_owned()
        };
        let pairs = params.iter().map(|(name, value)| (text(name), text(value))).collect();
        Self { pairs, is_text }
    }

    /// From a JSON object; values that are no texts are their JSON. `None` when it is none.
    pub fn of_json(body: &[u8]) -> Option<Self> {
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let text = |value| match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let pairs = members.into_iter().map(|(name, value)| (name, text(value))).collect();
        Some(Self { pairs, is_text: true })
    }

    /// A value, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// A value, which may be empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All of it, each name once.
    pub fn unique(&self) -> Vec<(&str, &str)> {
        let mut seen = std::collections::HashSet::new();
        let pairs = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.filter(|(name, _)| seen.insert(*name)).collect()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether all of it was UTF-8.
    pub fn is_text(&self) -> bool {
        self.is_text
    }
}

/// The parameters of a form or a query, percent-decoded; what is no escape stays as it is.
pub fn params(encoded: &[u8]) -> Vec<Param> {
    let pairs = encoded.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=');
            let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// The same parameters with everything that is not UTF-8 replaced, as who decodes to texts would sign them.
pub fn replaced(params: &[Param]) -> Vec<Param> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_bytes();
    params.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn decoded(encoded: &[u8]) -> Vec<u8> {
    let hex = |at: usize| encoded.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(&b) = encoded.get(at) {
        let escaped = (b == b'%').then(|| hex(at + 1).zip(hex(at + 2))).flatten();
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                bytes.push(byte);
                at += 3;
            }
            None => {
                bytes.push(if b == b'+' { b' ' } else { b });
                at += 1;
            }
        }
    }
    bytes
}

/// A form's text of these pairs.
pub fn encoded<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_encodings_are_read_as_far_as_they_can_be() {
        let form =
            Form::of(&params(b"Body=a+b%20c&Body=second&Empty=&Bare&Odd=%zz%4&&Bytes=%FF%c3%a9&%41=1"));
        for (name, value) in [
            ("Body", Some("a b c")),
            ("Empty", Some("")),
            ("Bare", Some("")),
            ("Odd", Some("%zz%4")),
            ("Bytes", Some("\u{fffd}é")),
            ("A", Some("1")),
            ("Absent", None),
        ] {
            assert_eq!(form.value(name), value, "{name}");
        }
        assert!(!form.is_text());
        assert_eq!(form.get("Empty"), None);
        assert_eq!(form.unique().len(), 6);
    }

    #[test]
    fn a_json_object_is_a_form_too() {
        let form = Form::of_json(br#"{"MessageSid":"SM1","NumMedia":0,"Nothing":null}"#).unwrap();
        assert_eq!((form.value("MessageSid"), form.value("NumMedia")), (Some("SM1"), Some("0")));
        assert_eq!(form.value("Nothing"), Some(""));
        for bad in [&b"[]"[..], b"{", b"", b"\xff"] {
            assert_eq!(Form::of_json(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself_and_anything_decodes_to_something(
            pairs in proptest::collection::vec(("\\PC{1,9}", "\\PC{0,20}"), 0..5),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let text = encoded(pairs.iter().map(|(name, value)| (&**name, &**value)));
            let decoded = params(text.as_bytes());
            let expected: Vec<Param> =
                pairs.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
            prop_assert_eq!(decoded, expected);
            prop_assert!(Form::of(&params(&bytes)).len() <= 100);
        }
    }
}
