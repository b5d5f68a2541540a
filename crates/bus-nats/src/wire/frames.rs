//! What the server sends, cut into frames. Pure: bytes in, frames out.
//!
//! A frame borrows from the read buffer: what is answered at once is never copied, and a message that
//! goes on to somebody else is copied once.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use memchr::{memchr, memchr2};

/// Control lines are far shorter; one that never ends is not NATS.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// What the protocol lets a size be; no server takes messages that come near.
const MAX_SIZE: usize = i32::MAX as usize;

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Info(&'a [u8]),
    Ping,
    Pong,
    Ok,
    Error(String),
    Message(Received<'a>),
}

/// A message in the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) sid: u64,
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    /// The header block, empty when there is none.
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// A message of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    pub(crate) reply: Option<Arc<str>>,
    /// The header block, the payload and the subject, one behind the other.
    content: Bytes,
    header_len: usize,
    payload_len: usize,
}

/// What a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A frame, and how many bytes it is of.
    Whole(Frame<'a>, usize),
    /// A part of one. At least so many bytes more are known to belong to it.
    Part(usize),
}

/// Reads the frame that a buffer begins with.
///
/// # Errors
/// When the bytes are not the protocol; the connection is then of no use any more.
pub(crate) fn next(buffer: &[u8]) -> io::Result<Next<'_>> {
    let Some(end) = line_end(buffer) else {
        return if buffer.len() > MAX_LINE_BYTES {
            Err(bad("a line without end"))
        } else {
            Ok(Next::Part(1))
        };
    };
    let line = &buffer[..end];
    match line {
        [b'M' | b'm', b'S' | b's', b'G' | b'g', b' ' | b'\t', args @ ..] => {
            return message(buffer, args, end + 2, false);
        }
        [b'H' | b'h', b'M' | b'm', b'S' | b's', b'G' | b'g', b' ' | b'\t', args @ ..] => {
            return message(buffer, args, end + 2, true);
        }
        _ => {}
    }
    let (verb, rest) = line.split_at(memchr2(b' ', b'\t', line).unwrap_or(line.len()));
    let frame = if verb.eq_ignore_ascii_case(b"PING") {
        Frame::Ping
    } else if verb.eq_ignore_ascii_case(b"PONG") {
        Frame::Pong
    } else if verb.eq_ignore_ascii_case(b"+OK") {
        Frame::Ok
    } else if verb.eq_ignore_ascii_case(b"-ERR") {
        Frame::Error(String::from_utf8_lossy(rest).trim().trim_matches('\'').to_owned())
    } else if verb.eq_ignore_ascii_case(b"INFO") {
        Frame::Info(rest.trim_ascii())
    } else {
        return Err(bad("an unknown verb"));
    };
    Ok(Next::Whole(frame, end + 2))
}

/// Where the first line ends, as far as one may be long.
fn line_end(buffer: &[u8]) -> Option<usize> {
    let reach = &buffer[..buffer.len().min(MAX_LINE_BYTES + 1)];
    let mut from = 0;
    while let Some(at) = memchr(b'\r', &reach[from..]) {
        let at = from + at;
        if reach.get(at + 1) == Some(&b'\n') {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// `MSG subject sid [reply] bytes` or `HMSG subject sid [reply] header-bytes total-bytes`, then the
/// bytes and an end of line.
fn message<'a>(buffer: &'a [u8], args: &'a [u8], start: usize, with_headers: bool) -> io::Result<Next<'a>> {
    let mut rest = std::str::from_utf8(args).map_err(|_| bad("a subject that is no UTF-8"))?;
    let mut parts = [""; 5];
    let mut count = 0;
    while !rest.is_empty() {
        let (part, behind) = match memchr2(b' ', b'\t', rest.as_bytes()) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, ""),
        };
        if !part.is_empty() {
            *parts.get_mut(count).ok_or_else(|| bad("too many arguments"))? = part;
            count += 1;
        }
        rest = behind;
    }
    let sizes = if with_headers { 2 } else { 1 };
    if count != 2 + sizes && count != 3 + sizes {
        return Err(bad("too few arguments"));
    }
    let number = |at: usize| match parts[at].parse::<usize>() {
        Ok(size) if size <= MAX_SIZE => Ok(size),
        _ => Err(bad("a size that is no number")),
    };
    let total = number(count - 1)?;
    let header_len = if with_headers { number(count - 2)? } else { 0 };
    if header_len > total {
        return Err(bad("headers longer than the message"));
    }
    let sid = parts[1].parse().map_err(|_| bad("a subscription that is no number"))?;
    let whole = start + total + 2;
    if buffer.len() < whole {
        return Ok(Next::Part(whole - buffer.len()));
    }
    let (headers, payload) = buffer[start..start + total].split_at(header_len);
    let reply = (count == 3 + sizes).then(|| parts[2]);
    Ok(Next::Whole(Frame::Message(Received { sid, subject: parts[0], reply, headers, payload }), whole))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

// === impl Inbound ===

impl Inbound {
    /// Copies a message, so that one small message that is kept does not keep a whole read buffer.
    pub(crate) fn of(received: &Received<'_>) -> Self {
        let (header_len, payload_len) = (received.headers.len(), received.payload.len());
        let mut content = Vec::with_capacity(header_len + payload_len + received.subject.len());
        content.extend_from_slice(received.headers);
        content.extend_from_slice(received.payload);
        content.extend_from_slice(received.subject.as_bytes());
        Self { reply: received.reply.map(Into::into), content: content.into(), header_len, payload_len }
    }

    pub(crate) fn headers(&self) -> &[u8] {
        self.content.get(..self.header_len).unwrap_or_default()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.content.get(self.header_len..self.header_len + self.payload_len).unwrap_or_default()
    }

    pub(crate) fn subject(&self) -> &str {
        let subject = self.content.get(self.header_len + self.payload_len..).unwrap_or_default();
        std::str::from_utf8(subject).unwrap_or_default()
    }

    pub(crate) fn into_payload(mut self) -> Bytes {
        self.content.truncate(self.header_len + self.payload_len);
        self.content.advance(self.header_len.min(self.content.len()));
        self.content
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(mut bytes: &[u8]) -> io::Result<Vec<Frame<'_>>> {
        let mut frames = Vec::new();
        while let Next::Whole(frame, len) = next(bytes)? {
            frames.push(frame);
            bytes = &bytes[len..];
        }
        Ok(frames)
    }

    const STREAM: &[u8] = b"INFO {\"a\":1}\r\nPING\r\n+OK\r\nPONG\r\n-ERR 'Stale Connection'\r\n\
        MSG a.b 7 3\r\nx\r\n\r\nMSG a 1 r.1 0\r\n\r\nHMSG s 2 r 16 18\r\nNATS/1.0 503\r\n\r\n\xffy\r\n\
        hmsg\t \xc3\xbc\t3  5 5 \r\nabcde\r\n";

    #[test]
    fn every_kind_of_frame_is_read() {
        let frames = all(STREAM).unwrap();
        let message = |sid, subject: &'static str, reply, headers: &'static [u8], payload: &'static [u8]| {
            Frame::Message(Received { sid, subject, reply, headers, payload })
        };
        assert_eq!(
            frames,
            [
                Frame::Info(b"{\"a\":1}"),
                Frame::Ping,
                Frame::Ok,
                Frame::Pong,
                Frame::Error("Stale Connection".into()),
                message(7, "a.b", None, b"", b"x\r\n"),
                message(1, "a", Some("r.1"), b"", b""),
                message(2, "s", Some("r"), b"NATS/1.0 503\r\n\r\n", b"\xffy"),
                message(3, "ü", None, b"abcde", b""),
            ]
        );
    }

    #[test]
    fn a_frame_cut_anywhere_waits_for_its_rest_and_no_longer() {
        let mut begin = 0;
        while begin < STREAM.len() {
            let Next::Whole(frame, len) = next(&STREAM[begin..]).unwrap() else { panic!("at {begin}") };
            for cut in 0..len {
                let Next::Part(missing) = next(&STREAM[begin..begin + cut]).unwrap() else {
                    panic!("{cut} bytes of {frame:?}")
                };
                assert!((1..=len - cut).contains(&missing), "{cut} bytes of {frame:?} miss {missing}");
            }
            assert_eq!(next(&STREAM[begin..begin + len]).unwrap(), Next::Whole(frame, len));
            begin += len;
        }
    }

    #[test]
    fn a_message_of_its_own_says_the_same() {
        let bytes = b"HMSG s 2 r 3 5\r\nabcde\r\n";
        let Next::Whole(Frame::Message(received), _) = next(bytes).unwrap() else { panic!("a message") };
        let own = Inbound::of(&received);
        assert_eq!(
            (own.reply.as_deref(), own.headers(), own.payload()),
            (Some("r"), &b"abc"[..], &b"de"[..])
        );
        assert_eq!(own.into_payload(), &b"de"[..]);
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b" MSG a 1 0\r\n\r\n",
            b"MSG\r\n",
            b"MSGa 1 1\r\n",
            b"HMS a 1 0 0\r\n",
            b"MSG a 1\r\n",
            b"MSG a x 1\r\n",
            b"MSG a -1 1\r\n",
            b"MSG a 1 r r 1\r\n",
            b"MSG a 1 r r r r 1\r\n",
            b"MSG \xff 1 1\r\nx\r\n",
            b"HMSG a 1 5\r\n",
            b"HMSG a 1 5 4\r\nabcd\r\n",
            b"HMSG a 1 x 4\r\nabcd\r\n",
            b"MSG a 1 99999999999999999999\r\n",
            b"MSG a 1 18446744073709551615\r\n",
            b"MSG a 1 2147483648\r\n",
            b"MSG a\r1 1\r\nx\r\n",
        ] {
            assert!(next(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_line_is_as_long_as_it_may_be_and_no_longer() {
        assert!(next(&vec![b'x'; MAX_LINE_BYTES + 1]).is_err());
        assert_eq!(next(&vec![b'\r'; MAX_LINE_BYTES]).unwrap(), Next::Part(1));
        let info = |len: usize| [b"INFO ".as_slice(), &vec![b'x'; len - 5], b"\r\n"].concat();
        assert!(matches!(next(&info(MAX_LINE_BYTES - 1)), Ok(Next::Whole(Frame::Info(_), _))));
        assert!(next(&info(MAX_LINE_BYTES)).is_err());
    }

    proptest! {
        #[test]
        fn any_message_is_read_as_it_was_sent(
            sid in any::<u64>(),
            subject in "[a-zA-Z0-9.ü😀_-]{1,40}",
            reply in proptest::option::of("[a-zA-Z0-9$._-]{1,80}"),
            headers in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            behind in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let total = headers.as_ref().map_or(0, Vec::len) + payload.len();
            let spaced = reply.as_ref().map(|reply| format!("{reply} ")).unwrap_or_default();
            let line = match &headers {
                Some(headers) => format!("HMSG {subject} {sid} {spaced}{} {total}\r\n", headers.len()),
                None => format!("MSG {subject} {sid} {spaced}{total}\r\n"),
            };
            let headers = headers.unwrap_or_default();
            let sent = [line.as_bytes(), &headers, &payload, b"\r\n", &behind].concat();
            let reply = reply.as_deref();
            let received = Received { sid, subject: &subject, reply, headers: &headers, payload: &payload };
            let len = sent.len() - behind.len();
            prop_assert_eq!(next(&sent).unwrap(), Next::Whole(Frame::Message(received), len));
        }

        #[test]
        fn any_bytes_are_a_frame_a_part_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80), verb in 0..4_usize) {
            let bytes = [[&b"MSG "[..], b"HMSG ", b"INFO ", b""][verb], &bytes, b"\r\n"].concat();
            if let Ok(Next::Whole(_, len)) = next(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
