//! What the server sends, cut into frames. Pure: bytes in, frames out.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

/// Control lines are far shorter; one that never ends is not NATS.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Info(Bytes),
    Ping,
    Pong,
    Ok,
    Error(String),
    Message { sid: u64, message: Inbound },
}

/// A message from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    /// The header block, empty when there is none.
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

/// Takes the next whole frame off the buffer; `None` when it is not all there yet.
///
/// # Errors
/// When the bytes are not the protocol; the connection is then of no use any more.
pub(crate) fn take(buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    let Some(end) = buffer.windows(2).take(MAX_LINE_BYTES).position(|pair| pair == b"\r\n") else {
        return if buffer.len() > MAX_LINE_BYTES { Err(bad("a line without end")) } else { Ok(None) };
    };
    let line = &buffer[..end];
    let verb_end = line.iter().position(|b| *b == b' ' || *b == b'\t').unwrap_or(line.len());
    let (verb, rest) = line.split_at(verb_end);
    if verb.eq_ignore_ascii_case(b"MSG") || verb.eq_ignore_ascii_case(b"HMSG") {
        return message(buffer, end, verb_end, verb_end == 4);
    }
    let frame = if verb.eq_ignore_ascii_case(b"PING") {
        Frame::Ping
    } else if verb.eq_ignore_ascii_case(b"PONG") {
        Frame::Pong
    } else if verb.eq_ignore_ascii_case(b"+OK") {
        Frame::Ok
    } else if verb.eq_ignore_ascii_case(b"-ERR") {
        Frame::Error(String::from_utf8_lossy(rest).trim().trim_matches('\'').to_owned())
    } else if verb.eq_ignore_ascii_case(b"INFO") {
        Frame::Info(Bytes::copy_from_slice(rest.trim_ascii()))
    } else {
        return Err(bad("an unknown verb"));
    };
    buffer.advance(end + 2);
    Ok(Some(frame))
}

/// `MSG subject sid [reply] bytes` or `HMSG subject sid [reply] header-bytes total-bytes`, then the
/// bytes and an end of line.
fn message(
    buffer: &mut BytesMut,
    end: usize,
    args_at: usize,
    with_headers: bool,
) -> io::Result<Option<Frame>> {
    let args = std::str::from_utf8(&buffer[args_at..end]).map_err(|_| bad("a subject that is no UTF-8"))?;
    let mut parts = [""; 5];
    let mut count = 0;
    for part in args.split_ascii_whitespace() {
        *parts.get_mut(count).ok_or_else(|| bad("too many arguments"))? = part;
        count += 1;
    }
    let sizes = if with_headers { 2 } else { 1 };
    if count != 2 + sizes && count != 3 + sizes {
        return Err(bad("too few arguments"));
    }
    let number = |at: usize| parts[at].parse::<usize>().map_err(|_| bad("a size that is no number"));
    let total = number(count - 1)?;
    let header_len = if with_headers { number(count - 2)? } else { 0 };
    if header_len > total {
        return Err(bad("headers longer than the message"));
    }
    let sid = parts[1].parse().map_err(|_| bad("a subscription that is no number"))?;
    let whole = end + 2 + total + 2;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let body = &buffer[end + 2..end + 2 + total];
    // Copied, so that one small message that is kept does not keep a whole read buffer.
    let (headers, payload) = body.split_at(header_len);
    let message = Inbound {
        subject: parts[0].to_owned(),
        reply: (count == 3 + sizes).then(|| parts[2].to_owned()),
        headers: Bytes::copy_from_slice(headers),
        payload: Bytes::copy_from_slice(payload),
    };
    buffer.advance(whole);
    Ok(Some(Frame::Message { sid, message }))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> io::Result<Vec<Frame>> {
        let mut buffer = BytesMut::from(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = take(&mut buffer)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    const STREAM: &[u8] = b"INFO {\"a\":1}\r\nPING\r\n+OK\r\nPONG\r\n-ERR 'Stale Connection'\r\n\
        MSG a.b 7 3\r\nx\r\n\r\nMSG a 1 r.1 0\r\n\r\nHMSG s 2 r 16 18\r\nNATS/1.0 503\r\n\r\n\xffy\r\n";

    #[test]
    fn every_kind_of_frame_is_read() {
        let frames = all(STREAM).unwrap();
        let message =
            |sid, subject: &str, reply: Option<&str>, headers: &'static [u8], payload: &'static [u8]| {
                Frame::Message {
                    sid,
                    message: Inbound {
                        subject: subject.into(),
                        reply: reply.map(Into::into),
                        headers: Bytes::from_static(headers),
                        payload: Bytes::from_static(payload),
                    },
                }
            };
        assert_eq!(
            frames,
            [
                Frame::Info(Bytes::from_static(b"{\"a\":1}")),
                Frame::Ping,
                Frame::Ok,
                Frame::Pong,
                Frame::Error("Stale Connection".into()),
                message(7, "a.b", None, b"", b"x\r\n"),
                message(1, "a", Some("r.1"), b"", b""),
                message(2, "s", Some("r"), b"NATS/1.0 503\r\n\r\n", b"\xffy"),
            ]
        );
    }

    #[test]
    fn frames_cut_anywhere_are_read_the_same() {
        let whole = all(STREAM).unwrap();
        for step in [1, 2, 3, 7] {
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for chunk in STREAM.chunks(step) {
                buffer.extend_from_slice(chunk);
                while let Some(frame) = take(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, whole, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a x 1\r\n",
            b"MSG a 1 r r 1\r\n",
            b"HMSG a 1 5 4\r\nabcd\r\n",
            b"MSG a 1 99999999999999999999\r\n",
        ] {
            assert!(all(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(all(&vec![b'x'; MAX_LINE_BYTES + 1]).is_err());
    }
}
