//! Writes JSON straight into bytes.

use crate::json::plain;

/// A JSON text in the making. Keeps track of commas; nesting is the caller's.
pub(crate) struct Writer {
    out: Vec<u8>,
    /// Whether the next member or item is the first of its object or array.
    first: bool,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), first: true }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn open_object(&mut self) {
        self.out.push(b'{');
        self.first = true;
    }

    pub(crate) fn close_object(&mut self) {
        self.out.push(b'}');
        self.first = false;
    }

    pub(crate) fn open_array(&mut self) {
        self.out.push(b'[');
        self.first = true;
    }

    pub(crate) fn close_array(&mut self) {
        self.out.push(b']');
        self.first = false;
    }

    /// Begins an array's next item.
    pub(crate) fn item(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// Begins a member whose key needs no escaping.
    pub(crate) fn key(&mut self, key: &'static str) {
        let begin: &[u8] = if self.first { b"\"" } else { b",\"" };
        self.first = false;
        self.out.extend_from_slice(begin);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Begins a member with a key from outside.
    pub(crate) fn key_text(&mut self, key: &str) {
        self.item();
        self.text(key);
        self.out.push(b':');
    }

    /// A string, escaped.
    pub(crate) fn text(&mut self, text: &str) {
        // Nearly every text of an event needs no escaping, and looking is far cheaper than escaping.
        if plain(text.as_bytes()) == text.len() {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut self.out, text);
        }
    }

    /// JSON that is there already.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.out.extend_from_slice(json);
    }

    pub(crate) fn number(&mut self, number: i64) {
        let _ = serde_json::to_writer(&mut self.out, &number);
    }

    pub(crate) fn member_text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        self.text(text);
    }

    /// A string known to need no escaping.
    pub(crate) fn member_fixed(&mut self, key: &'static str, text: &str) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    pub(crate) fn member_number(&mut self, key: &'static str, number: i64) {
        self.key(key);
        self.number(number);
    }

    pub(crate) fn member_raw(&mut self, key: &'static str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_is_written_as_a_json_library_would(text in ".{0,200}|[a-z\\\\\"\u{0}-\u{1f}]{0,80}") {
            let mut writer = Writer::with_capacity(0);
            writer.text(&text);
            prop_assert_eq!(writer.finish(), serde_json::to_vec(&text).unwrap());
        }
    }
}
