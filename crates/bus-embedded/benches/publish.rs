//! Durable publishing against its ceiling: the same records appended to a plain file with one
//! `fdatasync` for each group of as many as are in flight. The two take turns, a second each, so that
//! whatever else the machine does meets both.
//!
//! `cargo bench -p chatbus-bus-embedded -- [--seconds 10] [--in-flight 64] [--settle] [--backlog]`
//!
//! `--settle` adds a group that settles everything; `--backlog` measures instead how long opening takes
//! after a kill with a gibibyte kept and 240,000 ids in the window.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

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
    backlog: bool,
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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if options.backlog {
        return runtime.block_on(backlog(dir.path()));
    }
    let (ceiling, bus) = runtime.block_on(take_turns(dir.path(), &options))?;
    print("plain file, fdatasync per group", &ceiling);
    print("embedded bus", &bus);
    println!("    ratio {:.0} %, peak resident {} MiB", 100.0 * bus.rate / ceiling.rate, peak_mib());
    Ok(())
}

fn options() -> Options {
    let mut options = Options { seconds: 10, in_flight: 64, settle: false, backlog: false };
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
            "--backlog" => options.backlog = true,
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

const TURN: Duration = Duration::from_secs(1);

fn plain_file(file: &mut std::fs::File, in_flight: usize, latencies: &mut Vec<u32>) -> std::io::Result<()> {
    let group = vec![b'x'; record_bytes() * in_flight];
    let start = now();
    while now() - start < TURN {
        let begun = now();
        file.write_all(&group)?;
        file.sync_data()?;
        latencies.extend(std::iter::repeat_n(micros(now() - begun), in_flight));
    }
    Ok(())
}

async fn take_turns(dir: &Path, options: &Options) -> Result<(Outcome, Outcome), Box<dyn std::error::Error>> {
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
    let mut file = std::fs::File::create(dir.join("plain"))?;
    let (mut of_file, mut of_bus, mut n) = (Vec::new(), Vec::new(), 0);
    let (mut file_time, mut bus_time) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..options.seconds {
        let begun = now();
        plain_file(&mut file, options.in_flight, &mut of_file)?;
        file_time += now() - begun;
        let begun = now();
        // On a worker, as in the process it stands for.
        let (done, finished) = tokio::sync::oneshot::channel();
        let (publisher, in_flight) = (Arc::clone(&bus), options.in_flight);
        runtime.spawn("bench.publish", async move {
            let _ = done.send(publish(&publisher, in_flight, n).await);
        });
        let latencies = finished.await??;
        bus_time += now() - begun;
        n += latencies.len() as u64;
        of_bus.extend(latencies);
    }
    if options.settle {
        for lag in bus.lag().await? {
            println!("    behind by {} at the end", lag.pending);
        }
    }
    bus.close().await;
    Ok((outcome(of_file, file_time), outcome(of_bus, bus_time)))
}

/// One turn; every receipt is waited for.
async fn publish(bus: &EmbeddedBus, in_flight: usize, mut n: u64) -> Result<Vec<u32>, BusError> {
    let topic = Topic::ingress();
    let mut window: VecDeque<(Instant, Receipt)> = VecDeque::with_capacity(in_flight);
    let (start, mut latencies) = (now(), Vec::new());
    loop {
        while window.len() < in_flight && now() - start < TURN {
            window.push_back((now(), bus.publish(&topic, message(n))));
            n += 1;
        }
        let Some((begun, receipt)) = window.pop_front() else { return Ok(latencies) };
        receipt.await?;
        latencies.push(micros(now() - begun));
    }
}

/// Fills a bus, kills it, and opens it again.
async fn backlog(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let open = || EmbeddedBus::open(EmbeddedConfig::new(dir), Arc::new(NoDeadLetters), test_runtime(1));
    let topic = Topic::ingress();
    let bus = open()?;
    let mut window = VecDeque::new();
    for n in 0..240_000_u64 {
        let mut message = message(n);
        message.body = vec![b'x'; 4096].into();
        window.push_back(bus.publish(&topic, message));
        if window.len() >= 1024
            && let Some(receipt) = window.pop_front()
        {
            receipt.await?;
        }
    }
    for receipt in window {
        receipt.await?;
    }
    let mut bus = bus;
    for _ in 0..5 {
        bus.kill().await;
        drop(bus);
        let begun = now();
        bus = open()?;
        let opened = now() - begun;
        let first = bus.publish(&topic, message(0)).await?;
        println!(
            "opened in {opened:?}, first answer after {:?}, duplicate: {}",
            now() - begun,
            first.duplicate
        );
    }
    bus.close().await;
    Ok(())
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
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
