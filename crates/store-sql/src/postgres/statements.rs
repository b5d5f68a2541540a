//! Statements as both databases have them, and the removal of events.

use std::error::Error as StdError;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chatbus_event::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

use super::error::WorkError;
use super::tx::{Tx, TxWork};
use crate::batch::hour;
use crate::value::{Row, Statement, Value};

/// Done one after the other; the rows of each.
pub(super) struct Statements(pub(super) Vec<Statement>);

/// Removes events past their time with their steps.
pub(super) struct SweepEvents {
    pub(super) now: Timestamp,
    pub(super) limit: i64,
}

/// What somebody writes to now may stay: what is locked is passed over.
const SWEEP_EVENTS: &str = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE expires_hour <= ?1 \
    AND expires_at <= ?2 LIMIT ?3 FOR UPDATE SKIP LOCKED) RETURNING id";

/// A statement of its own: it sees the steps that were written until the event was locked.
const SWEEP_STEPS: &str = "DELETE FROM step WHERE event = ANY(?1::bigint[])";

#[async_trait]
impl TxWork for Statements {
    type Output = Vec<Vec<Row>>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Output, WorkError> {
        let mut found = Vec::with_capacity(self.0.len());
        for statement in &self.0 {
            let values: Vec<&(dyn ToSql + Sync)> =
                statement.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            let rows = tx.query(&statement.sql, &values).await?;
            let rows = rows.into_iter().map(|row| {
                let values = (0..row.len()).map(|at| row.try_get::<_, Value>(at));
                Ok(Row::new(values.collect::<Result<_, tokio_postgres::Error>>()?))
            });
            found.push(rows.collect::<Result<_, WorkError>>()?);
        }
        Ok(found)
    }
}

#[async_trait]
impl TxWork for SweepEvents {
    type Output = usize;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<usize, WorkError> {
        let rows = tx.query(SWEEP_EVENTS, &[&hour(self.now), &self.now.as_millis(), &self.limit]).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        tx.execute(SWEEP_STEPS, &[&ids]).await?;
        Ok(ids.len())
    }
}

type Failure = Box<dyn StdError + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Bytes(value) => value.as_ref().to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::BYTEA => Self::Bytes(Bytes::copy_from_slice(raw)),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::TEXT | Type::BYTEA)
    }
}
