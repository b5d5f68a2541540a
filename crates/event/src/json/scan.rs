//! The grammar of RFC 8259, checked without building anything.

use crate::words::{below, equal};

/// How deeply arrays and objects may be nested.
pub const MAX_DEPTH: usize = 100;

/// Where and why some bytes are not JSON that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct JsonError {
    /// The offset of the byte that is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Where something stands in a text.
pub(super) type Span = std::ops::Range<usize>;

/// A position in bytes that are known to be UTF-8.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Checks that the bytes are one value and nothing else; gives the range of the value. When it is an
    /// object, hands over each of its members on the way.
    pub(super) fn document(bytes: &'a [u8], member: impl FnMut(Span, Span)) -> Result<Span, JsonError> {
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(JsonError { offset: error.valid_up_to(), what: "bytes that are not UTF-8" });
        }
        let mut scanner = Self::new(bytes);
        scanner.space();
        let start = scanner.at;
        match scanner.peek() {
            Some(b'{') => scanner.object(0, member)?,
            _ => scanner.value(0)?,
        }
        let end = scanner.at;
        scanner.space();
        if scanner.at == bytes.len() { Ok(start..end) } else { Err(scanner.error("something after the end")) }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn error(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at, what }
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(what))
    }

    /// One value at `depth` open arrays and objects; stands behind it afterwards.
    pub(super) fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth, |_, _| {}),
            Some(b'[') => self.array(depth, |_| {}),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err(self.error("no value")),
            None => Err(self.error("the end where a value belongs")),
        }
    }

    /// An object; hands over where each key, with its quotes, and each value stand. The depth limit also
    /// bounds the recursion.
    pub(super) fn object(
        &mut self,
        depth: usize,
        mut member: impl FnMut(Span, Span),
    ) -> Result<(), JsonError> {
        if self.opens_and_closes(depth, b'}')? {
            return Ok(());
        }
        loop {
            let key = self.at;
            self.string()?;
            let key = key..self.at;
            self.space();
            self.expect(b':', "no colon after a key")?;
            self.space();
            let value = self.at;
            self.value(depth + 1)?;
            member(key, value..self.at);
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    /// An array; hands over where each value stands.
    pub(super) fn array(&mut self, depth: usize, mut each: impl FnMut(Span)) -> Result<(), JsonError> {
        if self.opens_and_closes(depth, b']')? {
            return Ok(());
        }
        loop {
            let value = self.at;
            self.value(depth + 1)?;
            each(value..self.at);
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    /// Steps into an object or array; whether it is an empty one, and over.
    fn opens_and_closes(&mut self, depth: usize, close: u8) -> Result<bool, JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error("more than 100 levels"));
        }
        self.at += 1;
        self.space();
        let over = self.peek() == Some(close);
        self.at += usize::from(over);
        Ok(over)
    }

    /// Behind a member or an element: whether that was the last.
    fn ends(&mut self, close: u8) -> Result<bool, JsonError> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.error("neither a comma nor the end")),
        }
    }

    /// A string; lone surrogates are allowed in escapes, as the grammar does.
    pub(super) fn string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"', "no string")?;
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("the end inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return Err(self.error("an escape without four hex digits"));
                    }
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(self.error("an unknown escape")),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.error("no digit in a number")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.error("no digit in a number"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.error("an unknown word"))
    }
}

/// How many bytes stand before the next quote, backslash or control character: most of what an event
/// is made of, so eight are looked at at once.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let special = below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
        if special != 0 {
            return bytes.len() - rest.len() + special.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    bytes.len() - rest.len() + rest.iter().position(special).unwrap_or(rest.len())
}
