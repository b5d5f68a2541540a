//! PostgreSQL: the suite that every driver passes, and what only a server does.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{Clock as _, Entropy as _, Timestamp};
use chatbus_runtime::{Runtime, SystemClock, SystemEntropy};
use chatbus_store::conformance::{Harness, Outage};
use chatbus_store::{Entry, EventStatus, Sighting, StepEntry, Store, StoreError, StoreErrorKind};
use chatbus_testkit::{Postgres, PostgresConfig, test_runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_postgres::NoTls;

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

fn raw(key: &str) -> Entry {
    let at = Timestamp::EPOCH;
    Entry::Raw { key: key.into(), body: "x".into(), why: "test".into(), at, expires_at: at }
}

fn sighting(key: &str, user: &str) -> Sighting {
    Sighting {
        key: key.into(),
        key_expires_at: Timestamp::EPOCH,
        provider: "p".into(),
        provider_user_id: user.into(),
        login: None,
        display_name: None,
        email: None,
        roles: None,
        at: Timestamp::EPOCH,
        is_message: true,
    }
}

async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    chatbus_store_sql::open(url, Path::new(""), runtime()).await
}

/// A connection of the test's own.
async fn client(server: &Postgres) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    runtime().spawn("test.connection", async move { drop(connection.await) });
    client
}

async fn wait_connected(store: &Arc<dyn Store>, connected: bool) {
    let mut seen = store.connected();
    let changed = timeout(Duration::from_secs(30), seen.wait_for(|now| *now == connected)).await;
    assert!(changed.is_ok(), "it never became {connected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unavailable_within_the_bound_and_nothing_hangs_with_it() {
    let server = Postgres::start().await;
    let store = open(&server.url()).await.unwrap();
    store.record(&[raw("before")]).await.unwrap();
    server.freeze();
    let begun = SystemClock.instant();
    // More than there are connections: those that wait for one fail as well.
    let entries = [raw("a")];
    let calls = (0..40).map(|_| async {
        let answer = timeout(Duration::from_secs(8), store.record(&entries)).await;
        assert!(answer.unwrap().unwrap_err().is_temporary());
    });
    futures::future::join_all(calls).await;
    let passed = SystemClock.instant() - begun;
    assert!(passed < Duration::from_secs(8), "{passed:?}");
    wait_connected(&store, false).await;
    let at_once = timeout(Duration::from_secs(1), store.user("p:1")).await;
    assert!(at_once.unwrap().unwrap_err().is_temporary(), "nobody waits for what is known to be away");
    let opened = timeout(Duration::from_secs(8), open(&server.url())).await.unwrap();
    assert_eq!(opened.err().unwrap().kind(), StoreErrorKind::Unavailable);
    server.thaw();
    wait_connected(&store, true).await;
    store.record(&[raw("after")]).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_kill_of_the_server_at_any_moment() {
    let server = Postgres::start().await;
    let store = open(&server.url()).await.unwrap();
    let entropy = SystemEntropy::new();
    let mut answered = 0;
    for round in 0..4 {
        let (stop, stopped) = watch::channel(false);
        let (tell, told) = oneshot::channel();
        let writer = Arc::clone(&store);
        runtime().spawn("test.writer", async move {
            let mut done = 0;
            for n in 0.. {
                if *stopped.borrow() || writer.record(&[raw(&format!("{round} {n}"))]).await.is_err() {
                    break;
                }
                done += 1;
            }
            let _ = tell.send(done);
        });
        // The moment of the kill is a time, so there is no condition to wait for.
        tokio::time::sleep(Duration::from_micros(entropy.next_u64() % 200_000)).await;
        server.kill();
        stop.send_replace(true);
        answered += told.await.unwrap();
        wait_connected(&store, false).await;
        server.restart().await;
        wait_connected(&store, true).await;
    }
    let mut there = 0;
    loop {
        let gone = store.sweep(Timestamp::EPOCH, 10_000).await.unwrap();
        there += gone;
        if gone < 10_000 {
            break;
        }
    }
    assert!((answered..=answered + 4).contains(&there), "{answered} were answered, {there} are there");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_says_why_and_never_the_password() {
    let server = Postgres::start().await;
    let right = server.url();
    let password = server.password_in_url();
    let other = right.replace(&password, "hunter2");
    let nobody = right.replace(&format!(":{}/", server.port()), ":1/");
    let plain_only = format!("{right}?sslmode=require");
    for (url, kind) in [
        (other.as_str(), StoreErrorKind::Misconfigured),
        (&format!("{right}_not_there"), StoreErrorKind::Misconfigured),
        (&nobody, StoreErrorKind::Unavailable),
        (&plain_only, StoreErrorKind::Unavailable),
        (&format!("{plain_only}&sslrootcert=/nowhere/ca.pem"), StoreErrorKind::Misconfigured),
    ] {
        let error = open(url).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        let said = format!("{error} {error:?}");
        for secret in ["hunter2", password.as_str(), server.password()] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    let client = client(&server).await;
    let store = open(&right).await.unwrap();
    client.batch_execute("UPDATE chatbus.meta SET value = '99' WHERE name = 'schema'").await.unwrap();
    let error = open(&right).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("schema version 99"), "{error}");
    client
        .batch_execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        .await
        .unwrap();
    let latin = format!("{}/latin", right.rsplit_once('/').unwrap().0);
    let refused = open(&nobody).await.err().unwrap().to_string();
    assert!(refused.contains("127.0.0.1:1") && refused.contains("refused"), "{refused}");
    let error = open(&latin).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("UTF8"), "{error}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_a_new_database_at_one_moment_make_one_store() {
    let server = Postgres::start().await;
    let url = server.url();
    let opened = futures::future::join_all((0..6).map(|_| open(&url))).await;
    let stores: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    assert!(stores.iter().all(|store| store.id() == stores[0].id()));
    for store in stores {
        store.close().await;
        assert!(!*store.connected().borrow());
        assert!(store.user("p:1").await.unwrap_err().is_temporary());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_go_with_their_event_and_leave_nothing_behind() {
    let server = Postgres::start().await;
    let store = open(&server.url()).await.unwrap();
    let step = |id: &str, expires_at| StepEntry {
        correlation_id: id.into(),
        key: "a".into(),
        name: "a".into(),
        at: Timestamp::EPOCH,
        detail: "{}".into(),
        snapshot: None,
        status: EventStatus::Ingested,
        facts: None,
        expires_at,
    };
    let later = Timestamp::from_millis(1);
    let steps = [step("gone", Timestamp::EPOCH), step("stays", later)].map(Entry::Step);
    store.record(&steps).await.unwrap();
    assert_eq!(store.sweep(Timestamp::EPOCH, 10).await.unwrap(), 1);
    let left = client(&server).await.query_one("SELECT count(*) FROM chatbus.step", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 1);
    store.close().await;
}

/// Somebody who locks rows in another order than the store does.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_that_the_server_breaks_is_tried_again_and_counted_once() {
    // Time for the other to ask for its second row before the server looks for deadlocks.
    let settings = vec!["deadlock_timeout=2s".into()];
    let server = PostgresConfig { settings, ..PostgresConfig::default() }.start().await;
    let store = open(&server.url()).await.unwrap();
    store.sight(&[sighting("a", "1"), sighting("b", "2")]).await.unwrap();
    let (other, watcher) = (client(&server).await, client(&server).await);
    let lock = |id: &str| format!("SELECT 1 FROM chatbus.users WHERE id = 'p:{id}' FOR UPDATE");
    // Of two that wait for each other the one that looks is broken off; this one never looks.
    other.batch_execute(&format!("SET deadlock_timeout = '10min'; BEGIN; {}", lock("2"))).await.unwrap();
    let counted = Arc::clone(&store);
    let (tell, told) = oneshot::channel();
    runtime().spawn("test.sight", async move {
        let _ = tell.send(counted.sight(&[sighting("c", "1"), sighting("d", "2")]).await);
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chatbus' AND wait_event_type = 'Lock'";
    let waiting = timeout(Duration::from_secs(30), async {
        while watcher.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waiting.await.expect("the store waits for the row");
    other.batch_execute(&lock("1")).await.expect("the store's transaction was broken off");
    other.batch_execute("COMMIT").await.unwrap();
    let seen = told.await.unwrap().unwrap();
    assert!(seen.iter().all(|seen| seen.user.messages == 2 && !seen.is_repeated));
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    // The server counts with a delay.
    let counted = timeout(Duration::from_secs(30), async {
        while watcher.query_one(deadlocks, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    counted.await.expect("there was a deadlock");
    store.close().await;
}

/// A row that somebody else holds for longer than a call may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_nobody_lets_go_of_fails_the_calls_that_need_it_and_no_others() {
    let server = Postgres::start().await;
    let store = open(&server.url()).await.unwrap();
    store.sight(&[sighting("a", "1")]).await.unwrap();
    let client = client(&server).await;
    client.batch_execute("BEGIN; SELECT 1 FROM chatbus.users WHERE id = 'p:1' FOR UPDATE").await.unwrap();
    let needs_it = [sighting("b", "1")];
    let needs_it = timeout(Duration::from_secs(8), store.sight(&needs_it));
    let another = [sighting("c", "2")];
    let another = timeout(Duration::from_secs(3), store.sight(&another));
    let (needs_it, another) = tokio::join!(needs_it, another);
    assert!(needs_it.unwrap().unwrap_err().is_temporary());
    another.unwrap().unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let counted = store.sight(&[sighting("b", "1")]).await.unwrap();
    assert_eq!((counted[0].user.messages, counted[0].is_repeated), (2, false));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_only_with_a_certificate_that_is_and_then_everything_is_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
                .split(' '),
        )
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args([Path::new("-keyout"), &key, Path::new("-out"), &cert])
        .output()
        .expect("the openssl command is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let config = PostgresConfig { tls: Some((cert.clone(), key)), ..PostgresConfig::default() };
    let server = config.start().await;
    let required = format!("{}?sslmode=require", server.url());
    let error = open(&required).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let store = open(&format!("{required}&sslrootcert={}", cert.display())).await.unwrap();
    store.record(&[raw("a")]).await.unwrap();
    let rows = client(&server)
        .await
        .query(
            "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE application_name = 'chatbus' GROUP BY ssl ORDER BY ssl",
            &[],
        )
        .await
        .unwrap();
    let kinds: Vec<(bool, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(matches!(kinds[..], [(true, _)]), "encrypted or not, and how many: {kinds:?}");
    store.close().await;
}
