//! Attributes as one JSON object, so that they read well in the tables and `json_extract` works.

use std::fmt;

use chatbus_event::Attributes;
use serde_json::de::StrRead;

/// Writes the object; order and case of the names are kept.
pub(crate) fn attributes_to_json(attributes: &Attributes, out: &mut String) {
    out.clear();
    out.push('{');
    for (n, (name, value)) in attributes.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_text(out, name);
        out.push(':');
        push_text(out, value);
    }
    out.push('}');
}

/// Reads it back. Text that is no such object gives no attributes: the body is the truth.
pub(crate) fn attributes_from_json(text: &str) -> Attributes {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Attributes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
            let mut attributes = Attributes::with_capacity(12);
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                attributes.set_named(&name, &value);
            }
            Ok(attributes)
        }
    }
    let mut json = serde_json::Deserializer::new(StrRead::new(text));
    serde::Deserializer::deserialize_map(&mut json, Pairs).unwrap_or_default()
}

fn push_text(out: &mut String, text: &str) {
    // Attribute values hold no control characters; these two are all that JSON asks to escape.
    out.push('"');
    if text.bytes().any(|b| b == b'"' || b == b'\\') {
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
    } else {
        out.push_str(text);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_in_order_case_and_content() {
        let attributes: Attributes =
            [("correlationId", "c\"1\\"), ("CE-Type", "💬 é"), ("\"odd\\name", "")].into_iter().collect();
        let mut json = String::from("left over");
        attributes_to_json(&attributes, &mut json);
        assert_eq!(attributes_from_json(&json), attributes);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        attributes_to_json(&Attributes::new(), &mut json);
        assert_eq!(json, "{}");
    }

    #[test]
    fn damaged_text_gives_no_attributes() {
        assert!(attributes_from_json("[1]").is_empty());
        assert!(attributes_from_json("").is_empty());
    }
}
