//! How an event lies in a segment file. Pure: bytes in, records out.
//!
//! ```text
//! magic(4) length(4) crc32(4) number(8) payload(length)
//! payload: received_at(8) route(1) platform(1+n) id(2+n) conversation(2+n) attributes(4+n) body(rest)
//! ```
//! Little endian. The checksum covers everything behind it and the length. The magic holds bytes that
//! no UTF-8 text has, so that after damage the next record is found again and no message's text can
//! pass for one.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use chatbus_event::{MessageId, Timestamp};

use crate::kept::{Kept, Route};

const MAGIC: [u8; 4] = [0xff, 0xcb, 0x5f, 0xfe];
/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 20;
/// A longer payload is damage: events are far below this, and so a flipped bit in a length cannot
/// make a reader take the rest of the file for one record.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number: dense, growing, never used twice.
    pub(crate) number: u64,
    /// The event.
    pub(crate) kept: Kept,
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A record that ends `end` bytes on.
    Whole { entry: Entry, end: usize },
    /// The beginning of something that needs more bytes than there are.
    Short,
    /// No record begins here; the next place where one may is `next` bytes on.
    Damaged { next: usize },
}

/// Appends a record; `false`, and nothing appended, when the event is too long for one.
pub(crate) fn encode(number: u64, kept: &Kept, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.put_slice(&MAGIC);
    out.put_u64_le(0);
    out.put_u64_le(number);
    out.put_i64_le(kept.received_at.as_millis());
    out.put_u8(match kept.route {
        Route::Ingress => 0,
        Route::DeadLetter => 1,
    });
    let fits = put_short(out, kept.platform.as_bytes())
        && put_middle(out, kept.id.as_str().as_bytes())
        && put_middle(out, clipped(&kept.conversation).as_bytes())
        && put_long(out, &kept.attributes);
    out.put_slice(&kept.body);
    let length = out.len() - start - HEADER_BYTES;
    let Some(length) = u32::try_from(length).ok().filter(|_| fits && length <= MAX_PAYLOAD_BYTES) else {
        out.truncate(start);
        return false;
    };
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&out[start..]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    true
}

/// Reads the record at the beginning of `bytes`. `platform` gives the label of a platform's name.
pub(crate) fn parse(bytes: &Bytes, platform: &dyn Fn(&str) -> &'static str) -> Parsed {
    let looks_right = bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic);
    if !looks_right {
        return Parsed::Damaged { next: next_magic(bytes) };
    }
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Parsed::Short };
    let mut header = &header[4..];
    let length = usize::try_from(header.get_u32_le()).unwrap_or(usize::MAX);
    let crc = header.get_u32_le();
    let number = header.get_u64_le();
    if length > MAX_PAYLOAD_BYTES {
        return Parsed::Damaged { next: next_magic(bytes) };
    }
    let end = HEADER_BYTES + length;
    if bytes.len() < end {
        return Parsed::Short;
    }
    if checksum(&bytes[..end]) != crc {
        return Parsed::Damaged { next: next_magic(bytes) };
    }
    match payload(&bytes.slice(HEADER_BYTES..end), platform) {
        Some(kept) => Parsed::Whole { entry: Entry { number, kept }, end },
        None => Parsed::Damaged { next: end },
    }
}

fn payload(bytes: &Bytes, platform: &dyn Fn(&str) -> &'static str) -> Option<Kept> {
    let mut at = Cursor { bytes, at: 0 };
    let received_at = Timestamp::from_millis(i64::from_le_bytes(*at.take(8)?.first_chunk()?));
    let route = match at.take(1)?.first()? {
        0 => Route::Ingress,
        1 => Route::DeadLetter,
        _ => return None,
    };
    let platform_len = usize::from(*at.take(1)?.first()?);
    let platform = platform(std::str::from_utf8(at.take(platform_len)?).ok()?);
    let id_len = usize::from(u16::from_le_bytes(*at.take(2)?.first_chunk()?));
    let id = MessageId::new(std::str::from_utf8(at.take(id_len)?).ok()?);
    let conversation_len = usize::from(u16::from_le_bytes(*at.take(2)?.first_chunk()?));
    let conversation: Arc<str> = std::str::from_utf8(at.take(conversation_len)?).ok()?.into();
    let attributes_len = usize::try_from(u32::from_le_bytes(*at.take(4)?.first_chunk()?)).ok()?;
    let attributes_at = at.at;
    at.take(attributes_len)?;
    // Copied, not sliced: a slice would hold the whole read buffer for as long as one event waits.
    let attributes = Bytes::copy_from_slice(&bytes[attributes_at..at.at]);
    let body = Bytes::copy_from_slice(&bytes[at.at..]);
    Some(Kept { id, attributes, body, conversation, received_at, platform, route })
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }
}

/// Of the length and of everything behind the checksum.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[4..8]);
    hasher.update(&record[12..]);
    hasher.finalize()
}

/// Where the next record may begin: behind the first byte, at a magic or at its beginning at the end.
pub(crate) fn next_magic(bytes: &[u8]) -> usize {
    (1..bytes.len())
        .find(|&at| bytes[at] == MAGIC[0] && bytes[at..].iter().zip(MAGIC).all(|(b, m)| *b == m))
        .unwrap_or(bytes.len())
}

/// As much of a conversation's name as its length field can say.
fn clipped(name: &str) -> &str {
    &name[..name.floor_char_boundary(usize::from(u16::MAX))]
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    u8::try_from(bytes.len()).map(|n| out.put_u8(n)).is_ok() && put(out, bytes)
}

fn put_middle(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    u16::try_from(bytes.len()).map(|n| out.put_u16_le(n)).is_ok() && put(out, bytes)
}

fn put_long(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    u32::try_from(bytes.len()).map(|n| out.put_u32_le(n)).is_ok() && put(out, bytes)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.put_slice(bytes);
    true
}

#[cfg(test)]
mod tests;
