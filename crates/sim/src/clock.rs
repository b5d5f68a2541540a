//! The clocks of machines: wall clocks that differ by seconds, monotonic clocks that differ in speed.

use std::time::{Duration, Instant};

use chatbus_event::{Clock, Timestamp};

/// How one machine's clocks differ from true time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Skew {
    /// Milliseconds by which its wall clock is ahead.
    pub wall_ms: i64,
    /// How much faster, then slower, its monotonic clock runs, in a thousandth: ten is one percent.
    pub speed: u32,
}

/// A machine's clocks.
///
/// The executor's timers run in true time, so a monotonic clock may be ahead of it and never behind:
/// a timer would fire before its time by the clock that set it, and nothing real does that. So it runs
/// fast for a while and then slow, and its lead goes from nothing to a third of a second and back.
#[derive(Debug)]
pub(crate) struct SimClock {
    start: Instant,
    wall: Timestamp,
    skew: Skew,
}

/// How long a clock runs fast before it runs slow.
const PHASE: Duration = Duration::from_secs(30);

// === impl SimClock ===

impl SimClock {
    /// Clocks of a world that began at `start`.
    pub(crate) fn new(start: Instant, skew: Skew) -> Self {
        let wall = Timestamp::from_millis(1_735_689_600_000 + skew.wall_ms);
        Self { start, wall, skew }
    }

    fn passed(&self) -> Duration {
        now().saturating_duration_since(self.start)
    }

    fn lead(&self, passed: Duration) -> Duration {
        let phase = PHASE.as_micros();
        let at = passed.as_micros() % (2 * phase);
        let rising = at.min(2 * phase - at);
        let lead = rising * u128::from(self.skew.speed) / 1000;
        Duration::from_micros(u64::try_from(lead).unwrap_or(0))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.wall.plus(self.passed())
    }

    fn instant(&self) -> Instant {
        let passed = self.passed();
        self.start + passed + self.lead(passed)
    }
}

/// True time.
#[expect(clippy::disallowed_methods, reason = "the executor's paused time is the world's")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
