//! The real clock and the real random source: the only place where the global ones are read.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chatbus_event::{Clock, Entropy, Timestamp};

/// The machine's clocks. The monotonic one is the executor's, so that paused time in tests holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Random bytes from the operating system, read in blocks.
#[derive(Default)]
pub struct SystemEntropy {
    unused: Mutex<Vec<u8>>,
}

/// One read of the operating system's source serves 256 UUIDs: a system call for each would be
/// the dearest part of making an envelope.
const BLOCK_BYTES: usize = 4096;

// === impl SystemClock ===

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock that is passed in comes from")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the clock that is passed in comes from")]
    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

// === impl SystemEntropy ===

impl SystemEntropy {
    /// The operating system's source.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes;
        while !rest.is_empty() {
            if unused.is_empty() {
                unused.resize(BLOCK_BYTES, 0);
                // Without randomness nothing here is safe to go on with, and no caller could help.
                getrandom::fill(&mut unused).expect("the operating system gives random bytes");
            }
            let (now, later) = rest.split_at_mut(rest.len().min(unused.len()));
            let from = unused.len() - now.len();
            now.copy_from_slice(&unused[from..]);
            unused.truncate(from);
            rest = later;
        }
    }
}

impl std::fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemEntropy")
    }
}
