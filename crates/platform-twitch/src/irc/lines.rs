//! Cuts a stream of bytes into lines.

use std::borrow::Cow;

use super::limits::MAX_LINE_BYTES;

/// Bytes that were read, and where the next line begins in them.
///
/// A line longer than [`MAX_LINE_BYTES`] is cut there, counted, and the rest of it skipped: a server
/// that never ends a line must not fill the memory.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    start: usize,
    /// How far the bytes from `start` on are known to hold no line end.
    searched: usize,
    skipping: bool,
    cut: u64,
}

/// One line, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a>(&'a [u8]);

// === impl LineBuffer ===

impl LineBuffer {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to read into; bytes are appended. Room that lines no longer need is given back first.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Ends the line that is under way, for transports whose messages are whole lines.
    pub fn end_line(&mut self) {
        if self.bytes.last().is_some_and(|last| *last != b'\n') {
            self.bytes.push(b'\n');
        }
    }

    /// Forgets everything: a new connection begins with a new line.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
        self.searched = 0;
        self.skipping = false;
    }

    /// How many lines were cut since the start.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The next whole line. Empty lines are passed over, as IRC says.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let found = memchr::memchr(b'\n', &self.bytes[self.searched..]);
            let (end, next) = match found {
                Some(at) => (self.searched + at, self.searched + at + 1),
                None if self.bytes.len() - self.start >= MAX_LINE_BYTES => {
                    let end = self.start + MAX_LINE_BYTES;
                    (end, self.bytes.len())
                }
                None => {
                    self.searched = self.bytes.len();
                    return None;
                }
            };
            let too_long = end - self.start > MAX_LINE_BYTES || found.is_none();
            let skipped = std::mem::replace(&mut self.skipping, found.is_none());
            let begin = std::mem::replace(&mut self.start, next);
            self.searched = next;
            if skipped {
                continue;
            }
            self.cut += u64::from(too_long);
            let line = &self.bytes[begin..end.min(begin + MAX_LINE_BYTES)];
            let end = line.iter().rposition(|b| *b != b'\r').map_or(0, |last| last + 1);
            if end > 0 {
                return Some(Line(&self.bytes[begin..begin + end]));
            }
        }
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    /// A line from its bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The text. What is not UTF-8 becomes U+FFFD, and the text is owned then.
    pub fn text(&self) -> Cow<'a, str> {
        // The plain check first: it is several times faster than the one that also replaces.
        match std::str::from_utf8(self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(buffer: &mut LineBuffer) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = buffer.next_line() {
            all.push(line.text().into_owned());
        }
        all
    }

    #[test]
    fn lines_are_found_however_the_bytes_arrive() {
        let stream = b"PING :a\r\nPING :b\n\r\n\nPING :c\r\r\nPING";
        for size in 1..stream.len() {
            let mut buffer = LineBuffer::new();
            let mut all = Vec::new();
            for chunk in stream.chunks(size) {
                buffer.space().extend_from_slice(chunk);
                all.extend(lines(&mut buffer));
            }
            assert_eq!(all, ["PING :a", "PING :b", "PING :c"], "in chunks of {size}");
            buffer.end_line();
            assert_eq!(lines(&mut buffer), ["PING"]);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_cut_once_and_the_next_one_is_whole() {
        for size in [1000, 4096, 70_000, 200_000] {
            let mut buffer = LineBuffer::new();
            let mut all = Vec::new();
            let mut stream = vec![b'x'; 3 * MAX_LINE_BYTES];
            stream.extend_from_slice(b"\r\nPING :after\r\n");
            for chunk in stream.chunks(size) {
                buffer.space().extend_from_slice(chunk);
                all.extend(lines(&mut buffer));
                assert!(buffer.bytes.len() <= MAX_LINE_BYTES + size);
            }
            assert_eq!(all.len(), 2, "in chunks of {size}");
            assert_eq!(all[0].len(), MAX_LINE_BYTES);
            assert_eq!(all[1], "PING :after");
            assert_eq!(buffer.cut(), 1);
        }
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_the_bytes_are_kept() {
        let mut buffer = LineBuffer::new();
        buffer.space().extend_from_slice(b"PRIVMSG #a :\xff!\n");
        let line = buffer.next_line().unwrap();
        assert_eq!(line.text(), "PRIVMSG #a :\u{fffd}!");
        assert_eq!(line.bytes(), b"PRIVMSG #a :\xff!");
    }
}
