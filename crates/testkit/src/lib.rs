//! Tools for tests: fake time, seeded randomness, a spawner that runs on the test's executor.
//!
//! Not for production: nothing outside `dev-dependencies` may name this crate.

mod clock;
mod entropy;
mod runtime;

pub use clock::FakeClock;
pub use entropy::SeededEntropy;
pub use runtime::{TestSpawner, test_runtime};
