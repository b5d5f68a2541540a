//! Rows as records, for everything that reads.

use std::collections::HashMap;

use bytes::Bytes;
use chatbus_bus::{Message, Record};
use chatbus_event::{Family, MessageId, Timestamp, Topic};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row};

use crate::codec;
use crate::family;
use crate::shared::{from_sql, to_sql};
use crate::subject::Prefix;

/// How many bytes one reading gives at most, unless the first message alone has more.
const READ_BYTES: u64 = 1024 * 1024;

/// The topics by the numbers that the tables hold, as far as the reader has met them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_id: HashMap<i64, Topic>,
    by_topic: HashMap<Topic, i64>,
}

/// What of a family is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) after: u64,
    pub(crate) upto: u64,
    pub(crate) limit: usize,
}

/// The bytes that a message counts for.
pub(crate) fn size_of(id: &str, attributes_json: &str, body: &[u8]) -> u64 {
    (id.len() + attributes_json.len() + body.len()) as u64 + 32
}

/// Messages in order, with their sizes, and whether the range ended before a bound did.
pub(crate) fn read(
    db: &Connection,
    names: &mut Names,
    prefix: &Prefix,
    family: Family,
    topic: Option<i64>,
    range: Range,
) -> rusqlite::Result<(Vec<(Record, u64)>, bool)> {
    let sql = family::sql(family);
    let text = if topic.is_some() { &sql.read_topic } else { &sql.read_all };
    let mut statement = db.prepare_cached(text)?;
    let limit = to_sql(range.limit as u64);
    bind(&mut statement, topic, (to_sql(range.after), to_sql(range.upto), limit))?;
    let mut rows = statement.raw_query();
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let Some((record, size)) = record(db, names, prefix, row)? else { continue };
        bytes += size;
        records.push((record, size));
        if records.len() >= range.limit || bytes >= READ_BYTES {
            return Ok((records, false));
        }
    }
    Ok((records, true))
}

fn bind(statement: &mut CachedStatement<'_>, topic: Option<i64>, n: (i64, i64, i64)) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, n.0)?;
    statement.raw_bind_parameter(2, n.1)?;
    statement.raw_bind_parameter(3, n.2)?;
    topic.map_or(Ok(()), |topic| statement.raw_bind_parameter(4, topic))
}

/// One message.
pub(crate) fn read_one(
    db: &Connection,
    names: &mut Names,
    prefix: &Prefix,
    family: Family,
    seq: u64,
) -> rusqlite::Result<Option<(Record, u64)>> {
    let mut statement = db.prepare_cached(&family::sql(family).read_one)?;
    let mut rows = statement.query([to_sql(seq)])?;
    match rows.next()? {
        Some(row) => record(db, names, prefix, row),
        None => Ok(None),
    }
}

/// `None` for a row of a topic that is not of this prefix.
fn record(
    db: &Connection,
    names: &mut Names,
    prefix: &Prefix,
    row: &Row<'_>,
) -> rusqlite::Result<Option<(Record, u64)>> {
    let Some(topic) = names.topic(db, prefix, row.get(1)?)? else { return Ok(None) };
    let id = row.get_ref(3)?.as_str()?;
    let json = row.get_ref(4)?.as_str()?;
    let body = row.get_ref(5)?.as_bytes()?;
    let size = size_of(id, json, body);
    let message =
        Message::new(MessageId::new(id), codec::attributes_from_json(json), Bytes::copy_from_slice(body));
    let seq = from_sql(row.get(0)?);
    let published_at = Timestamp::from_millis(row.get(2)?);
    Ok(Some((Record { topic, seq, published_at, message }, size)))
}

// === impl Names ===

impl Names {
    pub(crate) fn topic(
        &mut self,
        db: &Connection,
        prefix: &Prefix,
        id: i64,
    ) -> rusqlite::Result<Option<Topic>> {
        if let Some(topic) = self.by_id.get(&id) {
            return Ok(Some(topic.clone()));
        }
        let sql = "SELECT subject FROM topic WHERE id = ?1";
        let subject: Option<String> = db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
        let topic = subject.and_then(|subject| prefix.topic(&subject));
        if let Some(topic) = &topic {
            self.put(id, topic.clone());
        }
        Ok(topic)
    }

    pub(crate) fn id(
        &mut self,
        db: &Connection,
        prefix: &Prefix,
        topic: &Topic,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.by_topic.get(topic) {
            return Ok(Some(*id));
        }
        let sql = "SELECT id FROM topic WHERE subject = ?1";
        let subject = prefix.subject(topic);
        let id = db.prepare_cached(sql)?.query_row([subject.as_str()], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.put(id, topic.clone());
        }
        Ok(id)
    }

    fn put(&mut self, id: i64, topic: Topic) {
        self.by_topic.insert(topic.clone(), id);
        self.by_id.insert(id, topic);
    }
}
