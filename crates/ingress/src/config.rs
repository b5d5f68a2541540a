//! What can be set, and what is fixed with its reason.

use std::path::PathBuf;
use std::time::Duration;

use chatbus_event::{InstanceId, Topic};

/// How the publisher works.
#[derive(Debug, Clone)]
pub struct IngressConfig {
    /// Where events are published.
    pub topic: Topic,
    /// This instance: names the spool's folder.
    pub instance: InstanceId,
    /// The folder that holds the spools of all instances of this host: `DATA_DIR/spool`.
    pub spool_root: PathBuf,
    /// `SPOOL_MAX_BYTES`: the oldest is dropped above it.
    pub spool_max_bytes: u64,
    /// `PUBLISH_MAX_RETRIES`: failures of one message before it counts as trouble.
    pub max_retries: u32,
    /// `DEDUPE_WINDOW_MS`: what waited longer is marked as late.
    pub dedupe_window: Duration,
    /// Most messages in flight.
    pub window_messages: usize,
    /// Most bytes in flight; one message over it is still sent, alone.
    pub window_bytes: usize,
    /// How long a stop waits for the bus before what it has not acknowledged goes to the spool.
    pub grace: Duration,
}

/// The limits of the pipeline's decisions.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) window_messages: usize,
    pub(crate) window_bytes: usize,
    pub(crate) max_retries: u32,
    /// An event of this age goes out marked.
    pub(crate) late_after: Duration,
    pub(crate) grace: Duration,
    /// What is not acknowledged at this age is written to the spool. A kill may lose what was read in
    /// the last 50 ms; the rest of that time is for the disk.
    pub(crate) save_after: Duration,
    /// While a message in flight is older, no more is taken in (see `pace_in_flight`), so that a burst
    /// that the bus swallows at its own speed waits in the socket and does not pass through the disk.
    pub(crate) pace_after: Duration,
    /// So many messages may be in flight whatever their age: a slow answer at chat rates is no burst.
    pub(crate) pace_in_flight: usize,
    /// A shut intake opens this often for one gulp: the socket is always read.
    pub(crate) gulp_every: Duration,
    /// Acknowledgements that do not come for this long while some are owed are trouble.
    pub(crate) stalled_after: Duration,
    /// Events that wait for the disk may hold this much memory; then the oldest are dropped.
    pub(crate) memory_bytes: usize,
    /// Read back from the spool at once.
    pub(crate) read_bytes: usize,
    /// The cursor is written at most this often: a lost one only repeats what is deduplicated.
    pub(crate) cursor_every: Duration,
    /// A disk that failed is tried again after this long.
    pub(crate) disk_retry: Duration,
    /// A write that takes longer counts as failed for the bound on memory.
    pub(crate) disk_hangs_after: Duration,
    /// Longer bodies are refused before they are kept anywhere.
    pub(crate) max_body: usize,
    /// For how long after a drop readiness says so.
    pub(crate) dropping_for: Duration,
}

/// Waits between attempts, doubling, with jitter.
pub(crate) const RETRY_INITIAL: Duration = Duration::from_millis(50);
/// Also how often a bus that says it is out of reach is tried all the same.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(5);
/// Events that emitters may have handed over before the pipeline takes them.
pub(crate) const QUEUE_EVENTS: usize = 256;

// === impl IngressConfig ===

impl IngressConfig {
    /// The defaults of contract section 2.
    pub fn new(instance: InstanceId, spool_root: impl Into<PathBuf>) -> Self {
        Self {
            topic: Topic::ingress(),
            instance,
            spool_root: spool_root.into(),
            spool_max_bytes: 1024 * 1024 * 1024,
            max_retries: 5,
            dedupe_window: Duration::from_secs(120),
            window_messages: 4096,
            window_bytes: 16 * 1024 * 1024,
            grace: Duration::from_secs(3),
        }
    }
}

// === impl Limits ===

impl Limits {
    pub(crate) fn new(config: &IngressConfig) -> Self {
        // The bus counts from when it stored the first copy; a little early costs a mark, a little
        // late would cost a duplicate.
        let margin = (config.dedupe_window / 10).min(Duration::from_secs(1));
        Self {
            window_messages: config.window_messages.max(1),
            window_bytes: config.window_bytes.max(1),
            max_retries: config.max_retries,
            late_after: config.dedupe_window.saturating_sub(margin),
            grace: config.grace,
            save_after: Duration::from_millis(35),
            pace_after: Duration::from_millis(8),
            pace_in_flight: 128,
            gulp_every: Duration::from_millis(15),
            stalled_after: Duration::from_millis(100),
            memory_bytes: 32 * 1024 * 1024,
            read_bytes: 1024 * 1024,
            cursor_every: Duration::from_millis(500),
            disk_retry: Duration::from_millis(200),
            disk_hangs_after: Duration::from_secs(1),
            max_body: 8 * 1024 * 1024,
            dropping_for: Duration::from_secs(60),
        }
    }
}
