//! What the embedded bus can be told, and the bounds it has when it is told nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::limits;

/// How to open an [`EmbeddedBus`](crate::EmbeddedBus).
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// DATA_DIR. The bus lives in `bus/` below it; the lock is `lock` in it.
    pub dir: PathBuf,
    /// BUS_PREFIX: of `A-Z a-z 0-9 _ - .`, at most 100 characters. Each prefix is a bus of its own.
    pub prefix: Arc<str>,
    /// How long an id is remembered. It is kept at least this long and at most an eighth longer.
    pub dedupe_window: Duration,
    /// How many ids are remembered at most, about 19 bytes of memory each. Beyond it the oldest
    /// eighth of the window is forgotten, which is logged.
    pub dedupe_ids: usize,
    /// How long topics other than egress and lanes are kept.
    pub retention: Duration,
    /// How many bytes of each such family are kept.
    pub retention_bytes: u64,
    /// How many bytes each egress or lane family holds before it refuses more.
    pub queue_bytes: u64,
    /// The largest body taken.
    pub max_message_bytes: usize,
    /// How many bytes may wait for the writer before [`publish`](chatbus_bus::Publish::publish)
    /// answers `Full` at once.
    pub backlog_bytes: usize,
    /// Pages of [`PAGE_BYTES`](crate::PAGE_BYTES) the database may have; `None` leaves it to the disk.
    /// Over it everything behaves as on a full disk.
    pub max_pages: Option<u32>,
    /// Stands in for the time to live of every space of the shared state that has one; for tests.
    pub state_ttl: Option<Duration>,
}

// === impl EmbeddedConfig ===

impl EmbeddedConfig {
    /// The bounds of the contract, no prefix.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            prefix: "".into(),
            dedupe_window: Duration::from_secs(120),
            dedupe_ids: 2_000_000,
            retention: limits::RETENTION,
            retention_bytes: limits::RETENTION_BYTES,
            queue_bytes: limits::QUEUE_BYTES,
            max_message_bytes: limits::MAX_MESSAGE_BYTES,
            backlog_bytes: 64 * 1024 * 1024,
            max_pages: None,
            state_ttl: None,
        }
    }
}
