//! Reading back without a group: a batch at a time from each family, the earliest message first.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use chatbus_bus::{BusError, Record, Records, Scan, ScanTopics};
use chatbus_event::Family;
use tokio::sync::watch;

use crate::bus::{Threads, ask};
use crate::shared::{Read, ScanPlace, Shared};

/// The records of one scan.
pub(crate) struct EmbeddedRecords {
    shared: Arc<Shared>,
    parts: Vec<Part>,
    follow: bool,
    commits: watch::Receiver<u64>,
    _threads: Arc<Threads>,
}

/// One family, or one topic of it.
struct Part {
    place: ScanPlace,
    after: u64,
    upto: u64,
    read: VecDeque<Record>,
    /// Nothing is left up to `upto`, or since the last commit seen.
    ended: bool,
}

/// The families that a scan reads.
pub(crate) fn places(topics: ScanTopics) -> Vec<ScanPlace> {
    match topics {
        ScanTopics::One(topic) => vec![ScanPlace { family: topic.family(), topic: Some(topic) }],
        ScanTopics::Family(family) => vec![ScanPlace { family, topic: None }],
        ScanTopics::All => Family::ALL.map(|family| ScanPlace { family, topic: None }).into(),
    }
}

// === impl EmbeddedRecords ===

impl EmbeddedRecords {
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        scan: Scan,
        threads: Arc<Threads>,
    ) -> Result<Self, BusError> {
        let commits = shared.commits.subscribe();
        let places = places(scan.topics);
        let wanted = places.clone();
        let begun = ask(&shared, |reply| Read::Begin { places: wanted, from: scan.from, reply }).await?;
        let part = |(place, (after, head)): (ScanPlace, (u64, u64))| {
            let upto = if scan.follow { u64::MAX } else { head };
            Part { place, after, upto, read: VecDeque::new(), ended: after >= upto }
        };
        let parts = places.into_iter().zip(begun).map(part).collect();
        Ok(Self { shared, parts, follow: scan.follow, commits, _threads: threads })
    }

    /// Reads on wherever nothing read is left.
    async fn fill(&mut self) -> Result<(), BusError> {
        for part in self.parts.iter_mut().filter(|part| part.read.is_empty() && !part.ended) {
            let (place, after, upto) = (part.place.clone(), part.after, part.upto);
            let records = ask(&self.shared, |reply| Read::Chunk { place, after, upto, reply }).await?;
            match records.last() {
                Some(last) => part.after = last.seq,
                None => part.ended = true,
            }
            part.read.extend(records);
        }
        Ok(())
    }

    /// The earliest of what is read; each family keeps its order.
    fn pop(&mut self) -> Option<Record> {
        let first = |part: &&mut Part| part.read.front().map(|record| record.published_at);
        let waiting = self.parts.iter_mut().filter(|part| !part.read.is_empty());
        waiting.min_by_key(first)?.read.pop_front()
    }
}

#[async_trait]
impl Records for EmbeddedRecords {
    async fn next(&mut self) -> Option<Result<Record, BusError>> {
        loop {
            if self.shared.closing.is_cancelled() {
                return None;
            }
            // Seen before reading, so that a commit in between is noticed after it; and what is seen opens
            // every part again, since a part that had ended may be what the commit was about.
            if self.follow && self.commits.has_changed().unwrap_or(false) {
                self.commits.borrow_and_update();
                self.parts.iter_mut().for_each(|part| part.ended = false);
            }
            if let Err(error) = self.fill().await {
                return (!self.shared.closing.is_cancelled()).then_some(Err(error));
            }
            if let Some(record) = self.pop() {
                return Some(Ok(record));
            }
            if !self.follow {
                return None;
            }
            tokio::select! {
                () = self.shared.closing.cancelled() => return None,
                changed = self.commits.changed() => changed.ok()?,
            }
            self.parts.iter_mut().for_each(|part| part.ended = false);
        }
    }
}
