//! The spool: events on disk while the bus does not have them.
//!
//! One folder for each instance, locked. Records go to segment files in the order in which they were
//! read, each with a number; the cursor file says from which number on they still wait. What is pure
//! (the codec, the bookkeeping of segments) is apart from what touches files (the store, the folder),
//! and neither decides anything: that is the pipeline's.

pub(crate) mod codec;
pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod segments;
pub(crate) mod store;

pub(crate) use codec::Entry;
pub(crate) use disk::RealDisk;
pub(crate) use folder::Folder;
pub(crate) use store::{Found, Store};

/// What the store is to do, all in one trip off the executor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// Records to write and sync, with ascending numbers.
    pub(crate) append: Vec<Entry>,
    /// Records to read back.
    pub(crate) read: Option<Read>,
    /// Everything below this number is on the bus.
    pub(crate) cursor: Option<u64>,
}

/// What to read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// The first record.
    pub(crate) from: u64,
    /// About how much.
    pub(crate) max_bytes: usize,
}

/// What the store did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Every record below it is on disk, or was and is gone.
    pub(crate) durable: u64,
    /// The first record that is still on disk.
    pub(crate) oldest: u64,
    /// The length of the files.
    pub(crate) bytes: u64,
    /// The cursor that was written.
    pub(crate) cursor_written: Option<u64>,
    /// What was read back.
    pub(crate) loaded: Vec<Entry>,
    /// Up to where it was read, if it was: a number below it that is not in `loaded` is lost.
    pub(crate) read_to: Option<u64>,
    /// What failed.
    pub(crate) error: Option<String>,
}
