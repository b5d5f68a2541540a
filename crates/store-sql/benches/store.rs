//! How much the stores take: steps a second in calls of 512 (three steps an event, the first with a snapshot of
//! 1 KiB, each step in a later call than the one before), and sightings a second in calls of 256 (a quarter of
//! them of users that are new). Synced to the disk: SQLite with `synchronous = FULL`, PostgreSQL with `fsync`.
//!
//! `cargo bench -p chatbus-store-sql -- [--seconds 10] [--callers 2]`

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_event::Timestamp;
use chatbus_store::{Entry, EventFacts, EventStatus, Sighting, StepEntry, Store, StoreError};
use chatbus_testkit::{PostgresConfig, test_runtime};
use tokio::sync::mpsc;

const STEPS: u64 = 512;
const SIGHTINGS: u64 = 256;

type Failure = Box<dyn std::error::Error>;

struct Options {
    seconds: u64,
    callers: u64,
}

fn main() -> Result<(), Failure> {
    let options = options();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // Beside the build's output rather than in /tmp, which may be memory.
        let dir = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let file = dir.path().join("store.db");
        measure("SQLite", "sqlite:", &file, &options).await?;
        let server = PostgresConfig { fsync: true, ..PostgresConfig::default() }.start().await;
        measure("PostgreSQL", &server.url(), &file, &options).await
    })
}

fn options() -> Options {
    let mut options = Options { seconds: 10, callers: 2 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = |default| args.next().and_then(|n| n.parse().ok()).unwrap_or(default);
        match arg.as_str() {
            "--seconds" => options.seconds = number(options.seconds),
            "--callers" => options.callers = number(options.callers).max(1),
            _ => {}
        }
    }
    options
}

async fn measure(what: &str, url: &str, file: &Path, options: &Options) -> Result<(), Failure> {
    let store = chatbus_store_sql::open(url, file, test_runtime(1)).await?;
    let body = Bytes::from(vec![b'x'; 1024]);
    let record = move |store: Arc<dyn Store>, call: u64| {
        let entries: Vec<Entry> = (0..STEPS).map(|n| step(call, n, &body)).collect();
        async move { store.record(&entries).await }
    };
    let rate = run(&store, options, STEPS, record).await?;
    println!("{what}: {}", rate.text("steps"));
    let sight = |store: Arc<dyn Store>, call: u64| {
        let sightings: Vec<Sighting> = (0..SIGHTINGS).map(|n| sighting(call, n)).collect();
        async move { store.sight(&sightings).await.map(drop) }
    };
    let rate = run(&store, options, SIGHTINGS, sight).await?;
    println!("{what}: {}", rate.text("sightings"));
    store.close().await;
    Ok(())
}

struct Rate {
    per_second: f64,
    /// Of each call, sorted.
    latencies: Vec<Duration>,
}

// === impl Rate ===

impl Rate {
    fn text(&self, of: &str) -> String {
        let at = |permille: usize| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies.get(last * permille / 1000).copied().unwrap_or_default()
        };
        format!("{:.0} {of}/s, a call p50 {:.1?}, p99 {:.1?}", self.per_second, at(500), at(990))
    }
}

/// Calls one after the other by each caller, until the time is over.
async fn run<F, C>(store: &Arc<dyn Store>, options: &Options, size: u64, call: C) -> Result<Rate, Failure>
where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
    C: Fn(Arc<dyn Store>, u64) -> F + Send + Sync + 'static,
{
    let (call, calls) = (Arc::new(call), Arc::new(AtomicU64::new(0)));
    let (tell, mut told) = mpsc::channel(64);
    let (begun, time) = (now(), Duration::from_secs(options.seconds));
    for _ in 0..options.callers {
        let (store, call, calls, tell) =
            (Arc::clone(store), Arc::clone(&call), Arc::clone(&calls), tell.clone());
        test_runtime(1).spawn("bench.caller", async move {
            while now() - begun < time {
                let number = calls.fetch_add(1, Ordering::Relaxed);
                let asked = now();
                let answer = call(Arc::clone(&store), number).await.map(|()| now() - asked);
                if tell.send(answer).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(tell);
    let mut latencies = Vec::new();
    while let Some(answer) = told.recv().await {
        latencies.push(answer?);
    }
    let passed = now() - begun;
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a rate to three digits")]
    let per_second = (latencies.len() as u64 * size) as f64 / passed.as_secs_f64();
    Ok(Rate { per_second, latencies })
}

/// Three calls in a row are about the same events: in the first they are new, in the others they are there.
fn step(call: u64, n: u64, body: &Bytes) -> Entry {
    let round = call % 3;
    let event = call / 3 * STEPS + n;
    let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(event * 3 + round).unwrap_or_default());
    let (key, name, status) = match round {
        0 => ("ingress", "received", EventStatus::Ingested),
        1 => ("enriched", "enriched", EventStatus::InProgress),
        _ => ("outcome", "outcome", EventStatus::Finalized),
    };
    let user = event % 5000;
    let facts = (round < 2).then(|| EventFacts {
        kind: "chat.message.v1".into(),
        source: "ingress.bench".into(),
        platform: Some("bench".into()),
        channel: Some(format!("#channel_{}", event % 100)),
        user_id: Some(if round == 0 { user.to_string() } else { format!("bench:{user}") }),
        user_name: Some(format!("Viewer {user}")),
        text: Some(format!("hello number {event}, this is what somebody said")),
    });
    Entry::Step(StepEntry {
        correlation_id: uuid(event),
        key: key.into(),
        name: name.into(),
        at,
        detail: Bytes::from_static(b"{\"topic\":\"internal.ingress.v1\"}"),
        snapshot: (round == 0).then(|| body.clone()),
        status,
        facts,
        expires_at: at.plus(Duration::from_secs(7 * 24 * 3600)),
    })
}

fn sighting(call: u64, n: u64) -> Sighting {
    let at = call * SIGHTINGS + n;
    let user = if n.is_multiple_of(4) { at } else { at % 1000 };
    Sighting {
        key: uuid(at),
        key_expires_at: Timestamp::from_millis(2_000_000_000_000),
        provider: "bench".into(),
        provider_user_id: user.to_string(),
        login: Some(format!("viewer_{user}")),
        display_name: Some(format!("Viewer {user}")),
        email: None,
        roles: None,
        at: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(at).unwrap_or_default()),
        is_message: true,
    }
}

/// Spread like a random one, so that indexes are met where they would be.
fn uuid(n: u64) -> String {
    let spread = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4000-8000-{n:012x}", spread >> 32, spread & 0xffff)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}
