//! A clock that stands still until it is told to move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatbus_event::{Clock, Timestamp};

/// Both clocks begin at a fixed moment and move together.
#[derive(Debug, Clone)]
pub struct FakeClock {
    wall_start: Timestamp,
    start: Instant,
    passed: Arc<Mutex<Duration>>,
}

// === impl FakeClock ===

impl FakeClock {
    /// A clock at this moment.
    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the global clock")]
    pub fn at(wall: Timestamp) -> Self {
        Self { wall_start: wall, start: Instant::now(), passed: Arc::new(Mutex::new(Duration::ZERO)) }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn passed(&self) -> Duration {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.wall_start.plus(self.passed())
    }

    fn instant(&self) -> Instant {
        self.start + self.passed()
    }
}
