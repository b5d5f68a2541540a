//! Reading back without a group: message by message from each stream's leader.
//!
//! A work queue allows no second consumer, so a scan does not use one at all: it asks for the first
//! message from a place on. Several places are asked for at once, which on a dense stream gives that many
//! messages a round trip.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{BusError, BusErrorKind, Record, Records, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Family, Timestamp};
use futures::future::try_join_all;

use crate::api::{self, Kept, Which};
use crate::link::{Epoch, Link};
use crate::record::record;

/// Places asked for at once, at most.
const MAX_AHEAD: u64 = 32;
/// How long a scan that follows rests when nothing is new: it begins short and doubles.
const FIRST_REST: Duration = Duration::from_millis(10);
const MAX_REST: Duration = Duration::from_millis(250);
/// The last messages that are found by reading from further back hold this many at most.
const MAX_LAST: usize = 100_000;

/// One stream's part of a scan.
#[derive(Debug)]
struct Cursor {
    stream: String,
    subject: String,
    next: u64,
    /// The last place of a scan that does not follow.
    end: Option<u64>,
    /// Places asked for at once: more while each brings a message, fewer where most bring the same.
    ahead: u64,
    /// Read already, not yet given out.
    ready: VecDeque<Record>,
}

struct Scanning {
    link: Arc<Link>,
    epoch: Arc<Epoch>,
    cursors: Vec<Cursor>,
    /// Whose turn it is.
    turn: usize,
    rest: Duration,
    follow: bool,
}

/// Begins a scan.
pub(crate) async fn scan(link: &Arc<Link>, scan: Scan) -> Result<Box<dyn Records>, BusError> {
    let epoch = link.epoch()?;
    let mut cursors = Vec::new();
    match &scan.topics {
        ScanTopics::One(topic) => {
            crate::others::ensure(link, &epoch, topic).await?;
            let subject = link.names.subject(topic).as_str().to_owned();
            cursors.push(cursor(link, &epoch, topic.family(), subject, &scan).await?);
        }
        ScanTopics::Family(family) => cursors.push(cursor(link, &epoch, *family, ">".into(), &scan).await?),
        ScanTopics::All => {
            let all = Family::ALL.map(|family| cursor(link, &epoch, family, ">".into(), &scan));
            cursors = try_join_all(all).await?;
        }
    }
    let link = Arc::clone(link);
    Ok(Box::new(Scanning { link, epoch, cursors, turn: 0, rest: FIRST_REST, follow: scan.follow }))
}

async fn cursor(
    link: &Link,
    epoch: &Epoch,
    family: Family,
    subject: String,
    scan: &Scan,
) -> Result<Cursor, BusError> {
    let stream = link.names.stream(family);
    let info = api::stream(&epoch.session, &stream).await?;
    let info = info.ok_or_else(|| BusError::closed(format!("stream {stream} is gone")))?;
    let (first, last) = (info.state.first_seq.max(1), info.state.last_seq);
    let end = (!scan.follow).then_some(last);
    let mut cursor = Cursor { stream, subject, next: first, end, ahead: 1, ready: VecDeque::new() };
    match scan.from {
        ScanFrom::Oldest => {}
        ScanFrom::New => cursor.next = last + 1,
        ScanFrom::Time(time) => cursor.next = first_since(epoch, &cursor.stream, first, last, time).await?,
        ScanFrom::Last(n) => cursor.read_last(link, epoch, first, last, n).await?,
    }
    Ok(cursor)
}

/// The first place whose message came at or after `time`, by halving: places and times grow together.
async fn first_since(
    epoch: &Epoch,
    stream: &str,
    first: u64,
    last: u64,
    time: Timestamp,
) -> Result<u64, BusError> {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match api::message(&epoch.session, stream, Which::From(middle, ">")).await? {
            Some(kept) if kept.time < time => low = kept.seq + 1,
            // Everything from the middle on is late enough, or removed.
            _ => high = middle,
        }
    }
    Ok(low)
}

// === impl Cursor ===

impl Cursor {
    /// Fills `ready` with the last `n` up to `last`: reads from ever further back until there are as many.
    async fn read_last(
        &mut self,
        link: &Link,
        epoch: &Epoch,
        first: u64,
        last: u64,
        n: u32,
    ) -> Result<(), BusError> {
        let wanted = usize::try_from(n).unwrap_or(MAX_LAST).min(MAX_LAST);
        let mut reach = u64::from(n);
        loop {
            let from = (last + 1).saturating_sub(reach).max(first);
            let mut found = VecDeque::new();
            self.next = from;
            while self.next <= last && wanted > 0 {
                if self.read(link, epoch, last).await? == 0 {
                    break;
                }
                found.append(&mut self.ready);
                while found.len() > wanted {
                    found.pop_front();
                }
            }
            if found.len() >= wanted || from <= first {
                self.ready = found;
                self.next = last + 1;
                return Ok(());
            }
            reach = reach.saturating_mul(4).max(MAX_AHEAD);
        }
    }

    /// Reads on into `ready`, up to `last`; says how many came.
    async fn read(&mut self, link: &Link, epoch: &Epoch, last: u64) -> Result<usize, BusError> {
        if self.next > last {
            return Ok(0);
        }
        let until = self.next.saturating_add(self.ahead - 1).min(last);
        let asked = (self.next..=until)
            .map(|seq| api::message(&epoch.session, &self.stream, Which::From(seq, &self.subject)));
        let kept = self.in_order(try_join_all(asked).await?, last);
        let came = kept.len();
        self.ready.extend(kept.into_iter().filter_map(|kept| kept.into_record(link)));
        self.ahead = match u64::try_from(came).unwrap_or(self.ahead) {
            0 => 1,
            n if n >= self.ahead => (self.ahead * 2).min(MAX_AHEAD),
            n => n,
        };
        Ok(came)
    }

    /// Of the answers for places that follow each other, the messages that nothing can stand before
    /// which was not read; goes on behind the last of them.
    fn in_order(&mut self, answers: Vec<Option<Kept>>, last: u64) -> Vec<Kept> {
        let mut kept: Vec<Kept> = Vec::with_capacity(answers.len());
        // Where a place has nothing behind it, a later one may all the same be answered with a message
        // that came in between; going on there would pass over what came before that one.
        for answer in answers.into_iter().map_while(std::convert::identity) {
            if answer.seq >= self.next && answer.seq <= last {
                self.next = answer.seq + 1;
                kept.push(answer);
            }
        }
        kept
    }
}

// === impl Kept ===

impl Kept {
    /// `None` for a subject that is no topic, which a third party can make.
    pub(crate) fn into_record(self, link: &Link) -> Option<Record> {
        let topic = link.names.topic(&self.subject)?;
        Some(record(topic, self.seq, self.time, &self.headers, self.payload))
    }
}

// === impl Scanning ===

impl Scanning {
    /// The next record, `None` when there is none now.
    async fn advance(&mut self) -> Result<Option<Record>, BusError> {
        for _ in 0..self.cursors.len() {
            let at = self.turn % self.cursors.len();
            let cursor = &mut self.cursors[at];
            while cursor.ready.is_empty() {
                // A scan that follows reads what is there, however far that is by now.
                if cursor.read(&self.link, &self.epoch, cursor.end.unwrap_or(u64::MAX)).await? == 0 {
                    break;
                }
            }
            if let Some(record) = cursor.ready.pop_front() {
                return Ok(Some(record));
            }
            self.turn += 1;
        }
        Ok(None)
    }
}

#[async_trait]
impl Records for Scanning {
    async fn next(&mut self) -> Option<Result<Record, BusError>> {
        loop {
            if self.link.closing.is_cancelled() {
                return None;
            }
            let link = Arc::clone(&self.link);
            let advanced = tokio::select! {
                () = link.closing.cancelled() => return None,
                advanced = self.advance() => advanced,
            };
            match advanced {
                Ok(Some(record)) => {
                    self.rest = FIRST_REST;
                    return Some(Ok(record));
                }
                Ok(None) if !self.follow => return None,
                Ok(None) => {
                    let rest = self.rest;
                    self.rest = (rest * 2).min(MAX_REST);
                    tokio::select! {
                        () = self.link.closing.cancelled() => return None,
                        () = tokio::time::sleep(rest) => {}
                    }
                }
                // Places survive a break, so a scan goes on where it was.
                Err(error) if error.kind() == BusErrorKind::Closed => {
                    self.epoch = self.link.next_epoch(Some(&self.epoch)).await?;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn cursor(next: u64) -> Cursor {
        Cursor { stream: "s".into(), subject: ">".into(), next, end: None, ahead: 1, ready: VecDeque::new() }
    }

    fn read(cursor: &mut Cursor, answers: &[Option<u64>], last: u64) -> Vec<u64> {
        let kept = |seq| Kept {
            subject: "internal.ingress.v1".into(),
            seq,
            time: Timestamp::EPOCH,
            headers: Bytes::new(),
            payload: Bytes::new(),
        };
        let answers = answers.iter().map(|seq| seq.map(kept)).collect();
        cursor.in_order(answers, last).iter().map(|kept| kept.seq).collect()
    }

    #[test]
    fn what_came_while_several_places_were_asked_for_is_not_passed_over() {
        let mut cursor = cursor(5);
        // Place 6 was looked at while it was empty. Then 6 and 7 came, and place 7 was looked at.
        assert_eq!(read(&mut cursor, &[Some(5), None, Some(7)], u64::MAX), [5]);
        assert_eq!(read(&mut cursor, &[Some(6), Some(7), None], u64::MAX), [6, 7]);
        assert_eq!(read(&mut cursor, &[None, Some(9)], u64::MAX), [0_u64; 0]);
        assert_eq!(cursor.next, 8);
    }

    #[test]
    fn one_message_behind_several_places_is_read_once_and_none_beyond_the_end() {
        let mut cursor = cursor(1);
        assert_eq!(read(&mut cursor, &[Some(4), Some(4), Some(4), Some(4), Some(5)], 10), [4, 5]);
        assert_eq!(read(&mut cursor, &[Some(6), Some(11)], 10), [6]);
        assert_eq!(cursor.next, 7);
    }
}
