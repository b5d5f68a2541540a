//! From a platform's socket to the bus.
//!
//! Connectors hand events over through [`Emit`](chatbus_connector::Emit); one task publishes them all, in order,
//! with a window of messages in flight and never a round trip for each. What it promises:
//!
//! * **Nothing vanishes.** An event is on the bus, or in the spool on disk, or counted as dropped for a
//!   stated reason. A kill at any moment costs at most what was read in the last 50 ms: whatever the
//!   bus has not acknowledged 25 ms after it was read is written and synced, outage or not. (A disk
//!   whose sync takes longer than the other 25 ms makes it that much more.)
//! * **The socket is always read.** [`Emit`](chatbus_connector::Emit) waits for a short queue, never for
//!   the bus. While the bus answers but is slower than what comes, the queue opens every 15 ms only, so
//!   that a burst waits in the socket and not on disk; as soon as the bus falls silent, all is taken.
//! * **Order.** All events keep the order in which they were emitted, through retries, the spool and
//!   restarts, and so does every conversation. After a break everything unacknowledged is sent again
//!   from the oldest on, under the same ids, which the bus deduplicates.
//! * **Late is marked.** What waited longer than the dedupe window carries `metadata.late: true`.
//! * **One message never holds the line.** One that is too long for the bus goes out without its raw
//!   payload, or as a dead letter; so does one that is refused again and again while the next is taken.
//!
//! [`Ingress::open`] puts it together; the decisions are a pure state machine in `machine`.

mod adopt;
mod config;
mod emitter;
mod health;
mod ingress;
mod kept;
mod machine;
mod meter;
mod pack;
mod pipeline;
mod platforms;
mod rewrite;
mod spool;

pub use config::IngressConfig;
pub use emitter::Tally;
pub use health::IngressHealth;
pub use ingress::{Ingress, IngressHandle, OpenError};
