//! What drivers on SQLite share: the log copied into the database beside the writer.

mod checkpoint;

pub use checkpoint::{Checkpoints, Readers};

/// The size of a page of the databases that chatbus makes: a message or a snapshot of an event is one to two
/// KiB, of which a page of 4 KiB would often hold only one. What is larger than a page goes on in overflow
/// pages.
pub const PAGE_BYTES: u32 = 8192;
