//! What is done within a transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use bytes::Bytes;
use chatbus_event::Timestamp;
use chatbus_store::census::{self, Answer};
use chatbus_store::life::Life;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params, params_from_iter};

use super::indexed::{self, Indexed};
use super::jobs::WorkError;
use crate::batch::{Batch, EventSteps, hour, life_values, source_values};
use crate::dialect::Dialect;
use crate::people::{Done, Work};
use crate::value::{Row, Statement, Value};
use crate::{codes, sql};

const PUT_STEP: &str = "INSERT INTO step (event, key, name, at, detail, snapshot) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
    ON CONFLICT DO NOTHING";
const RAISE_STATUS: &str = "UPDATE event SET status = max(status, ?2) WHERE id = ?1";
const PUT_LETTER: &str = "INSERT INTO letter (id, correlation_id, reason, error_code, platform, topic, at, letter, \
    original, state, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
const PUT_RAW: &str = "INSERT INTO raw (key, body, why, at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT DO NOTHING";
const KEY: &str = "SELECT answer FROM sighting WHERE key = ?1";
const PUT_KEY: &str = "INSERT INTO sighting (key, answer, expires_at) VALUES (?1, ?2, ?3)";
const PUT_USER: &str = "INSERT INTO users (id, provider, login, display_name, status, last_seen_at, record) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET login = excluded.login, \
    display_name = excluded.display_name, status = excluded.status, last_seen_at = excluded.last_seen_at, \
    record = excluded.record";
const SWEEP_EVENTS: &str = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE expires_hour <= ?1 \
    AND expires_at <= ?2 LIMIT ?3)";

static PUT_EVENT: LazyLock<String> = LazyLock::new(|| {
    let columns = sql::life_columns();
    let marks: String = (0..columns.len()).map(|n| format!(", ?{}", n + 2)).collect();
    format!("INSERT INTO event (correlation_id, {}) VALUES (?1{marks})", columns.join(", "))
});

static JOIN_EVENT: LazyLock<String> = LazyLock::new(|| join_event(|_| true));
/// For a life that leaves the event where it is in the indexes.
static JOIN_UNMOVED_EVENT: LazyLock<String> =
    LazyLock::new(|| join_event(|column| !indexed::COLUMNS.contains(&column)));

static PUT_SOURCE: LazyLock<String> = LazyLock::new(sql::put_source);

fn join_event(is_set: impl Fn(&str) -> bool) -> String {
    let columns = sql::life_columns();
    let parameter = |column: &str| {
        let at = columns.iter().position(|known| known == column).unwrap_or_default();
        format!("?{}", at + 2)
    };
    let assignments = sql::join_life(Dialect::Sqlite, str::to_owned, parameter);
    let set = sql::set(assignments.into_iter().filter(|(column, _)| is_set(column)));
    // Names the last parameter, so that both take the same ones.
    format!("UPDATE event SET {set} WHERE id = ?1 AND (?{} IS NULL OR TRUE)", columns.len() + 1)
}

/// Does statements, and gives what they return.
pub(super) fn statements(db: &Connection, statements: &[Statement]) -> Result<Vec<Vec<Row>>, WorkError> {
    let mut found = Vec::with_capacity(statements.len());
    for statement in statements {
        let mut prepared = db.prepare_cached(&statement.sql)?;
        let columns = prepared.column_count();
        let mut rows = prepared.query(params_from_iter(&statement.values))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|at| row.get_ref(at).map(to_value));
            all.push(Row::new(values.collect::<rusqlite::Result<_>>()?));
        }
        found.push(all);
    }
    Ok(found)
}

/// Writes entries.
pub(super) fn record(db: &Connection, batch: Batch) -> Result<(), WorkError> {
    for event in &batch.events {
        record_event(db, event)?;
    }
    for letter in batch.letters {
        db.prepare_cached(PUT_LETTER)?.execute(params![
            letter.id,
            letter.correlation_id,
            letter.reason,
            letter.error_code,
            letter.platform,
            letter.topic,
            letter.at.as_millis(),
            &*letter.letter,
            letter.original.as_deref(),
            codes::letter(letter.state),
            letter.expires_at.as_millis()
        ])?;
    }
    for change in batch.sources {
        db.prepare_cached(&PUT_SOURCE)?.execute(params_from_iter(source_values(change)))?;
    }
    for raw in batch.raws {
        let (at, expires_at) = (raw.at.as_millis(), raw.expires_at.as_millis());
        db.prepare_cached(PUT_RAW)?.execute(params![raw.key, &*raw.body, raw.why, at, expires_at])?;
    }
    Ok(())
}

fn record_event(db: &Connection, event: &EventSteps) -> Result<(), WorkError> {
    let known =
        db.prepare_cached(indexed::READ)?.query_row([&event.correlation_id], Indexed::of).optional()?;
    let Some((id, indexed)) = known else {
        if let Some(life) = event.life_of(|_| true) {
            write_life(db, &PUT_EVENT, event.correlation_id.as_str().into(), life)?;
            put_steps(db, db.last_insert_rowid(), event)?;
        }
        return Ok(());
    };
    let new = put_steps(db, id, event)?;
    match event.life_of(|step| new.contains(&step.key.as_str())) {
        Some(life) if indexed.stays_with(&life) => write_life(db, &JOIN_UNMOVED_EVENT, id.into(), life)?,
        Some(life) => write_life(db, &JOIN_EVENT, id.into(), life)?,
        None => drop(db.prepare_cached(RAISE_STATUS)?.execute([id, codes::status(event.status)])?),
    }
    Ok(())
}

/// Gives the keys of those that were not there.
fn put_steps<'a>(db: &Connection, id: i64, event: &'a EventSteps) -> Result<Vec<&'a str>, WorkError> {
    let mut put = db.prepare_cached(PUT_STEP)?;
    let mut new = Vec::with_capacity(event.steps.len());
    for step in &event.steps {
        let (at, snapshot) = (step.at.as_millis(), step.snapshot.as_deref());
        if put.execute(params![id, step.key, step.name, at, &*step.detail, snapshot])? > 0 {
            new.push(step.key.as_str());
        }
    }
    Ok(new)
}

fn write_life(db: &Connection, sql: &str, first: Value, life: Life) -> Result<(), WorkError> {
    let values = std::iter::once(first).chain(life_values(life));
    db.prepare_cached(sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Reads users and keys, works, and writes what came of it.
pub(super) fn rewrite(db: &Connection, work: &Work) -> Result<Done, WorkError> {
    let mut users = BTreeMap::new();
    let mut read = db.prepare_cached(sql::USER)?;
    for id in work.ids() {
        let record: Option<Vec<u8>> = read.query_row([&id], |row| row.get(1)).optional()?;
        if let Some(record) = record {
            let user = census::parse_user(&id, &record)?;
            users.insert(id, user);
        }
    }
    let mut keys = HashMap::new();
    let mut read = db.prepare_cached(KEY)?;
    for key in work.keys() {
        let answer: Option<i16> = read.query_row([&key], |row| row.get(0)).optional()?;
        if let Some(answer) = answer {
            keys.insert(key, Answer::from_bits(answer));
        }
    }
    let done = work.apply(users, keys);
    for user in &done.users {
        db.prepare_cached(PUT_USER)?.execute(params![
            user.id,
            user.provider,
            user.login.as_deref().map(census::folded),
            user.display_name.as_deref().map(census::folded),
            codes::user(user.status),
            user.last_seen_at.as_millis(),
            census::user_json(user)?
        ])?;
    }
    for (key, answer, expires_at) in &done.keys {
        db.prepare_cached(PUT_KEY)?.execute(params![key, answer.bits(), expires_at.as_millis()])?;
    }
    Ok(done)
}

/// Removes events past their time; a trigger takes their steps.
pub(super) fn sweep_events(db: &Connection, now: Timestamp, limit: i64) -> Result<usize, WorkError> {
    Ok(db.prepare_cached(SWEEP_EVENTS)?.execute([hour(now), now.as_millis(), limit])?)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn to_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Bytes(Bytes::copy_from_slice(value)),
    }
}
