//! Keeps a rate over a whole run: what a late wake-up missed is made up for.

use std::time::{Duration, Instant};

use chatbus_event::Clock;

/// A run at a rate, or as fast as it goes.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    rate: Option<f64>,
}

// === impl Pace ===

impl Pace {
    /// Starts now; `rate` is per second.
    pub(super) fn new(rate: Option<f64>, clock: &dyn Clock) -> Self {
        Self { start: clock.instant(), rate: rate.filter(|rate| *rate > 0.0) }
    }

    /// How many more may go now, at least one and at most `most`; waits until one may.
    pub(super) async fn next(&self, done: u64, most: u64, clock: &dyn Clock) -> u64 {
        let Some(rate) = self.rate else { return most };
        loop {
            let passed = clock.instant().saturating_duration_since(self.start).as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of messages, far below what f64 holds exactly"
            )]
            let due = (passed * rate).floor() as u64 + 1;
            if due > done {
                return (due - done).min(most);
            }
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let at = done as f64 / rate;
            let wait = Duration::try_from_secs_f64(at - passed).unwrap_or_default();
            tokio::time::sleep(wait.max(Duration::from_micros(100))).await;
        }
    }
}
