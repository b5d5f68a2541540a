//! The reader's thread: reads back what members, scans and the lag ask for, beside the writer.
//!
//! In WAL mode a reader sees the last commit and disturbs no writer. Each reading is short, at most
//! a batch, so that none keeps the log from beginning anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chatbus_bus::{Record, ScanFrom, limits};
use chatbus_event::{Family, Topic};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::{bus_error, closed};
use crate::family;
use crate::group::{BATCH, Group, Plan};
use crate::queue::Woken;
use crate::shared::{Command, Read, ScanPlace, Shared, from_sql, to_sql};
use crate::table::{self, Names, Range};

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    db: Connection,
    names: Names,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, db: Connection) -> Self {
        Self { shared, db, names: Names::default() }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(&mut self) {
        let mut requests = Vec::new();
        while self.shared.reads.take(&mut requests, 64, usize::MAX, None) == Woken::Items {
            if self.shared.killed.load(Ordering::Acquire) {
                return;
            }
            for request in requests.drain(..) {
                self.one(request);
            }
        }
    }

    fn one(&mut self, request: Read) {
        // Whoever asked may have gone; then the answer is for nobody.
        match request {
            Read::Fill { group, plan } => self.fill(&group, &plan),
            Read::Fetch { topic, seq, reply } => {
                drop(reply.send(self.fetch(&topic, seq).map_err(|e| bus_error("read a message", &e))));
            }
            Read::Begin { places, from, reply } => {
                let begun: Result<Vec<_>, _> = places.iter().map(|place| self.begin(place, from)).collect();
                drop(reply.send(begun.map_err(|e| bus_error("begin to read", &e))));
            }
            Read::Chunk { place, after, upto, reply } => {
                let records = self.chunk(&place, Range { after, upto, limit: BATCH });
                drop(reply.send(records.map_err(|e| bus_error("read messages", &e))));
            }
            Read::Ages { firsts, reply } => {
                let ages: Result<Vec<_>, _> =
                    firsts.iter().map(|(group, first)| self.age(group, *first)).collect();
                drop(reply.send(ages.map_err(|e| bus_error("read the age of messages", &e))));
            }
            Read::Counts { family, reply } => {
                drop(reply.send(self.counts(family).map_err(|e| bus_error("count messages", &e))));
            }
        }
    }

    fn fill(&mut self, group: &Arc<Group>, plan: &Plan) {
        let (records, upto) = match self.read_plan(group, plan) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(
                    event = "bus.read.failed",
                    errorCode = "sqlite",
                    topic = group.family.label(),
                    reason = %error,
                    "messages could not be read back; it is tried again"
                );
                return group.lock().not_filled(plan, self.shared.runtime.clock.instant());
            }
        };
        let mut state = group.lock();
        let (entries, gone) = state.sort_out(plan, records);
        state.filled(plan, entries, &gone, upto);
        drop(state);
        if !gone.is_empty() {
            // If the bus closes now, the next one finds the same.
            let gone = Command::Gone { group: Arc::clone(group), seqs: gone };
            let _ = self.shared.writes.push_bounded_elsewhere(gone);
        }
    }

    fn read_plan(&mut self, group: &Group, plan: &Plan) -> rusqlite::Result<(Vec<(Record, u64)>, u64)> {
        match plan {
            Plan::After(after, head) => {
                let topic = family::has_many_topics(group.family).then_some(group.topic_id);
                let range = Range { after: *after, upto: *head, limit: BATCH };
                let (records, ended) =
                    table::read(&self.db, &mut self.names, &self.shared.prefix, group.family, topic, range)?;
                let last = records.last().map_or(*after, |(record, _)| record.seq);
                Ok((records, if ended { *head } else { last }))
            }
            Plan::These(seqs) => {
                let mut records = Vec::with_capacity(seqs.len());
                for seq in seqs {
                    let read =
                        table::read_one(&self.db, &mut self.names, &self.shared.prefix, group.family, *seq)?;
                    records.extend(read);
                }
                Ok((records, 0))
            }
        }
    }

    fn fetch(&mut self, topic: &Topic, seq: u64) -> rusqlite::Result<Option<Record>> {
        let read = table::read_one(&self.db, &mut self.names, &self.shared.prefix, topic.family(), seq)?;
        Ok(read.map(|(record, _)| record).filter(|record| record.topic == *topic))
    }

    fn topic_id(&mut self, topic: &Topic) -> rusqlite::Result<Option<i64>> {
        self.names.id(&self.db, &self.shared.prefix, topic)
    }

    /// The place after which a scan begins, and the last place there is now.
    fn begin(&mut self, place: &ScanPlace, from: ScanFrom) -> rusqlite::Result<(u64, u64)> {
        let sql = family::sql(place.family);
        let head = self.last_but(&sql.last_all, None, 0)?.unwrap_or(0);
        let after = match from {
            ScanFrom::Oldest => 0,
            ScanFrom::New => head,
            ScanFrom::Last(0) => head,
            ScanFrom::Last(n) => {
                let first = match &place.topic {
                    None => self.last_but(&sql.last_all, None, n - 1)?,
                    Some(topic) => match self.topic_id(topic)? {
                        Some(id) => self.last_but(&sql.last_topic, Some(id), n - 1)?,
                        None => None,
                    },
                };
                first.map_or(0, |seq| seq.saturating_sub(1))
            }
            ScanFrom::Time(time) => self.before_time(&sql.place, time.as_millis(), head)?,
        };
        Ok((after, head))
    }

    fn last_but(&self, sql: &str, topic: Option<i64>, n: u32) -> rusqlite::Result<Option<u64>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let seq: Option<i64> = match topic {
            Some(id) => statement.query_row((n, id), |row| row.get(0)),
            None => statement.query_row([n], |row| row.get(0)),
        }
        .optional()?;
        Ok(seq.map(from_sql))
    }

    /// The last place before a time. Places and times grow together unless the wall clock was set
    /// back, so halving finds it without an index.
    fn before_time(&self, sql: &str, time_ms: i64, head: u64) -> rusqlite::Result<u64> {
        let mut statement = self.db.prepare_cached(sql)?;
        // Everything up to `low` is older than the time; the message after `high` is not.
        let (mut low, mut high) = (0, head);
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<(i64, i64)> =
                statement.query_row([to_sql(middle + 1)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((seq, at_ms)) if at_ms < time_ms => low = from_sql(seq).min(high),
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn chunk(&mut self, place: &ScanPlace, range: Range) -> rusqlite::Result<Vec<Record>> {
        let topic = match &place.topic {
            None => None,
            Some(topic) => match self.topic_id(topic)? {
                Some(id) => Some(id),
                None => return Ok(Vec::new()),
            },
        };
        let read = table::read(&self.db, &mut self.names, &self.shared.prefix, place.family, topic, range)?;
        Ok(read.0.into_iter().map(|(record, _)| record).collect())
    }

    fn counts(&self, family: Family) -> rusqlite::Result<Vec<(Topic, u64)>> {
        let mut statement = self.db.prepare_cached(&family::sql(family).counts)?;
        let mut rows = statement.query([to_sql(limits::MAX_WAITING as u64)])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            let subject: String = row.get(0)?;
            // The tables hold nothing else unless somebody wrote into them.
            match self.shared.prefix.topic(&subject) {
                Some(topic) => counts.push((topic, from_sql(row.get(1)?))),
                None => tracing::debug!(event = "bus.topic_unknown", "a subject in the tables is no topic"),
            }
        }
        Ok(counts)
    }

    fn age(&self, group: &Group, first: u64) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.db.prepare_cached(&family::sql(group.family).first_at)?;
        statement.query_row((group.topic_id, to_sql(first)), |row| row.get(0)).optional()
    }
}

impl Drop for Reader {
    /// However the thread ends, nobody waits for it for ever: a dropped request is an answer.
    fn drop(&mut self) {
        self.shared.reads.close();
        let mut left = Vec::new();
        while self.shared.reads.take(&mut left, 64, usize::MAX, None) == Woken::Items {
            for request in left.drain(..) {
                if let Read::Fetch { reply, .. } = request {
                    drop(reply.send(Err(closed())));
                }
            }
        }
    }
}
