//! What became of events: their ways and their dead letters in the store, to look at and to replay.
//!
//! * [`Persistence`] is a [`BatchHandler`](chatbus_bus::BatchHandler) that reads every topic on which something
//!   becomes of an event, and writes it under the event's correlation id.
//! * [`sweep`] removes what is past its time.
//! * [`Timeline`] shows an event's way to people.
//! * [`replay`] publishes again what ended as dead letters.

mod config;
mod counters;
mod entries;
mod handler;
mod replay;
mod sweep;
mod timeline;

pub use config::PersistenceConfig;
pub use counters::{PersistenceCounters, PersistenceTotals};
pub use handler::Persistence;
pub use replay::{NotReplayed, Refusal, ReplayError, ReplayOptions, ReplayReport, ReplayTo, replay};
pub use sweep::sweep;
pub use timeline::{Timeline, TimelineLine};
