//! A runtime for tests.

use std::sync::Arc;

use chatbus_runtime::{CancellationToken, Runtime, Spawner, SystemClock, Task};

use crate::SeededEntropy;

/// Spawns on the executor of the test.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestSpawner;

// === impl TestSpawner ===

impl Spawner for TestSpawner {
    #[expect(clippy::disallowed_methods, reason = "the test's executor is the owner of its tasks")]
    fn spawn(&self, _name: &'static str, task: Task) {
        tokio::spawn(task);
    }
}

/// The executor's clock (paused where the test pauses it), seeded randomness, the test's executor.
pub fn test_runtime(seed: u64) -> Runtime {
    Runtime {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(seed)),
        spawner: Arc::new(TestSpawner),
        stop: CancellationToken::new(),
    }
}
