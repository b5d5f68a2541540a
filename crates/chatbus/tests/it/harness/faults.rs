//! When faults strike, and how often.

use std::time::Duration;

use chatbus_event::Entropy as _;
use chatbus_runtime::SystemEntropy;
use chatbus_testkit::SeededEntropy;

/// Random moments that a seed repeats. The seed is printed.
#[derive(Debug)]
pub(crate) struct Moments(SeededEntropy);

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The short form's number, or the long one's.
pub(crate) fn scale<T>(short: T, long: T) -> T {
    if variable("CHATBUS_SOAK").is_some() { long } else { short }
}

// === impl Moments ===

impl Moments {
    pub(crate) fn new() -> Self {
        let random = || {
            let mut bytes = [0; 8];
            SystemEntropy::new().fill(&mut bytes);
            u64::from_le_bytes(bytes)
        };
        let seed = variable("CHATBUS_SEED").map_or_else(random, |text| text.parse().unwrap());
        println!("CHATBUS_SEED={seed}");
        Self(SeededEntropy::new(seed))
    }

    /// A time between these, in milliseconds.
    pub(crate) fn between(&self, from: u64, to: u64) -> Duration {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Duration::from_millis(from + u64::from_le_bytes(bytes) % (to - from + 1))
    }
}
