//! The statements that both databases take as they are, and those that differ in a word.

use std::fmt::Write as _;

use chatbus_store::life::FACTS;

use crate::dialect::Dialect;

pub(crate) const STEPS: &str = "SELECT s.key, s.name, s.at, s.detail, s.snapshot FROM step s \
    JOIN event e ON e.id = s.event WHERE e.correlation_id = ?1 ORDER BY s.at, s.key";

pub(crate) const LETTER_COLUMNS: &str = "id, correlation_id, reason, error_code, platform, topic, at, letter, \
    original, state, expires_at";

pub(crate) const OPEN_LETTERS: &str = "SELECT count(*), min(at) FROM letter WHERE state = 0";

/// Only one of those who do this at one moment finds a row.
pub(crate) const BEGIN_REPLAY: &str = "UPDATE letter SET state = 1 WHERE id = ?1 AND state = 0 RETURNING id";
pub(crate) const REPLAYING_LETTER: &str = "SELECT id, correlation_id, reason, error_code, platform, topic, at, \
    letter, original, state, expires_at FROM letter WHERE id = ?1 AND state = 1";

pub(crate) const SETTLE_LETTER: &str = "UPDATE letter SET state = ?2 WHERE id = ?1 AND state IN (0, 1)";
pub(crate) const LETTER_STATE: &str = "SELECT state FROM letter WHERE id = ?1";

pub(crate) const USER: &str = "SELECT id, record FROM users WHERE id = ?1";

pub(crate) const PUT_TOKEN: &str = "INSERT INTO token (hash, record) VALUES (?1, ?2) \
    ON CONFLICT (hash) DO UPDATE SET record = excluded.record";
pub(crate) const TOKENS: &str = "SELECT hash, record FROM token ORDER BY hash";
pub(crate) const REMOVE_TOKEN: &str = "DELETE FROM token WHERE hash = ?1 RETURNING hash";

pub(crate) const ACCOUNTS: &str = "SELECT platform, identity, user_id, login, sealed, updated_at, version \
    FROM account ORDER BY platform, identity";
pub(crate) const INSERT_ACCOUNT: &str = "INSERT INTO account \
    (platform, identity, user_id, login, sealed, updated_at, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1) \
    ON CONFLICT (platform, identity) DO NOTHING RETURNING version";
pub(crate) const UPDATE_ACCOUNT: &str = "UPDATE account SET user_id = ?3, login = ?4, sealed = ?5, \
    updated_at = ?6, version = version + 1 WHERE platform = ?1 AND identity = ?2 AND version = ?7 \
    RETURNING version";
pub(crate) const REMOVE_ACCOUNT: &str =
    "DELETE FROM account WHERE platform = ?1 AND identity = ?2 RETURNING version";

pub(crate) const DOCUMENTS_VERSION: &str = "SELECT version FROM document_version WHERE kind = ?1";
pub(crate) const DOCUMENTS: &str =
    "SELECT name, body, updated_at FROM document WHERE kind = ?1 ORDER BY name";
pub(crate) const PUT_DOCUMENT: &str = "INSERT INTO document (kind, name, body, updated_at) \
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT (kind, name) \
    DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at";
pub(crate) const DOCUMENT_WRITTEN: &str = "UPDATE document_version SET version = version + 1 WHERE kind = ?1";
/// Before the removal.
pub(crate) const DOCUMENT_REMOVED: &str = "UPDATE document_version SET version = version + 1 WHERE kind = ?1 \
    AND EXISTS (SELECT 1 FROM document WHERE kind = ?1 AND name = ?2)";
pub(crate) const REMOVE_DOCUMENT: &str = "DELETE FROM document WHERE kind = ?1 AND name = ?2 RETURNING name";

pub(crate) const SOURCES: &str = "SELECT platform, id, status, status_at, stream, stream_at, display_name, detail \
    FROM source ORDER BY platform, id";

pub(crate) const CHANNELS: &str = "SELECT platform, name FROM channel ORDER BY platform, name";
pub(crate) const ADD_CHANNEL: &str = "INSERT INTO channel (platform, name) VALUES (?1, ?2) \
    ON CONFLICT (platform, name) DO NOTHING RETURNING name";
pub(crate) const REMOVE_CHANNEL: &str =
    "DELETE FROM channel WHERE platform = ?1 AND name = ?2 RETURNING name";

/// The columns of an event's row that a life fills, in the order of [`life_values`](crate::batch::life_values).
pub(crate) fn life_columns() -> Vec<String> {
    let times = ["status", "first_at", "last_at", "expires_at", "expires_hour"].map(str::to_owned);
    let facts = FACTS.iter().flat_map(|fact| [(*fact).to_owned(), format!("{fact}_rank")]);
    times.into_iter().chain(facts).chain(["user_raw".to_owned()]).collect()
}

/// The assignments that join a life to a row, each with its column. `old` and `new` make the name of a column
/// there.
pub(crate) fn join_life(
    dialect: Dialect,
    old: impl Fn(&str) -> String,
    new: impl Fn(&str) -> String,
) -> Vec<(String, String)> {
    let joined = |column: &str, function: &str| {
        (column.to_owned(), format!("{column} = {function}({}, {})", old(column), new(column)))
    };
    let counts_more = |fact: &str| {
        let rank = format!("{fact}_rank");
        let (old_rank, new_rank) = (old(&rank), new(&rank));
        format!("{new_rank} > {old_rank} OR ({new_rank} = {old_rank} AND {} > {})", new(fact), old(fact))
    };
    let chosen = |column: &str, fact: &str| {
        let (counts_more, new, old) = (counts_more(fact), new(column), old(column));
        (column.to_owned(), format!("{column} = CASE WHEN {counts_more} THEN {new} ELSE {old} END"))
    };
    let mut assignments = vec![joined("first_at", dialect.smaller())];
    for column in ["status", "last_at", "expires_at", "expires_hour"] {
        assignments.push(joined(column, dialect.larger()));
    }
    for fact in FACTS {
        assignments.push(chosen(fact, fact));
        assignments.push(joined(&format!("{fact}_rank"), dialect.larger()));
    }
    assignments.push(chosen("user_raw", "user_id"));
    assignments
}

/// Assignments as they stand behind SET.
pub(crate) fn set(assignments: impl IntoIterator<Item = (String, String)>) -> String {
    assignments.into_iter().map(|(_, assignment)| assignment).collect::<Vec<_>>().join(", ")
}

/// Writes what became known of a source; what is older, and what is not told, changes nothing.
///
/// Parameters: platform, id, then each field with when it was told, both NULL where it was not.
pub(crate) fn put_source() -> String {
    let fields = ["status", "stream", "display_name", "detail"];
    let mut sql = String::from(
        "INSERT INTO source (platform, id, status, status_at, stream, stream_at, display_name, display_name_at, \
         detail, detail_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (platform, id) DO UPDATE SET ",
    );
    for (n, field) in fields.iter().enumerate() {
        let newer = format!("excluded.{field}_at >= source.{field}_at OR source.{field}_at IS NULL");
        let comma = if n == 0 { "" } else { ", " };
        for column in [(*field).to_owned(), format!("{field}_at")] {
            let comma = if column == *field { comma } else { ", " };
            let _ = write!(
                sql,
                "{comma}{column} = CASE WHEN excluded.{field}_at IS NOT NULL AND ({newer}) \
                 THEN excluded.{column} ELSE source.{column} END"
            );
        }
    }
    sql
}

/// Removes what is past its time from a table other than `event`, whose key is this column.
pub(crate) fn sweep(dialect: Dialect, table: &str, key: &str) -> String {
    let others = dialect.skip_locked();
    format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE expires_at <= ?1 LIMIT ?2{others}) \
         RETURNING 1"
    )
}
