//! The tables, the same in both databases.
//!
//! | table | holds |
//! |---|---|
//! | `meta` | `id`: the store's id; in PostgreSQL `schema` as well: the version of the tables (in SQLite that is `user_version`) |
//! | `event` | one row an event: how far it is, by what it is found, its times |
//! | `step` | one row a step of an event's way, with the event as it was then |
//! | `letter` | dead letters |
//! | `raw` | what is none of these |
//! | `source` | where events come from; each field with when it was told |
//! | `users` | one row a user: JSON, and by what users are found |
//! | `sighting` | keys of sightings, and what was answered |
//! | `token` `account` `document` `channel` | what people and programs set |
//! | `document_version` | a counter for each kind of document |
//!
//! Times are milliseconds since 1970. `event.expires_hour` is `expires_at` in whole hours: indexed in its place,
//! because each step moves `expires_at`, and a row whose indexed columns stay needs no new index entries.

use chatbus_store::life::FACTS;

/// One entry a version: `MIGRATIONS[n]` leads from version `n` to `n + 1`.
const MIGRATIONS: [fn(Types) -> String; 1] = [version_1];

/// How a database calls the types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Types {
    /// A number of 64 bits.
    pub(crate) int: &'static str,
    /// Text, compared byte by byte.
    pub(crate) text: &'static str,
    pub(crate) bytes: &'static str,
    /// A primary key that counts by itself.
    pub(crate) serial: &'static str,
    /// Behind a table whose rows are changed often.
    pub(crate) changing: &'static str,
}

/// The version that this build knows.
pub(crate) fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// What leads from a version to the newest one.
pub(crate) fn migrations(from: i64, types: Types) -> Vec<String> {
    let done = usize::try_from(from).unwrap_or(0);
    MIGRATIONS.iter().skip(done).map(|step| step(types)).collect()
}

/// What is said when a newer build made the tables.
pub(crate) fn too_new(found: i64) -> String {
    let known = version();
    format!(
        "the store has schema version {found}, this chatbus knows versions up to {known}: start the chatbus that \
         wrote it, or set another STORE_URL"
    )
}

fn version_1(types: Types) -> String {
    let Types { int, text, bytes, serial, changing } = types;
    let facts: String =
        FACTS.iter().map(|fact| format!("{fact} {text}, {fact}_rank {int} NOT NULL, ")).collect();
    format!(
        "CREATE TABLE meta (name {text} PRIMARY KEY, value {text} NOT NULL);
         CREATE TABLE event (id {serial}, correlation_id {text} NOT NULL UNIQUE, status {int} NOT NULL,
           first_at {int} NOT NULL, last_at {int} NOT NULL, expires_at {int} NOT NULL, expires_hour {int} NOT NULL,
           {facts}user_raw {text}){changing};
         CREATE INDEX event_first ON event (first_at);
         CREATE INDEX event_expires ON event (expires_hour);
         CREATE INDEX event_channel ON event (channel, first_at);
         CREATE INDEX event_user ON event (user_raw, first_at);
         CREATE INDEX event_name ON event (user_name, first_at);
         CREATE TABLE step (event {int} NOT NULL, key {text} NOT NULL, name {text} NOT NULL, at {int} NOT NULL,
           detail {bytes} NOT NULL, snapshot {bytes}, PRIMARY KEY (event, key));
         CREATE TABLE letter (id {text} PRIMARY KEY, correlation_id {text} NOT NULL, reason {text} NOT NULL,
           error_code {text}, platform {text}, topic {text}, at {int} NOT NULL, letter {bytes} NOT NULL,
           original {bytes}, state {int} NOT NULL, expires_at {int} NOT NULL);
         CREATE INDEX letter_at ON letter (at);
         CREATE INDEX letter_state ON letter (state, at);
         CREATE INDEX letter_event ON letter (correlation_id);
         CREATE INDEX letter_expires ON letter (expires_at);
         CREATE TABLE raw (key {text} PRIMARY KEY, body {bytes} NOT NULL, why {text} NOT NULL, at {int} NOT NULL,
           expires_at {int} NOT NULL);
         CREATE INDEX raw_expires ON raw (expires_at);
         CREATE TABLE source (platform {text} NOT NULL, id {text} NOT NULL, status {text}, status_at {int},
           stream {text}, stream_at {int}, display_name {text}, display_name_at {int}, detail {bytes},
           detail_at {int}, PRIMARY KEY (platform, id));
         CREATE TABLE users (id {text} PRIMARY KEY, provider {text} NOT NULL, login {text}, display_name {text},
           status {int} NOT NULL, last_seen_at {int} NOT NULL, record {bytes} NOT NULL){changing};
         CREATE INDEX users_login ON users (login);
         CREATE INDEX users_display_name ON users (display_name);
         CREATE TABLE sighting (key {text} PRIMARY KEY, answer {int} NOT NULL, expires_at {int} NOT NULL);
         CREATE INDEX sighting_expires ON sighting (expires_at);
         CREATE TABLE token (hash {text} PRIMARY KEY, record {bytes} NOT NULL);
         CREATE TABLE account (platform {text} NOT NULL, identity {text} NOT NULL, user_id {text}, login {text},
           sealed {bytes} NOT NULL, updated_at {int} NOT NULL, version {int} NOT NULL,
           PRIMARY KEY (platform, identity));
         CREATE TABLE document (kind {text} NOT NULL, name {text} NOT NULL, body {bytes} NOT NULL,
           updated_at {int} NOT NULL, PRIMARY KEY (kind, name));
         CREATE TABLE document_version (kind {text} PRIMARY KEY, version {int} NOT NULL);
         INSERT INTO document_version VALUES ('rule', 0), ('personality', 0);
         CREATE TABLE channel (platform {text} NOT NULL, name {text} NOT NULL, PRIMARY KEY (platform, name));"
    )
}
