//! The writer's view of the topics: counters, and the groups that read each.
//!
//! A commit changes the counters as it goes; if it fails they are put back.

use std::collections::HashMap;
use std::sync::Arc;

use chatbus_event::{Family, Topic};
use rusqlite::Connection;

use crate::family::{self, FAMILIES};
use crate::group::Group;
use crate::shared::{from_sql, to_sql};
use crate::subject::Prefix;

/// How many topics a bus may have. They are made by publishing, so they need a bound.
const MAX_TOPICS: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Topics {
    list: Vec<TopicEntry>,
    by_name: HashMap<Topic, usize>,
    by_id: HashMap<i64, usize>,
    families: [FamilyEntry; FAMILIES],
    undo: Undo,
}

#[derive(Debug)]
pub(crate) struct TopicEntry {
    pub(crate) id: i64,
    pub(crate) topic: Topic,
    pub(crate) family: Family,
    pub(crate) counters: Counters,
    pub(crate) groups: Vec<Arc<Group>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) last_seq: u64,
    /// How many messages it ever had.
    pub(crate) published: u64,
    /// How many bytes it has now.
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FamilyEntry {
    pub(crate) last_seq: u64,
    pub(crate) bytes: u64,
    /// When its oldest message came, if it is a log and has any.
    pub(crate) oldest_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Undo {
    topics: Vec<(usize, Counters)>,
    families: [FamilyEntry; FAMILIES],
    count: usize,
}

// === impl Topics ===

impl Topics {
    pub(crate) fn load(db: &Connection, prefix: &Prefix) -> rusqlite::Result<Self> {
        let mut topics = Self::default();
        let mut statement = db.prepare("SELECT id, subject, last_seq, published, bytes FROM topic")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let subject: String = row.get(1)?;
            let Some(topic) = prefix.topic(&subject) else { continue };
            let counters = Counters {
                last_seq: from_sql(row.get(2)?),
                published: from_sql(row.get(3)?),
                bytes: from_sql(row.get(4)?),
            };
            let family = &mut topics.families[family::index(topic.family())];
            family.last_seq = family.last_seq.max(counters.last_seq);
            family.bytes += counters.bytes;
            topics.put(row.get(0)?, topic, counters);
        }
        for f in Family::ALL.into_iter().filter(|f| !family::holds(*f)) {
            topics.families[family::index(f)].oldest_ms = oldest(db, f)?;
        }
        Ok(topics)
    }

    fn put(&mut self, id: i64, topic: Topic, counters: Counters) -> usize {
        let at = self.list.len();
        self.by_name.insert(topic.clone(), at);
        self.by_id.insert(id, at);
        let family = topic.family();
        self.list.push(TopicEntry { id, topic, family, counters, groups: Vec::new() });
        at
    }

    pub(crate) fn find(&self, topic: &Topic) -> Option<usize> {
        self.by_name.get(topic).copied()
    }

    pub(crate) fn find_id(&self, id: i64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// The topic, made if need be; `None` when there are too many.
    pub(crate) fn find_or_make(
        &mut self,
        db: &Connection,
        prefix: &Prefix,
        topic: &Topic,
    ) -> rusqlite::Result<Option<usize>> {
        if let Some(at) = self.find(topic) {
            return Ok(Some(at));
        }
        if self.list.len() >= MAX_TOPICS {
            return Ok(None);
        }
        let sql = "INSERT INTO topic (subject, family, last_seq, published, bytes) VALUES (?1, ?2, 0, 0, 0)";
        let subject = prefix.subject(topic);
        let id = db.prepare_cached(sql)?.insert((subject.as_str(), family::name(topic.family())))?;
        Ok(Some(self.put(id, topic.clone(), Counters::default())))
    }

    pub(crate) fn get(&self, at: usize) -> &TopicEntry {
        &self.list[at]
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> &mut TopicEntry {
        &mut self.list[at]
    }

    pub(crate) fn family(&self, family: Family) -> &FamilyEntry {
        &self.families[family::index(family)]
    }

    pub(crate) fn family_mut(&mut self, family: Family) -> &mut FamilyEntry {
        &mut self.families[family::index(family)]
    }

    /// Counts a new message and gives its place.
    pub(crate) fn count_in(&mut self, at: usize, size: u64, now_ms: i64) -> u64 {
        self.touch(at);
        let entry = &mut self.list[at];
        let family = &mut self.families[family::index(entry.family)];
        family.last_seq += 1;
        family.bytes += size;
        if !family::holds(entry.family) {
            family.oldest_ms.get_or_insert(now_ms);
        }
        entry.counters.last_seq = family.last_seq;
        entry.counters.published += 1;
        entry.counters.bytes += size;
        family.last_seq
    }

    /// Counts a message that is gone.
    pub(crate) fn count_out(&mut self, at: usize, size: u64) {
        self.touch(at);
        let entry = &mut self.list[at];
        entry.counters.bytes = entry.counters.bytes.saturating_sub(size);
        let family = &mut self.families[family::index(entry.family)];
        family.bytes = family.bytes.saturating_sub(size);
    }

    fn touch(&mut self, at: usize) {
        if !self.undo.topics.iter().any(|(known, _)| *known == at) {
            self.undo.topics.push((at, self.list[at].counters));
        }
    }

    /// The topics whose counters changed since [`Topics::begin`].
    pub(crate) fn touched(&self) -> impl Iterator<Item = usize> {
        self.undo.topics.iter().map(|(at, _)| *at)
    }

    /// How many messages a topic got since [`Topics::begin`].
    pub(crate) fn published_since(&self, at: usize) -> u64 {
        let before = self.undo.topics.iter().find(|(known, _)| *known == at);
        before.map_or(0, |(_, counters)| self.list[at].counters.published - counters.published)
    }

    /// The last place of a family at [`Topics::begin`].
    pub(crate) fn last_seq_before(&self, family: Family) -> u64 {
        self.undo.families[family::index(family)].last_seq
    }

    pub(crate) fn save_touched(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE topic SET last_seq = ?2, published = ?3, bytes = ?4 WHERE id = ?1";
        let mut statement = db.prepare_cached(sql)?;
        for at in self.touched() {
            let TopicEntry { id, counters, .. } = &self.list[at];
            statement.execute((
                id,
                to_sql(counters.last_seq),
                to_sql(counters.published),
                to_sql(counters.bytes),
            ))?;
        }
        Ok(())
    }

    /// From here on changes can be put back.
    pub(crate) fn begin(&mut self) {
        self.undo.topics.clear();
        self.undo.families = self.families;
        self.undo.count = self.list.len();
    }

    pub(crate) fn put_back(&mut self) {
        for (at, counters) in self.undo.topics.drain(..) {
            self.list[at].counters = counters;
        }
        self.families = self.undo.families;
        for entry in self.list.drain(self.undo.count..) {
            self.by_name.remove(&entry.topic);
            self.by_id.remove(&entry.id);
        }
    }
}

/// When the oldest message of a family came.
pub(crate) fn oldest(db: &Connection, family: Family) -> rusqlite::Result<Option<i64>> {
    use rusqlite::OptionalExtension as _;
    db.prepare_cached(&family::sql(family).place)?.query_row([0], |row| row.get(1)).optional()
}
