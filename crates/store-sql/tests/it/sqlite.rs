//! SQLite: the suite that every driver passes, and what only a file does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_runtime::{Runtime, SystemEntropy};
use chatbus_store::conformance::Harness;
use chatbus_store::{Channel, Entry, Store, StoreErrorKind};
use chatbus_testkit::test_runtime;
use tempfile::TempDir;

/// Randomness of its own for each open: two processes never have the same.
fn runtime() -> Runtime {
    Runtime { entropy: Arc::new(SystemEntropy::new()), ..test_runtime(1) }
}

/// One file.
struct SqliteHarness(TempDir);

// === impl SqliteHarness ===

impl SqliteHarness {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data/store.db")
    }
}

#[async_trait]
impl Harness for SqliteHarness {
    fn runtime(&self) -> Runtime {
        runtime()
    }

    async fn open(&self) -> Arc<dyn Store> {
        chatbus_store_sql::open("sqlite:", &self.path(), runtime()).await.unwrap()
    }
}

mod suite {
    use super::SqliteHarness;

    chatbus_store::conformance_tests!(SqliteHarness::new());
}
