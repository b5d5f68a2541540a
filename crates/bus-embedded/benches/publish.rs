//! Durable publishing against its ceiling: the same records appended to a plain file with one
//! `fdatasync` for each group of as many as are in flight.
//!
//! `cargo bench -p chatbus-bus-embedded -- [--seconds 10] [--in-flight 64] [--settle]`

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_bus::{
    Bus as _, BusError, DeadLettering, Failure, Group, Message, Publish as _, Receipt, Record, Settlement,
    Subscription,
};
use chatbus_bus_embedded::{EmbeddedBus, EmbeddedConfig};
use chatbus_event::{Attributes, MessageId, Topic};
use chatbus_testkit::test_runtime;

/// One record: id, attributes and body come to 1.2 KiB.
const BODY_BYTES: usize = 850;

struct Options {
    seconds: u64,
    in_flight: usize,
    settle: bool,
}

struct Outcome {
    rate: f64,
    /// Sorted, in microseconds.
    latencies: Vec<u32>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options();
    // Beside the build's output rather than in /tmp, which may be memory.
    let dir = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let rounds = 3;
    for round in 1..=rounds {
        let ceiling = plain_file(dir.path(), &options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let bus = runtime.block_on(embedded(&dir.path().join(round.to_string()), &options))?;
        print(&format!("round {round}: plain file, fdatasync per group"), &ceiling);
        print(&format!("round {round}: embedded bus"), &bus);
        println!("    ratio {:.0} %, peak resident {} MiB", 100.0 * bus.rate / ceiling.rate, peak_mib());
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options { seconds: 10, in_flight: 64, settle: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok());
        match arg.as_str() {
            "--seconds" => options.seconds = number().unwrap_or(options.seconds),
            "--in-flight" => {
                options.in_flight =
                    number().and_then(|n| usize::try_from(n).ok()).unwrap_or(options.in_flight);
            }
            "--settle" => options.settle = true,
            _ => {}
        }
    }
    options
}

fn message(n: u64) -> Message {
    let attributes: Attributes = [
        ("correlationId", format!("6f2a4c1e-0000-4000-8000-{n:012}")),
        ("type", "chat.message.v1".into()),
        ("source", "ingress.twitch".into()),
        ("messageId", format!("3e8b9f7c-0000-4000-8000-{n:012}")),
        ("channel", "#my_channel".into()),
        ("ce-id", format!("3e8b9f7c-0000-4000-8000-{n:012}")),
        ("ce-type", "chat.message.v1".into()),
        ("ce-source", "ingress.twitch".into()),
        ("ce-specversion", "1.0".into()),
    ]
    .into_iter()
    .collect();
    Message::new(
        MessageId::new(&format!("3e8b9f7c-0000-4000-8000-{n:012}")),
        attributes,
        vec![b'x'; BODY_BYTES],
    )
}

/// As many bytes as the bus stores of a message.
fn record_bytes() -> usize {
    let message = message(0);
    let attributes: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    message.id.as_str().len() + attributes + message.body.len()
}

fn plain_file(dir: &Path, options: &Options) -> std::io::Result<Outcome> {
    let path = dir.join("plain");
    let mut file = std::fs::File::create(&path)?;
    let group = vec![b'x'; record_bytes() * options.in_flight];
    let (start, mut latencies) = (now(), Vec::new());
    while now() - start < Duration::from_secs(options.seconds) {
        let begun = now();
        file.write_all(&group)?;
        file.sync_data()?;
        let micros = u32::try_from((now() - begun).as_micros()).unwrap_or(u32::MAX);
        latencies.extend(std::iter::repeat_n(micros, options.in_flight));
    }
    let outcome = outcome(latencies, now() - start);
    std::fs::remove_file(&path)?;
    Ok(outcome)
}

async fn embedded(dir: &Path, options: &Options) -> Result<Outcome, Box<dyn std::error::Error>> {
    let runtime = test_runtime(1);
    let bus = EmbeddedBus::open(EmbeddedConfig::new(dir), Arc::new(NoDeadLetters), runtime.clone())?;
    if options.settle {
        let subscription = Subscription::new(Topic::ingress(), Group::parse("bench")?);
        let mut member = bus.subscribe(subscription).await?;
        let spawn = runtime.clone();
        runtime.spawn("bench.settle", async move {
            while let Some(delivery) = member.next().await {
                spawn.spawn("bench.ack", async move {
                    if let Err(error) = delivery.settle(Settlement::Ack).await {
                        println!("not settled: {error}");
                    }
                });
            }
        });
    }
    let publisher = Arc::clone(&bus);
    let (seconds, in_flight) = (options.seconds, options.in_flight);
    let (done, finished) = tokio::sync::oneshot::channel();
    // On a worker, as in the process it stands for.
    runtime.spawn("bench.publish", async move {
        let _ = done.send(publish(&publisher, seconds, in_flight).await);
    });
    let outcome = finished.await??;
    if options.settle {
        for lag in bus.lag().await? {
            println!("    behind by {} at the end", lag.pending);
        }
    }
    bus.close().await;
    Ok(outcome)
}

async fn publish(bus: &EmbeddedBus, seconds: u64, in_flight: usize) -> Result<Outcome, BusError> {
    let topic = Topic::ingress();
    let mut window: VecDeque<(Instant, Receipt)> = VecDeque::with_capacity(in_flight);
    let (start, mut latencies, mut n) = (now(), Vec::new(), 0);
    while now() - start < Duration::from_secs(seconds) {
        while window.len() < in_flight {
            window.push_back((now(), bus.publish(&topic, message(n))));
            n += 1;
        }
        if let Some((begun, receipt)) = window.pop_front() {
            receipt.await?;
            latencies.push(u32::try_from((now() - begun).as_micros()).unwrap_or(u32::MAX));
        }
    }
    let passed = now() - start;
    for (_, receipt) in window {
        receipt.await?;
    }
    Ok(outcome(latencies, passed))
}

fn outcome(mut latencies: Vec<u32>, passed: Duration) -> Outcome {
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a rate to three digits")]
    let rate = latencies.len() as f64 / passed.as_secs_f64();
    Outcome { rate, latencies }
}

fn print(what: &str, outcome: &Outcome) {
    let at = |permille: usize| {
        let last = outcome.latencies.len().saturating_sub(1);
        f64::from(outcome.latencies.get(last * permille / 1000).copied().unwrap_or(0)) / 1000.0
    };
    println!(
        "{what}: {:.0} messages/s, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
        outcome.rate,
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Nothing is dead-lettered here.
#[derive(Debug)]
struct NoDeadLetters;

#[async_trait]
impl DeadLettering for NoDeadLetters {
    async fn dead_letter(&self, _: &Record, _: &Failure) -> Result<(), BusError> {
        Err(BusError::closed("a benchmark has no dead letters"))
    }
}
