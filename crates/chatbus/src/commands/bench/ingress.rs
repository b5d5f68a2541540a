//! `bench ingress`: from a platform's socket until it is durable on the bus.
//!
//! The fake platform floods as fast as it is read, from a process of its own. The ceiling reads the
//! same flood, throws the lines away, and publishes as many messages of the same bytes and headers,
//! made beforehand, on the same stream with the same window.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chatbus_event::Topic;
use chatbus_runtime::CancellationToken;
use serde_json::json;

use super::child::SandboxProcess;
use super::nats::{NatsServer, url_of};
use super::reader::{Pumped, Reader};
use super::report::{Report, Row, Target};
use super::running::{Configured, Running};
use super::sample::Sample;
use super::usage::{self, Spent, Stopwatch};
use super::via::Via;
use super::{ROUNDS, Setup, ingress_latency, progress};
use crate::commands::Failure;

/// The publisher's own.
pub(super) const WINDOW: usize = 4096;
/// Where chatbus reads.
pub(super) const OURS: &str = "bench_ours";
/// Where the ceiling reads.
pub(super) const BARE: &str = "bench_bare";

/// Lines asked for at once; the flood is a little longer than its time by at most so many.
const CHUNK: u64 = 25_000;
/// How long what was read may take to be durable.
const DURABLE_WITHIN: Duration = Duration::from_secs(60);
const TEXT_BYTES: u64 = 60;

/// One side's sums.
#[derive(Default)]
struct Sum {
    spent: Spent,
    messages: u64,
    peak: Option<u64>,
}

pub(super) async fn run(setup: &Setup) -> Result<Report, Failure> {
    let mut report = setup.report("ingress");
    let server = setup.nats().await?;
    let sandbox = SandboxProcess::start(setup.folder.path()).await?;
    let settings = [("TWITCH_ENABLED", "true"), ("TWITCH_IRC_URL", &sandbox.irc), ("TWITCH_CHANNELS", OURS)];
    let running = Configured::new(setup, "ingress", url_of(server.as_ref()), &settings)?.start().await?;
    let names = names(setup);
    progress("warming up");
    let before = published(&running).await?;
    flood(&sandbox, OURS, 1_000).await?;
    durable(&running, before + 1_000).await?;
    let record = running.newest(&Topic::ingress()).await?;
    report.notes.push(format!(
        "a message has {} bytes of body and {} attributes",
        record.message.body.len(),
        record.message.attributes.len()
    ));
    let mut ceiling =
        Ceiling::start(&running, server.as_ref(), &sandbox.irc, Sample::of(&record, "flood")).await?;

    let (mut ours, mut bare) = (Sum::default(), Sum::default());
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}: {}", names.1));
        let watch = Stopwatch::start(&running.supervisor.runtime().clock);
        let sent = flood_for(&sandbox, BARE, setup.slice(), &watch).await?;
        ceiling.durable(bare.messages + sent).await?;
        bare.add(sent, watch.spent());

        progress(&format!("round {round} of {ROUNDS}: {}", names.0));
        usage::reset_peak();
        let before = published(&running).await?;
        let watch = Stopwatch::start(&running.supervisor.runtime().clock);
        let sent = flood_for(&sandbox, OURS, setup.slice(), &watch).await?;
        durable(&running, before + sent).await?;
        ours.add(sent, watch.spent());
        ours.peak = ours.peak.max(usage::peak_bytes());
    }
    note_detours(&running, &mut report).await?;
    ceiling.stop();
    running.stop().await?;
    drop(sandbox);

    let mut row = Row::new(names.1, bare.messages).spent(&bare.spent);
    report.rows.push(row);
    row = Row::new(names.0, ours.messages).spent(&ours.spent);
    row.peak_rss_bytes = ours.peak;
    report.rows.push(row);
    let ratio = report.compare(names.0, names.1);
    let cpu = report.row(names.0).map_or(f64::NAN, Row::cpu_micros);
    // The embedded bus does the server's work in this process too.
    if server.is_some() {
        report.check("rate beside the ceiling's", ratio, "x", Target::AtLeast(0.6));
        report.check("CPU a message", cpu, "us", Target::Below(10.0));
    }
    ingress_latency::run(setup, server.as_ref(), &record, &mut report).await?;
    Ok(report)
}

/// Says which events did not go straight to the bus.
pub(super) async fn note_detours(running: &Running, report: &mut Report) -> anyhow::Result<()> {
    for (metric, what) in [
        ("chatbus_ingress_spooled_total", "went through the spool"),
        ("chatbus_ingress_dropped_total", "were dropped"),
    ] {
        let events = running.metric(metric).await?;
        if events > 0 {
            report.notes.push(format!("{events} events {what}"));
        }
    }
    Ok(())
}

/// The rows' names: ours, the ceiling's.
fn names(setup: &Setup) -> (&'static str, &'static str) {
    match setup.driver.as_str() {
        "nats" => ("chatbus, socket to nats", "reader and bare async-nats"),
        _ => ("chatbus, socket to embedded bus", "reader and embedded driver"),
    }
}

/// Floods again and again until the time is over; says how many lines it were.
async fn flood_for(
    sandbox: &SandboxProcess,
    channel: &str,
    time: Duration,
    watch: &Stopwatch,
) -> anyhow::Result<u64> {
    let mut sent = 0;
    while watch.passed() < time {
        sent += flood(sandbox, channel, CHUNK).await?;
    }
    Ok(sent)
}

async fn flood(sandbox: &SandboxProcess, channel: &str, count: u64) -> anyhow::Result<u64> {
    let asked = json!({ "channel": channel, "count": count, "text_bytes": TEXT_BYTES });
    let sent = sandbox.post("/twitch/flood", asked).await?["sent"].as_u64();
    sent.context("the sandbox does not say how much it sent")
}

async fn published(running: &Running) -> anyhow::Result<u64> {
    running.metric("chatbus_ingress_published_total").await
}

/// Waits until so many are durable by the publisher's own count.
pub(super) async fn durable(running: &Running, goal: u64) -> anyhow::Result<()> {
    let waiting = async {
        while published(running).await? < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(DURABLE_WITHIN, waiting)
        .await
        .map_err(|_| anyhow!("what was read did not become durable within a minute"))?
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, messages: u64, spent: Spent) {
        self.messages += messages;
        self.spent += spent;
    }
}

/// The ceiling, at work beside.
pub(super) struct Ceiling {
    pumped: Arc<Pumped>,
    stop: CancellationToken,
    failure: tokio::sync::oneshot::Receiver<anyhow::Error>,
}

// === impl Ceiling ===

impl Ceiling {
    pub(super) async fn start(
        running: &Running,
        server: Option<&NatsServer>,
        irc: &str,
        sample: Sample,
    ) -> anyhow::Result<Self> {
        let runtime = running.supervisor.runtime();
        let via = match server {
            Some(server) => Via::bare(&server.url, sample, &runtime.clock).await?,
            None => Via::driver(running.bus(), sample, &runtime.clock),
        };
        let reader = Reader::join(irc, "justinfan7", &[BARE.to_owned()]).await?;
        let pumped = Arc::new(Pumped::default());
        let stop = CancellationToken::new();
        let pump = reader.pump(via, WINDOW, Arc::clone(&pumped), stop.clone());
        let (failed, failure) = tokio::sync::oneshot::channel();
        runtime.spawn("bench.ceiling", async move {
            if let Err(error) = pump.await {
                // Whoever waits for it sees it; nobody may.
                let _ = failed.send(error);
            }
        });
        Ok(Self { pumped, stop, failure })
    }

    /// Waits until so many are acknowledged.
    async fn durable(&mut self, goal: u64) -> anyhow::Result<()> {
        let waiting = async {
            while self.acknowledged() < goal {
                if let Ok(error) = self.failure.try_recv() {
                    return Err(error.context("the ceiling failed"));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        };
        tokio::time::timeout(DURABLE_WITHIN, waiting).await.context("the ceiling is stuck")?
    }

    fn acknowledged(&self) -> u64 {
        self.pumped.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}
