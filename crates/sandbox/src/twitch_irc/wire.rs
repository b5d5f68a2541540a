//! Lines that clients send: cut out of a byte stream with a bound, and taken apart. Written for this
//! crate alone: a fake that shares a parser with what it tests would share its mistakes.

use std::collections::BTreeMap;

/// Longer lines are dropped whole and counted. Twitch takes 512 bytes and 8 KiB of tags.
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;

/// Parameters beyond this are dropped, as RFC 1459 allows at most 15.
const MAX_PARAMS: usize = 15;

/// Cuts bytes into lines at LF; a CR before it belongs to the ending.
#[derive(Debug, Default)]
pub(crate) struct LineCutter {
    partial: Vec<u8>,
    skipping: bool,
    /// Lines dropped for their length.
    pub(crate) overlong: u64,
}

/// One line of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientLine<'a> {
    /// Tags with their escapes undone; without the client-only `+` kept apart.
    pub(crate) tags: BTreeMap<&'a str, String>,
    /// As sent.
    pub(crate) command: &'a str,
    /// The last may hold spaces.
    pub(crate) params: Vec<&'a str>,
}

// === impl LineCutter ===

impl LineCutter {
    /// Calls `on_line` for every line that `bytes` ends.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut on_line: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            let (head, tail) = rest.split_at(at);
            rest = tail.get(1..).unwrap_or_default();
            if self.skipping {
                self.skipping = false;
            } else if self.partial.len() + head.len() > MAX_LINE_BYTES {
                self.partial.clear();
                self.overlong += 1;
            } else if self.partial.is_empty() {
                on_line(without_cr(head));
            } else {
                self.partial.extend_from_slice(head);
                on_line(without_cr(&self.partial));
                self.partial.clear();
            }
        }
        if self.skipping {
            return;
        }
        if self.partial.len() + rest.len() > MAX_LINE_BYTES {
            self.partial = Vec::new();
            self.skipping = true;
            self.overlong += 1;
        } else {
            self.partial.extend_from_slice(rest);
        }
    }

    /// Ends the line in hand: a WebSocket frame ends its last line with or without CRLF.
    pub(crate) fn end(&mut self, mut on_line: impl FnMut(&[u8])) {
        self.skipping = false;
        if !self.partial.is_empty() {
            on_line(without_cr(&self.partial));
            self.partial.clear();
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

// === impl ClientLine ===

impl<'a> ClientLine<'a> {
    /// Takes a line apart; `None` when it holds no command.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let mut rest = line.trim_start_matches(' ');
        let mut tags = BTreeMap::new();
        if let Some(tagged) = rest.strip_prefix('@') {
            let (text, after) = tagged.split_once(' ')?;
            for tag in text.split(';').filter(|tag| !tag.is_empty()) {
                let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
                tags.insert(key, unescape(value));
            }
            rest = after.trim_start_matches(' ');
        }
        if rest.starts_with(':') {
            rest = rest.split_once(' ')?.1.trim_start_matches(' ');
        }
        let (command, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if command.is_empty() {
            return None;
        }
        let mut params = Vec::new();
        loop {
            rest = rest.trim_start_matches(' ');
            if let Some(trailing) = rest.strip_prefix(':') {
                params.push(trailing);
                break;
            }
            if rest.is_empty() || params.len() == MAX_PARAMS {
                break;
            }
            let (param, after) = rest.split_once(' ').unwrap_or((rest, ""));
            params.push(param);
            rest = after;
        }
        Some(Self { tags, command, params })
    }

    /// The parameter at this place, or nothing.
    pub(crate) fn param(&self, place: usize) -> &'a str {
        self.params.get(place).copied().unwrap_or_default()
    }
}

/// A tag's value as it stands in a line (IRCv3 message tags).
pub(crate) fn escape(value: &str, into: &mut String) {
    for character in value.chars() {
        match character {
            ';' => into.push_str("\\:"),
            ' ' => into.push_str("\\s"),
            '\\' => into.push_str("\\\\"),
            '\r' => into.push_str("\\r"),
            '\n' => into.push_str("\\n"),
            other => into.push(other),
        }
    }
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some(':') => out.push(';'),
            Some('s') => out.push(' '),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let mut cutter = LineCutter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            cutter.feed(piece, |line| lines.push(line.to_vec()));
        }
        (lines, cutter.overlong)
    }

    #[test]
    fn lines_are_cut_the_same_wherever_the_reads_end() {
        let bytes = b"PING :a\r\nPING :b\nNICK \xff\r\n";
        let whole = cut(&[bytes]);
        assert_eq!(whole.0, [b"PING :a".to_vec(), b"PING :b".to_vec(), b"NICK \xff".to_vec()]);
        for at in 0..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(cut(&[head, tail]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_dropped_and_the_next_one_read() {
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        let (lines, overlong) = cut(&[&long, &long, b"\r\nPING\r\n"]);
        assert_eq!((lines, overlong), (vec![b"PING".to_vec()], 1));
        let (lines, overlong) = cut(&[&[long.as_slice(), b"\nPING\n"].concat()]);
        assert_eq!((lines, overlong), (vec![b"PING".to_vec()], 1));
    }

    #[test]
    fn a_line_is_taken_apart() {
        let line =
            ClientLine::parse("@reply-parent-msg-id=ab;client-nonce=x\\sy;+z PRIVMSG #c :hello :there ");
        let line = line.expect("a line");
        assert_eq!((line.command, line.params.as_slice()), ("PRIVMSG", &["#c", "hello :there "][..]));
        assert_eq!(line.tags["client-nonce"], "x y");
        assert_eq!(line.tags["+z"], "");
        let line = ClientLine::parse(":who CAP  REQ   twitch.tv/tags").expect("a line");
        assert_eq!((line.command, line.params.as_slice()), ("CAP", &["REQ", "twitch.tv/tags"][..]));
        for nothing in ["", "   ", "@a=b", "@a=b ", ":who", ":who "] {
            assert_eq!(ClientLine::parse(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_tag_value_comes_back_from_its_escapes() {
        let value = "a;b c\\d\r\né";
        let mut escaped = String::new();
        escape(value, &mut escaped);
        assert_eq!(escaped, "a\\:b\\sc\\\\d\\r\\né");
        assert_eq!(unescape(&escaped), value);
        assert_eq!(unescape("end\\"), "end");
    }
}
