//! PostgreSQL: the suite that every driver passes, and what only a server does.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chatbus_runtime::{Runtime, SystemEntropy};
use chatbus_store::Store;
use chatbus_store::conformance::{Harness, Outage};
use chatbus_testkit::{Postgres, test_runtime};

/// Randomness of its own for each open: two processes never have the same.
fn runtime() -> Runtime {
    Runtime { entropy: Arc::new(SystemEntropy::new()), ..test_runtime(1) }
}

/// One server.
struct PostgresHarness(Postgres);

// === impl PostgresHarness ===

impl PostgresHarness {
    async fn new() -> Self {
        Self(Postgres::start().await)
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    fn runtime(&self) -> Runtime {
        runtime()
    }

    async fn open(&self) -> Arc<dyn Store> {
        chatbus_store_sql::open(&self.0.url(), Path::new(""), runtime()).await.unwrap()
    }
}

#[async_trait]
impl Outage for PostgresHarness {
    async fn outage(&self) {
        self.0.kill();
    }

    async fn restore(&self) {
        self.0.restart().await;
    }
}

mod suite {
    use super::PostgresHarness;

    chatbus_store::conformance_tests!(PostgresHarness::new().await, outage);
}
