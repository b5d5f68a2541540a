//! The grammar of RFC 8259, checked without building anything.

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

    /// Checks that the bytes are one value and nothing else; gives the range of the value.
    pub(super) fn document(bytes: &'a [u8]) -> Result<(usize, usize), JsonError> {
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(JsonError { offset: error.valid_up_to(), what: "bytes that are not UTF-8" });
        }
        let mut scanner = Self::new(bytes);
        scanner.space();
        let start = scanner.at;
        scanner.value(0)?;
        let end = scanner.at;
        scanner.space();
        if scanner.at == bytes.len() {
            Ok((start, end))
        } else {
            Err(scanner.error("something after the end"))
        }
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
            Some(b'{') => self.nested(depth, b'}', true),
            Some(b'[') => self.nested(depth, b']', false),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err(self.error("no value")),
            None => Err(self.error("the end where a value belongs")),
        }
    }

    /// An object (`keyed`) or an array. The depth limit also bounds the recursion.
    fn nested(&mut self, depth: usize, close: u8, keyed: bool) -> Result<(), JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error("more than 100 levels"));
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if keyed {
                self.string()?;
                self.space();
                self.expect(b':', "no colon after a key")?;
                self.space();
            }
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("neither a comma nor the end")),
            }
            self.space();
        }
    }

    /// A string; lone surrogates are allowed in escapes, as the grammar does.
    pub(super) fn string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"', "no string")?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..=0x1f) => return Err(self.error("a control character in a string")),
                Some(_) => self.at += 1,
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
