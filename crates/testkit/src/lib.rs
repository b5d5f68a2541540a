//! Tools for tests: fake time, seeded randomness, a spawner that runs on the test's executor,
//! and real servers on free ports.
//!
//! Not for production: nothing outside `dev-dependencies` may name this crate.

mod clock;
mod entropy;
pub mod nats;
pub mod postgres;
mod process;
mod runtime;

pub use clock::FakeClock;
pub use entropy::SeededEntropy;
pub use nats::{NatsConfig, NatsServer, NatsTls, ReservedPort, nats_server_binary};
pub use postgres::{Postgres, PostgresConfig};
pub use runtime::{TestSpawner, test_runtime};
