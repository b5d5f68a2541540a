//! Growing waits with jitter, so that many clients that lost one server do not come back at once.

use std::time::Duration;

use chatbus_event::Entropy;

/// Doubles from `initial` to `max`; each wait is between half and all of the current step.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    step: u32,
}

// === impl Backoff ===

impl Backoff {
    /// A backoff at its first step. `max` below `initial` counts as `initial`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max: max.max(initial), step: 0 }
    }

    /// The next wait; each call moves on one step.
    pub fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let ceiling =
            self.initial.saturating_mul(1_u32.checked_shl(self.step).unwrap_or(u32::MAX)).min(self.max);
        self.step = self.step.saturating_add(1).min(31);
        ceiling.mul_f64(0.5 + entropy.unit() / 2.0)
    }

    /// Back to the first step, after a success that lasted.
    pub fn reset(&mut self) {
        self.step = 0;
    }

    /// How many waits were handed out since the last reset.
    pub fn attempts(&self) -> u32 {
        self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn waits_double_to_the_limit_and_start_over_after_a_success() {
        let entropy = SystemEntropy::new();
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for ceiling in [1, 2, 4, 8, 16, 30, 30, 30] {
            let wait = backoff.next(&entropy);
            assert!(wait <= Duration::from_secs(ceiling) && wait >= Duration::from_millis(ceiling * 500));
        }
        backoff.reset();
        assert!(backoff.next(&entropy) <= Duration::from_secs(1));
    }
}
