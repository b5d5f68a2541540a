//! Writing entries: a few statements over many rows each.
//!
//! First all events are locked, in the order of their correlation ids, as every other call does: of two calls
//! about the same events one waits for the other, and a sweep passes over them.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_trait::async_trait;
use chatbus_store::life::Life;
use tokio_postgres::types::ToSql;

use super::error::WorkError;
use super::tx::{Tx, TxWork};
use crate::batch::{Batch, EventSteps, life_values, source_values};
use crate::dialect::Dialect;
use crate::value::Value;
use crate::{codes, sql};

/// One call.
pub(super) struct Record {
    batch: Batch,
    /// The rows of the events as they are where they are new.
    ids: Vec<String>,
    rows: Vec<Column>,
}

/// A column of many rows.
enum Column {
    Ints(Vec<i64>),
    Texts(Vec<Option<String>>),
}

/// Whether an event is new in this call, and its number.
type Known<'a> = HashMap<&'a str, (i64, bool)>;

/// Those that are there are locked and stay as they are; those that are not are written, and returned.
static PUT_EVENTS: LazyLock<String> = LazyLock::new(|| {
    let columns = sql::life_columns().join(", ");
    let arrays = arrays(2);
    format!(
        "INSERT INTO event (correlation_id, {columns}) SELECT * FROM unnest(?1::text[], {arrays}) \
         AS n(correlation_id, {columns}) ORDER BY correlation_id \
         ON CONFLICT (correlation_id) DO UPDATE SET status = event.status WHERE false RETURNING id"
    )
});

const EVENT_IDS: &str = "SELECT id, correlation_id FROM event WHERE correlation_id = ANY(?1::text[])";

const PUT_STEPS: &str = "INSERT INTO step (event, key, name, at, detail, snapshot) SELECT * FROM \
    unnest(?1::bigint[], ?2::text[], ?3::text[], ?4::bigint[], ?5::bytea[], ?6::bytea[]) \
    ON CONFLICT DO NOTHING RETURNING event, key";

static JOIN_EVENTS: LazyLock<String> = LazyLock::new(|| {
    let columns = sql::life_columns().join(", ");
    let set = sql::set(sql::join_life(
        Dialect::Postgres,
        |column| format!("event.{column}"),
        |column| format!("n.{column}"),
    ));
    let arrays = arrays(2);
    format!(
        "UPDATE event SET {set} FROM unnest(?1::bigint[], {arrays}) AS n(number, {columns}) WHERE event.id = n.number"
    )
});

const RAISE_STATUS: &str = "UPDATE event SET status = greatest(event.status, n.status) \
    FROM unnest(?1::bigint[], ?2::bigint[]) AS n(number, status) WHERE event.id = n.number";

const PUT_LETTERS: &str = "INSERT INTO letter (id, correlation_id, reason, error_code, platform, topic, at, letter, \
    original, state, expires_at) SELECT * FROM unnest(?1::text[], ?2::text[], ?3::text[], ?4::text[], ?5::text[], \
    ?6::text[], ?7::bigint[], ?8::bytea[], ?9::bytea[], ?10::bigint[], ?11::bigint[]) ON CONFLICT DO NOTHING";

const PUT_RAWS: &str = "INSERT INTO raw (key, body, why, at, expires_at) SELECT * FROM \
    unnest(?1::text[], ?2::bytea[], ?3::text[], ?4::bigint[], ?5::bigint[]) ON CONFLICT DO NOTHING";

static PUT_SOURCE: LazyLock<String> = LazyLock::new(sql::put_source);

/// The parameters of the life's columns, from this one on.
fn arrays(first: usize) -> String {
    let is_text = |column: &String| matches!(column.as_str(), "user_raw") || is_fact(column);
    let columns = sql::life_columns();
    let arrays = columns.iter().enumerate().map(|(at, column)| {
        let kind = if is_text(column) { "text" } else { "bigint" };
        format!("?{}::{kind}[]", at + first)
    });
    arrays.collect::<Vec<_>>().join(", ")
}

fn is_fact(column: &str) -> bool {
    chatbus_store::life::FACTS.contains(&column)
}

// === impl Record ===

impl Record {
    pub(super) fn new(batch: Batch) -> Self {
        let lives: Vec<Life> = batch.events.iter().filter_map(|event| event.life_of(|_| true)).collect();
        let ids = batch.events.iter().map(|event| event.correlation_id.clone()).collect();
        Self { rows: columns(lives), ids, batch }
    }

    async fn put_events(&self, tx: &mut Tx<'_>) -> Result<(), WorkError> {
        let (put, read) = (tx.prepare(&PUT_EVENTS).await?, tx.prepare(EVENT_IDS).await?);
        let rows = parameters(&self.ids, &self.rows);
        // One round trip: the second sees what the first has locked.
        let ids: [&(dyn ToSql + Sync); 1] = [&self.ids];
        let (fresh, known) = futures::join!(tx.inner.query(&put, &rows), tx.inner.query(&read, &ids));
        let fresh = fresh?.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<i64>, _>>()?;
        let known = known?;
        let mut events = Known::with_capacity(known.len());
        for row in &known {
            let id: i64 = row.try_get(0)?;
            events.insert(row.try_get(1)?, (id, fresh.contains(&id)));
        }
        let new = self.put_steps(tx, &events).await?;
        self.join_events(tx, &events, &new).await
    }

    /// Gives those that were not there.
    async fn put_steps(
        &self,
        tx: &mut Tx<'_>,
        events: &Known<'_>,
    ) -> Result<HashSet<(i64, String)>, WorkError> {
        let mut ids = Vec::new();
        let (mut keys, mut names, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (mut details, mut snapshots) = (Vec::new(), Vec::new());
        for event in &self.batch.events {
            // Locked, so that it is there.
            let Some((id, _)) = events.get(event.correlation_id.as_str()) else {
                return Err(WorkError::Again);
            };
            for step in &event.steps {
                ids.push(*id);
                keys.push(step.key.as_str());
                names.push(step.name.as_str());
                times.push(step.at.as_millis());
                details.push(&*step.detail);
                snapshots.push(step.snapshot.as_deref());
            }
        }
        let rows = tx.query(PUT_STEPS, &[&ids, &keys, &names, &times, &details, &snapshots]).await?;
        let new = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        Ok(new.collect::<Result<_, tokio_postgres::Error>>()?)
    }

    /// Of events that were there what their new steps say.
    async fn join_events(
        &self,
        tx: &mut Tx<'_>,
        events: &Known<'_>,
        new: &HashSet<(i64, String)>,
    ) -> Result<(), WorkError> {
        let (mut ids, mut lives) = (Vec::new(), Vec::new());
        let (mut repeated, mut status) = (Vec::new(), Vec::new());
        let known = |event: &&EventSteps| {
            events.get(event.correlation_id.as_str()).filter(|(_, fresh)| !fresh).copied()
        };
        for (event, (id, _)) in self.batch.events.iter().filter_map(|event| Some((event, known(&event)?))) {
            match event.life_of(|step| new.contains(&(id, step.key.clone()))) {
                Some(life) => {
                    ids.push(id);
                    lives.push(life);
                }
                None => {
                    repeated.push(id);
                    status.push(codes::status(event.status));
                }
            }
        }
        if !ids.is_empty() {
            tx.execute(&JOIN_EVENTS, &parameters(&ids, &columns(lives))).await?;
        }
        if !repeated.is_empty() {
            tx.execute(RAISE_STATUS, &[&repeated, &status]).await?;
        }
        Ok(())
    }

    async fn put_letters(&self, tx: &mut Tx<'_>) -> Result<(), WorkError> {
        let letters = &self.batch.letters;
        let text =
            |of: fn(&chatbus_store::StoredLetter) -> Option<&str>| letters.iter().map(of).collect::<Vec<_>>();
        let int = |of: fn(&chatbus_store::StoredLetter) -> i64| letters.iter().map(of).collect::<Vec<_>>();
        let bodies: Vec<&[u8]> = letters.iter().map(|letter| &*letter.letter).collect();
        let originals: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.original.as_deref()).collect();
        tx.execute(
            PUT_LETTERS,
            &[
                &text(|letter| Some(&letter.id)),
                &text(|letter| Some(&letter.correlation_id)),
                &text(|letter| Some(&letter.reason)),
                &text(|letter| letter.error_code.as_deref()),
                &text(|letter| letter.platform.as_deref()),
                &text(|letter| letter.topic.as_deref()),
                &int(|letter| letter.at.as_millis()),
                &bodies,
                &originals,
                &int(|letter| codes::letter(letter.state)),
                &int(|letter| letter.expires_at.as_millis()),
            ],
        )
        .await?;
        Ok(())
    }

    async fn put_raws(&self, tx: &mut Tx<'_>) -> Result<(), WorkError> {
        let raws = &self.batch.raws;
        let keys: Vec<&str> = raws.iter().map(|raw| raw.key.as_str()).collect();
        let bodies: Vec<&[u8]> = raws.iter().map(|raw| &*raw.body).collect();
        let why: Vec<&str> = raws.iter().map(|raw| raw.why.as_str()).collect();
        let at: Vec<i64> = raws.iter().map(|raw| raw.at.as_millis()).collect();
        let expires_at: Vec<i64> = raws.iter().map(|raw| raw.expires_at.as_millis()).collect();
        tx.execute(PUT_RAWS, &[&keys, &bodies, &why, &at, &expires_at]).await?;
        Ok(())
    }
}

#[async_trait]
impl TxWork for Record {
    type Output = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), WorkError> {
        if !self.batch.events.is_empty() {
            self.put_events(tx).await?;
        }
        if !self.batch.letters.is_empty() {
            self.put_letters(tx).await?;
        }
        // One after the other: several of one source count in their order.
        for change in &self.batch.sources {
            let values = source_values(change.clone());
            let values: Vec<&(dyn ToSql + Sync)> =
                values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            tx.execute(&PUT_SOURCE, &values).await?;
        }
        if !self.batch.raws.is_empty() {
            self.put_raws(tx).await?;
        }
        Ok(())
    }
}

/// The rows of lives by column.
fn columns(lives: Vec<Life>) -> Vec<Column> {
    let size = lives.len();
    let mut columns: Vec<Column> = sql::life_columns()
        .iter()
        .map(|column| match is_fact(column) || column == "user_raw" {
            true => Column::Texts(Vec::with_capacity(size)),
            false => Column::Ints(Vec::with_capacity(size)),
        })
        .collect();
    for life in lives {
        for (column, value) in columns.iter_mut().zip(life_values(life)) {
            match (column, value) {
                (Column::Ints(column), Value::Int(value)) => column.push(value),
                (Column::Texts(column), Value::Text(value)) => column.push(Some(value)),
                (Column::Texts(column), _) => column.push(None),
                (Column::Ints(column), _) => column.push(0),
            }
        }
    }
    columns
}

fn parameters<'a>(first: &'a (dyn ToSql + Sync), columns: &'a [Column]) -> Vec<&'a (dyn ToSql + Sync)> {
    let columns = columns.iter().map(|column| match column {
        Column::Ints(column) => column as &(dyn ToSql + Sync),
        Column::Texts(column) => column,
    });
    std::iter::once(first).chain(columns).collect()
}
