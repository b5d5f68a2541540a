//! Shared state: what instances have to know of each other, and nothing else.
//!
//! A **space** holds small values under keys. Every write gets a **revision**, larger than all before
//! it in the space, and can be made to depend on what stands there: that is all the agreement there is.
//!
//! What every driver promises, and what the conformance suite proves:
//!
//! * **Compare and set.** Of several writes that expect the same, at most one succeeds. A write whose
//!   answer was lost may have been done: who needs to know reads again.
//! * **Reads are of what was written.** A [`State::get`] that begins after a write was answered sees it
//!   or a later one.
//! * **Time to live.** An entry that was not written for its space's [`Space::ttl`] is forgotten, at the
//!   latest after twice that long. Nobody is told: time to live is for tidying up, never for deciding.
//! * **Watching.** A watch tells what there is, then [`Change::Current`], then every change of a key in
//!   the order of revisions; several changes of one key may come as the last one. It ends when the
//!   connection does. A watch is a hint: who has to be sure reads.
//! * **Bounds.** A key has at most [`Key::MAX_LEN`] characters, a value [`MAX_VALUE_BYTES`], a space
//!   [`Space::max_bytes`]; what is over that is refused, and changes nothing.
//!
//! Leases ([`Lease`], [`LeaseView`]) are built on that, and on nothing else: a holder renews its key, and
//! who watches takes it for dead when its revision has not changed for the lease's time, measured on the
//! watcher's own monotonic clock. No wall clock is ever compared with another's.

pub mod conformance;
mod error;
mod key;
mod lease;
mod leases;
mod memory;
mod mirror;
mod observer;
mod served;
mod space;
mod state;
mod table;

pub use error::{StateError, StateErrorKind};
pub use key::{InvalidKey, Key};
pub use lease::{Held, Lease, LeaseTimes, Lost};
pub use leases::{LeaseView, Liveness};
pub use memory::{MemoryState, MemoryStateStore};
pub use mirror::Mirror;
pub use observer::Observer;
pub use served::Trace;
pub use space::{Space, entry_bytes};
pub use state::{Change, Changes, Entry, Expected, Revision, State};
pub use table::{Table, TableChanges, check_size};

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
