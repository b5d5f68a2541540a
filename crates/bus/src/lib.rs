//! The bus contract.
//!
//! A **topic** holds messages in the order in which they were accepted. A **subscription** is a
//! named group on one topic: each message goes to one member of each group, until it is settled.
//!
//! What every driver promises, and what the conformance suite proves:
//!
//! * **Publish.** [`Publish::publish`] never blocks and keeps the order of calls. Its [`Receipt`]
//!   resolves once the message is as durable as the driver makes it, or with an error. After an
//!   error, everything published after it may or may not have been stored: resend from the oldest
//!   failed message, with the same ids, and the dedupe window drops what was stored. A driver holds
//!   no message back to send it later by itself: what was not sent when a connection broke has failed.
//! * **Dedupe.** A second message with the same [`MessageId`](chatbus_event::MessageId) on the same
//!   topic within the dedupe window is dropped, and its receipt says so. The same id on another
//!   topic is another message.
//! * **Groups.** Members of a group compete; groups do not. A group receives what is published
//!   after it was first declared, whether or not a member lives, and nothing older. On egress and
//!   lane topics it begins with what is kept, so that what came before its reader waits for it.
//! * **Settlement.** [`Delivery::settle`] consumes the delivery. One that is dropped unsettled, or
//!   whose process dies, comes back. While a `Delivery` lives and its process runs, it is not
//!   redelivered, however long the handler takes.
//! * **Order.** A member gets messages in the topic's order. A retried one comes again later; order
//!   through retries is the business of whoever retries.
//! * **Bounds.** A member holds at most [`Subscription::max_in_flight`] unsettled deliveries.
//!   A message over [`Publish::max_message_bytes`] is refused, never cut.
//! * **Retention.** Egress and lane families hold a message until it is settled or removed, and
//!   refuse new ones when full. All others hold it for 24 h or 4 GiB, oldest out first, whatever
//!   was settled; what a group had not read by then is counted in [`Lag::lost`].

mod bus;
pub mod conformance;
mod dead_letters;
mod delivery;
mod error;
mod factory;
mod handler;
mod memory;
mod message;
mod receipt;
mod subscription;

pub use bus::{Bus, BusStatus, Lag, Publish, Records, Waiting};
pub use dead_letters::EventDeadLetters;
pub use delivery::{Consumer, DeadLettering, Delivery, Failure, Settlement, Settler};
pub use error::{BusError, BusErrorKind};
pub use factory::{BusFactory, OpenContext, OpenError, Opened, StateKind, StateReach};
pub use handler::{
    BatchHandler, BatchLoop, Handler, HandlerError, HandlerLoop, HandlerPolicy, Outgoing, exhausted,
    next_settlement,
};
pub use memory::{MemoryBus, MemoryConfig, MemoryFactory, MemoryStore};
pub use message::{Message, Record};
pub use receipt::{Receipt, Stored};
pub use subscription::{Group, InvalidGroup, Scan, ScanFrom, ScanTopics, Subscription};

/// How the defaults of every driver are bounded, unless its configuration says otherwise.
pub mod limits {
    use std::time::Duration;

    /// Largest body accepted on the bus. Ours are at most 256 KiB; the rest is room for third parties
    /// and for a dead letter that holds a whole original.
    pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024 - 64 * 1024;
    /// How long topics other than egress and lanes are kept.
    pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
    /// How much of each family other than egress and lanes is kept.
    pub const RETENTION_BYTES: u64 = 4 * 1024 * 1024 * 1024;
    /// How much an egress or lane family holds before it refuses new messages.
    pub const QUEUE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
    /// Redeliveries after crashes, on top of reported failures, before a message is given up.
    pub const MAX_CRASH_REDELIVERIES: u32 = 20;
    /// Unsettled deliveries a member holds unless it asks for fewer.
    pub const MAX_IN_FLIGHT: usize = 256;
    /// How long a living member of a deleted group leaves its topic without one before it declares the
    /// group again: room for whoever deleted it to put another in its place.
    pub const RECLAIM_AFTER: Duration = Duration::from_secs(2);
    /// How many topics [`Bus::waiting`](crate::Bus::waiting) gives at most.
    pub const MAX_WAITING: usize = 100_000;
}
