//! The embedded bus: durable, one process, nothing installed.
//!
//! SQLite in WAL mode in `DATA_DIR/bus/`, with `synchronous=FULL`. One thread writes, in groups: all
//! that waits is one transaction with one sync, and a receipt resolves only after the commit that
//! holds its message. What "on the bus" means here is therefore: synced to disk. A thread beside it
//! reads, another copies the log into the database. They are plain threads since SQLite blocks; an
//! idle bus costs nothing.
//!
//! [`EmbeddedBus::open`] takes the lock of DATA_DIR ([`DataLock`]): a second process is refused and
//! told to use NATS.
//!
//! # What is in the database
//! Anyone can look inside, also while the bus works (`sqlite3 -readonly DATA_DIR/bus/bus.db`). With
//! BUS_PREFIX `dev.` the file is `bus-dev..db`: each prefix is a bus of its own. Times are milliseconds
//! since 1970, UTC. `PRAGMA user_version` is the version of the tables.
//!
//! | table | holds |
//! |---|---|
//! | `topic` | `subject` (topic with prefix), `family`, `last_seq`, how many messages it ever had (`published`), its size now (`bytes`) |
//! | `message_FAMILY` | one row a message: `seq` (its place, growing through the family), `topic`, `at` (when it was accepted), `id`, `attributes` (a JSON object), `body` |
//! | `consumer_group` | `topic`, `name`; `cursor`: everything up to it is settled but for the rows of `unsettled`; `mark`: nothing after it was ever handed out; `settled` and `lost`: how many ever were |
//! | `unsettled` | messages of a group that were handed out and are not settled though the cursor has passed them, or that wait for their retry: `failures`, `deliveries`, `not_before` |
//! | `seen` | the ids of the dedupe window, in blocks: 12 bytes of the SHA-256 of topic, a zero byte and id, then 4 bytes of the place |
//!
//! Egress and lane families are queues: a settled message's row is deleted, and the group's cursor has
//! no meaning. All others are logs that only retention shortens.
//!
//! # Shared state
//! In memory; tokens and the delivery ledger also in `DATA_DIR/bus/state.db`, synced before a write is
//! answered. It serves the process that holds the lock.
//!
//! # What a kill leaves
//! Every message whose receipt resolved, every settlement that resolved, and of every message how
//! often it was handed out, at most one too many. A message that was in somebody's hands comes again.
//!
//! # When the disk is full
//! The group's transaction is rolled back and every publish in it answers `Full`; what was settled is
//! then tried alone, since it may make room. Nothing is half-written. [`chatbus_bus::BusStatus`] says
//! so until a commit succeeds.

mod bus;
mod codec;
mod commit;
mod config;
mod consumer;
mod dedupe;
mod error;
mod factory;
mod family;
mod group;
mod load;
mod lock;
mod queue;
mod reader;
mod retention;
mod scan;
mod schema;
mod seen;
mod shared;
mod state;
mod subject;
mod table;
mod topics;
mod writer;

pub use bus::EmbeddedBus;
pub use chatbus_sqlite::PAGE_BYTES;
pub use config::EmbeddedConfig;
pub use error::OpenError;
pub use factory::Factory;
pub use lock::DataLock;
