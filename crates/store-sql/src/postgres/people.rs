//! Changes of users.
//!
//! The rows of all users of a call are locked first, in the order of their ids, those that are not there yet
//! included. Whoever comes with the same event at the same moment waits there, and then finds its key.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chatbus_store::census::{self, Answer};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::WorkError;
use super::tx::{Tx, TxWork};
use crate::codes;
use crate::people::{Done, Work};

/// What is to be done.
pub(super) struct Rewrite(pub(super) Work);

/// Those that are there are locked and stay as they are; a new one has no record until this transaction ends.
const LOCK_OR_MAKE: &str = "INSERT INTO users (id, provider, status, last_seen_at, record) \
    SELECT id, split_part(id, ':', 1), 0, 0, '' FROM unnest(?1::text[]) AS n(id) ORDER BY id \
    ON CONFLICT (id) DO UPDATE SET status = users.status WHERE false";

const LOCK: &str = "SELECT 1 FROM users WHERE id = ANY(?1::text[]) ORDER BY id FOR UPDATE";

const USERS: &str = "SELECT id, record FROM users WHERE id = ANY(?1::text[])";

const KEYS: &str = "SELECT key, answer FROM sighting WHERE key = ANY(?1::text[])";

const PUT_USERS: &str = "UPDATE users SET login = n.login, display_name = n.display_name, status = n.status, \
    last_seen_at = n.last_seen_at, record = n.record FROM unnest(?1::text[], ?2::text[], ?3::text[], ?4::bigint[], \
    ?5::bigint[], ?6::bytea[]) AS n(id, login, display_name, status, last_seen_at, record) WHERE users.id = n.id";

const PUT_KEYS: &str = "INSERT INTO sighting (key, answer, expires_at) \
    SELECT * FROM unnest(?1::text[], ?2::bigint[], ?3::bigint[]) ON CONFLICT DO NOTHING";

#[async_trait]
impl TxWork for Rewrite {
    type Output = Done;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Done, WorkError> {
        let lock = tx.prepare(if self.0.creates() { LOCK_OR_MAKE } else { LOCK }).await?;
        let (users, keys) = (tx.prepare(USERS).await?, tx.prepare(KEYS).await?);
        let (ids, wanted) = (self.0.ids(), self.0.keys());
        let ids: [&(dyn ToSql + Sync); 1] = [&ids];
        let wanted: [&(dyn ToSql + Sync); 1] = [&wanted];
        // One round trip: what is read is read after everything is locked.
        let (locked, users, keys) = futures::join!(
            tx.inner.query(&lock, &ids),
            tx.inner.query(&users, &ids),
            tx.inner.query(&keys, &wanted)
        );
        locked?;
        let done = self.0.apply(read_users(&users?)?, read_keys(&keys?)?);
        write(tx, &done).await?;
        Ok(done)
    }
}

fn read_users(rows: &[Row]) -> Result<BTreeMap<String, chatbus_store::User>, WorkError> {
    let mut users = BTreeMap::new();
    for row in rows {
        let (id, record): (String, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        if !record.is_empty() {
            let user = census::parse_user(&id, record)?;
            users.insert(id, user);
        }
    }
    Ok(users)
}

fn read_keys(rows: &[Row]) -> Result<HashMap<String, Answer>, WorkError> {
    let mut keys = HashMap::with_capacity(rows.len());
    for row in rows {
        let (key, answer): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        keys.insert(key, Answer::from_bits(i16::try_from(answer).unwrap_or_default()));
    }
    Ok(keys)
}

async fn write(tx: &mut Tx<'_>, done: &Done) -> Result<(), WorkError> {
    let (put_users, put_keys) = (tx.prepare(PUT_USERS).await?, tx.prepare(PUT_KEYS).await?);
    let users = &done.users;
    let ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
    let logins: Vec<_> = users.iter().map(|user| user.login.as_deref().map(census::folded)).collect();
    let names: Vec<_> = users.iter().map(|user| user.display_name.as_deref().map(census::folded)).collect();
    let status: Vec<i64> = users.iter().map(|user| codes::user(user.status)).collect();
    let seen: Vec<i64> = users.iter().map(|user| user.last_seen_at.as_millis()).collect();
    let records = users.iter().map(census::user_json).collect::<Result<Vec<_>, _>>()?;
    let users: [&(dyn ToSql + Sync); 6] = [&ids, &logins, &names, &status, &seen, &records];
    let keys: Vec<&str> = done.keys.iter().map(|(key, ..)| key.as_str()).collect();
    let answers: Vec<i64> = done.keys.iter().map(|(_, answer, _)| answer.bits().into()).collect();
    let expires: Vec<i64> = done.keys.iter().map(|(.., at)| at.as_millis()).collect();
    let rows: [&(dyn ToSql + Sync); 3] = [&keys, &answers, &expires];
    let (written, counted) =
        futures::join!(tx.inner.execute(&put_users, &users), tx.inner.execute(&put_keys, &rows));
    written?;
    // The same key for another user, at the same moment: it is known now.
    if counted? < keys.len() as u64 { Err(WorkError::Again) } else { Ok(()) }
}
