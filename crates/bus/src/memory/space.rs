//! Everything under one prefix: families, topics, groups. Pure: time is passed in, nothing waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use chatbus_event::{Family, MessageId, Timestamp, Topic};

use super::MemoryConfig;
use super::group::{Counts, GroupState};
use super::ids::IdWindow;
use crate::{
    BusError, BusErrorKind, Group, Lag, Message, Record, ScanFrom, ScanTopics, Stored, Waiting, limits,
};

/// Topics one space holds; a publish or a group on one more is refused.
const MAX_TOPICS: usize = 65_536;

/// What a record costs beside its texts.
const RECORD_OVERHEAD: u64 = 64;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) instant: Instant,
}

/// One bus's worth of data.
#[derive(Debug, Default)]
pub(super) struct Space {
    families: BTreeMap<Family, FamilyLog>,
    topics: HashMap<Topic, TopicLog>,
    /// Groups ever made, so that each has a number of its own.
    groups_made: u64,
}

/// Who has a topic, from the point of view of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The group is there.
    Itself,
    /// It is not, and it can be declared.
    Nobody,
    /// It is not, and another keeps it from being declared.
    Another,
}

#[derive(Debug, Default)]
struct FamilyLog {
    last_seq: u64,
    order: BTreeMap<u64, Topic>,
    bytes: u64,
}

#[derive(Debug, Default)]
struct TopicLog {
    records: BTreeMap<u64, Arc<Record>>,
    ids: IdWindow,
    groups: BTreeMap<Group, GroupState>,
}

/// Where a scan stands, by family.
#[derive(Debug)]
pub(super) struct Cursor {
    topics: ScanTopics,
    next: BTreeMap<Family, u64>,
    /// The first place not to read, where the scan does not follow.
    end: Option<BTreeMap<Family, u64>>,
}

// === impl Space ===

impl Space {
    /// Stores a message; without an id it gets one from its topic and place, and is never a repeat.
    pub(super) fn store(
        &mut self,
        topic: &Topic,
        message: Message,
        has_id: bool,
        now: Now,
        config: &MemoryConfig,
    ) -> Result<Stored, BusError> {
        let family = topic.family();
        self.expire(family, now.wall, config);
        let log = topic_log(&mut self.topics, topic)?;
        let mut message = message;
        if has_id && let Some(seq) = log.ids.place_of(&message.id, now.instant, config.dedupe_window) {
            return Ok(Stored { seq, duplicate: true });
        }
        let seq = self.families.entry(family).or_default().last_seq + 1;
        if !has_id {
            message.id = MessageId::new(&format!("{topic}/{seq}"));
        }
        let size = size_of(&message);
        let bytes = self.families.get(&family).map_or(0, |log| log.bytes);
        if is_queue(family) {
            if bytes + size > config.queue_bytes {
                let why = format!("publishing to {topic}: its family holds {bytes} bytes already");
                return Err(BusError::new(BusErrorKind::Full, why));
            }
        } else {
            while self
                .families
                .get(&family)
                .is_some_and(|f| f.bytes > 0 && f.bytes + size > config.retention_bytes)
            {
                self.drop_oldest(family);
            }
        }
        let log = topic_log(&mut self.topics, topic)?;
        if has_id {
            log.ids.remember(message.id.clone(), seq, now.instant);
        }
        let record = Record { topic: topic.clone(), seq, published_at: now.wall, message };
        log.records.insert(seq, Arc::new(record));
        let family = self.families.entry(family).or_default();
        family.last_seq = seq;
        family.bytes += size;
        family.order.insert(seq, topic.clone());
        Ok(Stored { seq, duplicate: false })
    }

    /// Creates a group that begins with what comes next, or on a queue with what is there.
    pub(super) fn declare(&mut self, topic: &Topic, group: &Group) -> Result<(), BusError> {
        let next = self.families.get(&topic.family()).map_or(1, |family| family.last_seq + 1);
        let queue = is_queue(topic.family());
        let log = topic_log(&mut self.topics, topic)?;
        if log.groups.contains_key(group) {
            return Ok(());
        }
        if queue && let Some(owner) = log.groups.keys().next() {
            let why = format!("joining {topic} as {group}: it is read by {owner}, and a queue has one group");
            return Err(BusError::new(BusErrorKind::Refused, why));
        }
        self.groups_made += 1;
        let state = GroupState::starting_at(if queue { 0 } else { next }, self.groups_made);
        log.groups.insert(group.clone(), state);
        Ok(())
    }

    /// Removes a group. Its messages stay, and on a queue they are the next group's.
    pub(super) fn delete_group(&mut self, topic: &Topic, group: &Group) {
        if let Some(log) = self.topics.get_mut(topic) {
            log.groups.remove(group);
        }
    }

    /// Who has the topic, as this group sees it.
    pub(super) fn holder(&self, topic: &Topic, group: &Group) -> Holder {
        match self.topics.get(topic).map(|log| &log.groups) {
            Some(groups) if groups.contains_key(group) => Holder::Itself,
            Some(groups) if is_queue(topic.family()) && !groups.is_empty() => Holder::Another,
            _ => Holder::Nobody,
        }
    }

    /// The topics of a queue family that hold messages or have a group.
    pub(super) fn waiting(&self, family: Family) -> Vec<Waiting> {
        let of_family = |topic: &Topic| is_queue(family) && topic.family() == family;
        let mut waiting: Vec<Waiting> = self
            .topics
            .iter()
            .filter(|(topic, log)| of_family(topic) && !(log.records.is_empty() && log.groups.is_empty()))
            .map(|(topic, log)| Waiting {
                topic: topic.clone(),
                messages: log.records.len() as u64,
                groups: log.groups.keys().cloned().collect(),
            })
            .collect();
        waiting.sort_by(|a, b| a.topic.cmp(&b.topic));
        waiting.truncate(limits::MAX_WAITING);
        waiting
    }

    /// Hands out a group's next message, with the group's number.
    pub(super) fn take(
        &mut self,
        topic: &Topic,
        group: &Group,
        session: u64,
        now: Instant,
    ) -> Option<(Arc<Record>, Counts, u64)> {
        let log = self.topics.get_mut(topic)?;
        let records = &log.records;
        let fresh = |from: u64| records.range(from..).next().map(|(seq, _)| *seq);
        let state = log.groups.get_mut(group)?;
        let (seq, counts) = state.take(now, session, fresh)?;
        // What is no longer kept was forgotten by every group, so this is always there.
        Some((Arc::clone(records.get(&seq)?), counts, state.number()))
    }

    /// A group's bookkeeping.
    pub(super) fn group(&mut self, topic: &Topic, group: &Group) -> Option<&mut GroupState> {
        self.topics.get_mut(topic)?.groups.get_mut(group)
    }

    /// The same, while it is still the one of this number: not one that was declared after it was
    /// deleted.
    pub(super) fn same_group(
        &mut self,
        topic: &Topic,
        group: &Group,
        number: u64,
    ) -> Option<&mut GroupState> {
        self.group(topic, group).filter(|state| state.number() == number)
    }

    /// Settles for good; on a queue that removes the message.
    pub(super) fn ack(&mut self, topic: &Topic, group: &Group, number: u64, seq: u64, session: u64) {
        let acked = self.same_group(topic, group, number).is_some_and(|state| state.ack(seq, session));
        if acked && is_queue(topic.family()) {
            self.remove(topic, seq);
        }
    }

    /// Removes one message of this topic.
    pub(super) fn remove(&mut self, topic: &Topic, seq: u64) {
        self.forget(topic, seq, false);
    }

    /// One message of this topic.
    pub(super) fn fetch(&self, topic: &Topic, seq: u64) -> Option<Record> {
        self.topics.get(topic)?.records.get(&seq).map(|record| Record::clone(record))
    }

    /// Gives back all that a session held.
    pub(super) fn abandon(&mut self, session: u64) {
        for state in self.topics.values_mut().flat_map(|log| log.groups.values_mut()) {
            state.abandon(session);
        }
    }

    /// How far each group is behind.
    pub(super) fn lag(&mut self, now: Timestamp, config: &MemoryConfig) -> Vec<Lag> {
        for family in Family::ALL {
            self.expire(family, now, config);
        }
        let mut lags = Vec::new();
        for (topic, log) in &self.topics {
            for (group, state) in &log.groups {
                let unread = log.records.range(state.cursor()..);
                let first_unread = unread.clone().next().map(|(seq, _)| *seq);
                let unsettled = state.unsettled().count() as u64;
                let oldest = state.unsettled().chain(first_unread).min();
                lags.push(Lag {
                    family: topic.family(),
                    topic: topic.clone(),
                    group: group.clone(),
                    pending: unsettled + unread.count() as u64,
                    in_flight: state.in_flight(),
                    oldest: oldest.and_then(|seq| log.records.get(&seq)).map(|r| now.since(r.published_at)),
                    lost: state.lost(),
                });
            }
        }
        lags.sort_by(|a, b| (&a.topic, &a.group).cmp(&(&b.topic, &b.group)));
        lags
    }

    /// Where a scan begins.
    pub(super) fn cursor(&self, topics: ScanTopics, from: ScanFrom, follow: bool) -> Cursor {
        let families: Vec<Family> = match &topics {
            ScanTopics::One(topic) => vec![topic.family()],
            ScanTopics::Family(family) => vec![*family],
            ScanTopics::All => Family::ALL.to_vec(),
        };
        let after_last = |family: Family| self.families.get(&family).map_or(1, |log| log.last_seq + 1);
        let end = (!follow).then(|| families.iter().map(|family| (*family, after_last(*family))).collect());
        let first = |family: Family| match from {
            ScanFrom::Oldest => 0,
            ScanFrom::New => after_last(family),
            ScanFrom::Time(time) => self
                .kept(&topics, family, 0)
                .find(|record| record.published_at >= time)
                .map_or_else(|| after_last(family), |record| record.seq),
            ScanFrom::Last(0) => after_last(family),
            ScanFrom::Last(n) => self
                .kept(&topics, family, 0)
                .rev()
                .take(n as usize)
                .last()
                .map_or_else(|| after_last(family), |record| record.seq),
        };
        let next = families.iter().map(|family| (*family, first(*family))).collect();
        Cursor { topics, next, end }
    }

    /// A scan's next record: of several families the one accepted first.
    pub(super) fn read(&self, cursor: &mut Cursor) -> Option<Record> {
        let heads = cursor.next.iter().filter_map(|(family, next)| {
            let record = self.kept(&cursor.topics, *family, *next).next()?;
            let end = cursor.end.as_ref().and_then(|end| end.get(family));
            end.is_none_or(|end| record.seq < *end).then_some((*family, record))
        });
        let (family, record) = heads.min_by_key(|(_, record)| record.published_at)?;
        let record = Record::clone(record);
        cursor.next.insert(family, record.seq + 1);
        Some(record)
    }

    fn kept<'a>(
        &'a self,
        topics: &'a ScanTopics,
        family: Family,
        from: u64,
    ) -> Box<dyn DoubleEndedIterator<Item = &'a Arc<Record>> + 'a> {
        if let ScanTopics::One(topic) = topics {
            return Box::new(
                self.topics.get(topic).into_iter().flat_map(move |log| log.records.range(from..)).map(second),
            );
        }
        let order = self.families.get(&family).into_iter().flat_map(move |log| log.order.range(from..));
        Box::new(order.filter_map(|(seq, topic)| self.topics.get(topic)?.records.get(seq)))
    }

    fn expire(&mut self, family: Family, now: Timestamp, config: &MemoryConfig) {
        if is_queue(family) {
            return;
        }
        let limit = now.minus(config.retention);
        while let Some((seq, topic)) = self.families.get(&family).and_then(|log| log.order.first_key_value())
        {
            let published =
                self.topics.get(topic).and_then(|log| log.records.get(seq)).map(|r| r.published_at);
            if published.is_some_and(|at| at >= limit) {
                return;
            }
            self.drop_oldest(family);
        }
    }

    fn drop_oldest(&mut self, family: Family) {
        let oldest = self.families.get(&family).and_then(|log| log.order.first_key_value());
        if let Some((seq, topic)) = oldest.map(|(seq, topic)| (*seq, topic.clone())) {
            self.forget(&topic, seq, true);
        }
    }

    fn forget(&mut self, topic: &Topic, seq: u64, lost: bool) {
        let Some(log) = self.topics.get_mut(topic) else { return };
        let Some(record) = log.records.remove(&seq) else { return };
        for state in log.groups.values_mut() {
            state.forget(seq, lost);
        }
        if let Some(family) = self.families.get_mut(&topic.family()) {
            family.order.remove(&seq);
            family.bytes = family.bytes.saturating_sub(size_of(&record.message));
        }
    }
}

/// Whether a family holds messages until they are settled, and refuses new ones when full.
fn is_queue(family: Family) -> bool {
    family.is_egress() || family == Family::Lane
}

fn second<'a>((_, record): (&u64, &'a Arc<Record>)) -> &'a Arc<Record> {
    record
}

fn size_of(message: &Message) -> u64 {
    let attributes: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    (message.body.len() + message.id.as_str().len() + attributes) as u64 + RECORD_OVERHEAD
}

fn topic_log<'a>(
    topics: &'a mut HashMap<Topic, TopicLog>,
    topic: &Topic,
) -> Result<&'a mut TopicLog, BusError> {
    if topics.len() >= MAX_TOPICS && !topics.contains_key(topic) {
        let why = format!("making topic {topic}: there are {MAX_TOPICS} already");
        return Err(BusError::new(BusErrorKind::Refused, why));
    }
    Ok(topics.entry(topic.clone()).or_default())
}

#[cfg(test)]
mod tests;
