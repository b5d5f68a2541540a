//! What gateways ask each other, and how an answer is cut into values of the shared state.
//!
//! A question is JSON. An answer is a line of JSON that says what follows it, and the frames as they were
//! sent, one behind the other. It is cut into pages; the first begins with their number, alone on a line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chatbus_state::Key;
use serde::{Deserialize, Serialize};

/// A question to one life of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) epoch: String,
    pub(super) user: String,
    pub(super) wanted: Wanted<Age>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wanted<T> {
    /// What was sent after this place of the instance's own.
    After(u64),
    /// What was sent since this moment, and perhaps some of what was sent shortly before.
    Since(T),
}

/// How long ago something was, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Age(u64);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Some of it is gone, or it was another life.
    Gone,
    /// All of it.
    Held { frames: Vec<Kept>, known: Vec<Arc<str>>, gap: Option<Duration> },
}

/// A frame of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) delivery_id: Arc<str>,
    pub(super) age: Duration,
    pub(super) frame: Bytes,
}

#[derive(Default, Serialize, Deserialize)]
struct Head {
    is_whole: bool,
    frames: Vec<(u64, String, Age, usize)>,
    known: Vec<String>,
    gap: Option<Age>,
}

/// The most of an answer that is in one value: with what stands before it, less than a value may have.
const PAGE_BYTES: usize = 60 * 1024;
/// A history is at most 512 KiB and a hundred frames, and what is said of these; what is more is not told.
const MAX_PAGES: usize = 12;

// === impl Question ===

impl Question {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

// === impl Wanted ===

impl Wanted<Instant> {
    /// The same, as it is told at a moment.
    pub(super) fn told_at(self, now: Instant) -> Wanted<Age> {
        match self {
            Self::After(seq) => Wanted::After(seq),
            Self::Since(then) => Wanted::Since(Age::of(now.saturating_duration_since(then))),
        }
    }
}

// === impl Age ===

impl Age {
    fn of(age: Duration) -> Self {
        Self(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

// === impl Answer ===

impl Answer {
    /// Its pages; one that says that it is gone, when there are too many.
    pub(super) fn pages(&self) -> Vec<Bytes> {
        let whole = self.encode();
        let parts: Vec<&[u8]> = whole.chunks(PAGE_BYTES).collect();
        if parts.len() > MAX_PAGES {
            return Self::Gone.pages();
        }
        let mut pages: Vec<Bytes> = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        if let Some(first) = pages.first_mut() {
            *first = [format!("{}\n", parts.len()).as_bytes(), first].concat().into();
        }
        pages
    }

    fn encode(&self) -> Bytes {
        let mut head = Head::default();
        let mut bodies: &[Kept] = &[];
        if let Self::Held { frames, known, gap } = self {
            let row =
                |kept: &Kept| (kept.seq, kept.delivery_id.to_string(), Age::of(kept.age), kept.frame.len());
            head = Head {
                is_whole: true,
                frames: frames.iter().map(row).collect(),
                known: known.iter().map(ToString::to_string).collect(),
                // What began longer ago is the safe side.
                gap: gap.map(|gap| Age(Age::of(gap).0.saturating_add(1))),
            };
            bodies = frames;
        }
        let mut out = BytesMut::from(&*serde_json::to_vec(&head).unwrap_or_default());
        out.extend_from_slice(b"\n");
        bodies.iter().for_each(|kept| out.extend_from_slice(&kept.frame));
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        if !head.is_whole {
            return Some(Self::Gone);
        }
        let mut rest = bytes.slice(end + 1..);
        let mut frames = Vec::new();
        for (seq, delivery_id, age, len) in head.frames {
            if len > rest.len() {
                return None;
            }
            let frame = rest.split_to(len);
            std::str::from_utf8(&frame).ok()?;
            frames.push(Kept { seq, delivery_id: delivery_id.into(), age: age.duration(), frame });
        }
        let known = head.known.into_iter().map(Arc::from).collect();
        rest.is_empty().then(|| Self::Held { frames, known, gap: head.gap.map(Age::duration) })
    }
}

/// The keys of the first so many pages of an answer.
pub(super) fn keys(id: &str, pages: usize) -> Vec<Key> {
    (0..pages).filter_map(|page| Key::parse(&format!("{id}.{page}")).ok()).collect()
}

/// How many pages an answer has, by its first.
pub(super) fn pages(first: &Bytes) -> Option<usize> {
    let end = first.iter().take(4).position(|byte| *byte == b'\n')?;
    let pages = std::str::from_utf8(&first[..end]).ok()?.parse().ok()?;
    (1..=MAX_PAGES).contains(&pages).then_some(pages)
}

/// The answer of these pages; `None` when they are none.
pub(super) fn join(pages: &[Bytes]) -> Option<Answer> {
    let first = pages.first()?;
    let begin = first.iter().take(4).position(|byte| *byte == b'\n')? + 1;
    let mut whole = BytesMut::from(&first[begin..]);
    pages.iter().skip(1).for_each(|page| whole.extend_from_slice(page));
    Answer::decode(&whole.freeze())
}

#[cfg(test)]
mod tests {
    use chatbus_state::MAX_VALUE_BYTES;

    use super::*;

    fn held(frames: &[(&str, usize)], gap: Option<u64>) -> Answer {
        let kept = |(n, (delivery, bytes)): (u64, &(&str, usize))| Kept {
            seq: n,
            delivery_id: (*delivery).into(),
            age: Duration::from_millis(n),
            frame: vec![b'x'; *bytes].into(),
        };
        let gap = gap.map(Duration::from_micros);
        Answer::Held { frames: (1..).zip(frames).map(kept).collect(), known: vec!["k".into()], gap }
    }

    #[test]
    fn an_answer_survives_its_pages() {
        let large = [("a", 10), ("b", 250 * 1024), ("c", 0), ("d", 250 * 1024), ("\"\n", 7)];
        for answer in [Answer::Gone, held(&[], None), held(&[("a", 3)], None), held(&large, None)] {
            let cut = answer.pages();
            assert!(cut.iter().all(|page| page.len() <= MAX_VALUE_BYTES));
            assert_eq!(pages(&cut[0]), Some(cut.len()));
            assert_eq!(join(&cut), Some(answer));
        }
        let Some(Answer::Held { gap, .. }) = join(&held(&[], Some(1_000)).pages()) else { panic!("held") };
        assert_eq!(gap, Some(Duration::from_micros(1_001)), "never later than it was");
    }

    #[test]
    fn what_is_too_large_is_gone_and_not_cut() {
        let cut = held(&[("a", MAX_PAGES * PAGE_BYTES)], None).pages();
        assert_eq!((cut.len(), join(&cut)), (1, Some(Answer::Gone)));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let whole = held(&[("a", 100), ("b", 100 * 1024)], None).pages();
        assert_eq!(join(&whole[..1]), None, "a page is missing");
        assert_eq!(join(&[whole.clone(), whole].concat()), None, "there is more");
        for bad in [
            &b""[..],
            b"1",
            b"x\n{}\n",
            b"1\n{}\n",
            b"1\n{\"is_whole\":true,\"frames\":[[1,\"a\",0,5]],\"known\":[],\"gap\":null}\nabc",
            b"1\n{\"is_whole\":true,\"frames\":[[1,\"a\",0,1]],\"known\":[],\"gap\":null}\n\xff",
            b"1\n{\"is_whole\":true,\"frames\":[[1,\"a\",0,18446744073709551615]],\"known\":[],\"gap\":null}\n",
        ] {
            assert_eq!(join(&[Bytes::from_static(bad)]), None, "{}", String::from_utf8_lossy(bad));
        }
        for bad in [&b"0\n"[..], b"13\n", b"-1\n", b"99999\n", b"", b"1"] {
            assert_eq!(pages(&Bytes::from_static(bad)), None);
        }
    }
}
