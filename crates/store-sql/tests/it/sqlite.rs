//! SQLite: the suite that every driver passes, and what only a file does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_runtime::{Runtime, SystemEntropy};
use chatbus_store::conformance::Harness;
use chatbus_store::{Entry, Store, StoreError, StoreErrorKind};
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

fn raw(key: &str) -> Entry {
    let at = Timestamp::EPOCH;
    Entry::Raw { key: key.into(), body: "x".into(), why: "test".into(), at, expires_at: at }
}

async fn open(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    chatbus_store_sql::open(&format!("sqlite:{}", path.display()), Path::new("/nowhere"), runtime()).await
}

#[tokio::test]
async fn its_files_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path).await.unwrap();
    store.record(&[raw("a")]).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "the database, its log, its index of the log: {files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_schema_or_of_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    open(&path).await.unwrap().close().await;
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = open(&path).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("schema version 99"), "{error}");
    let other = dir.path().join("other");
    let text = "this is no database ".repeat(1000);
    std::fs::write(&other, &text).unwrap();
    assert_eq!(open(&other).await.err().unwrap().kind(), StoreErrorKind::Misconfigured);
    assert_eq!(std::fs::read_to_string(&other).unwrap(), text);
    let folder = open(dir.path()).await.err().unwrap();
    assert_eq!(folder.kind(), StoreErrorKind::Misconfigured, "{folder}");
}

#[tokio::test]
async fn what_was_asked_before_it_closes_is_done_and_what_comes_after_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path).await.unwrap();
    let connected = store.connected();
    let entries: Vec<Vec<Entry>> = (0..200).map(|n| vec![raw(&n.to_string())]).collect();
    let calls = entries.iter().map(|call| store.record(call));
    let (answers, ()) = futures::join!(futures::future::join_all(calls), store.close());
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.into_iter().filter_map(Result::err).all(|error| error.is_temporary()));
    assert!(!*connected.borrow());
    assert!(store.record(&[raw("late")]).await.unwrap_err().is_temporary());
    assert!(store.user("p:1").await.unwrap_err().is_temporary());
    let store = open(&path).await.unwrap();
    assert_eq!(store.sweep(Timestamp::EPOCH, 1000).await.unwrap(), done);
    store.close().await;
}

/// Calls at one moment are one commit, and each has an answer of its own.
#[tokio::test]
async fn a_call_that_is_refused_undoes_nothing_of_those_committed_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path).await.unwrap();
    // What only the database itself can refuse.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE TRIGGER never BEFORE INSERT ON raw WHEN new.key = 'worst' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .unwrap();
    let calls: Vec<Vec<Entry>> = (0..50)
        .map(|n| match n % 5 {
            0 => vec![raw(&format!("before {n}")), raw("worst")],
            _ => vec![raw(&n.to_string())],
        })
        .collect();
    let answers = futures::future::join_all(calls.iter().map(|call| store.record(call))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let kind = answer.err().map(|error| error.kind());
        assert_eq!(kind, (n % 5 == 0).then_some(StoreErrorKind::Refused), "{n}");
    }
    assert!(*store.connected().borrow());
    assert_eq!(store.sweep(Timestamp::EPOCH, 1000).await.unwrap(), 40);
    store.close().await;
}

/// For a moment, as another process does that writes; the call waits.
#[tokio::test]
async fn a_file_that_another_process_writes_to_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path).await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let entries = [raw("a")];
    let mut call = store.record(&entries);
    // Nothing can be told of a call that waits but that it has no answer, so it is looked at a few times.
    for _ in 0..5 {
        let waited = tokio::time::timeout(Duration::from_millis(20), &mut call).await;
        assert!(waited.is_err(), "it was written beside the other's transaction");
    }
    // Others are read meanwhile.
    assert!(store.sources().await.unwrap().is_empty());
    db.execute_batch("COMMIT").unwrap();
    call.await.unwrap();
    store.close().await;
}
