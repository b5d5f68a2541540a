//! The second half of `bench ingress`: from when the platform queued a line until somebody who reads the
//! bus sees it, at a rate of chat. The platform runs in this process here, for its clock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use chatbus_bus::{
    Bus, Consumer, Group, Record, Records, Scan, ScanFrom, ScanTopics, Settlement, Subscription,
};
use chatbus_event::Topic;
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_sandbox::twitch_irc::Flood;
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};

use super::ingress::{BARE, Ceiling, OURS};
use super::nats::{NatsServer, url_of};
use super::report::{Report, Row, Target, Times};
use super::running::{Configured, Running};
use super::sample::Sample;
use super::{ROUNDS, Setup, progress};
use crate::commands::Failure;
use crate::supervisor::Supervisor;

/// Lines a second.
const RATE: u32 = 500;
/// How long the last lines may take.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

const NAMES: (&str, &str) = ("chatbus, line to observer, 500/s", "ceiling, line to observer, 500/s");

/// What an observer has seen.
type Seen = Arc<Mutex<Vec<(String, Instant)>>>;

/// One side of the comparison.
struct Side {
    channel: &'static str,
    times: Times,
    asked: u64,
    /// Lines of which the observer saw nothing: their numbers within their turn.
    unseen: Vec<u64>,
    /// Of these, on the bus all the same.
    kept: usize,
}

pub(super) async fn run(
    setup: &Setup,
    server: Option<&NatsServer>,
    record: &Record,
    report: &mut Report,
) -> Result<(), Failure> {
    let supervisor = Supervisor::new();
    let sandbox = Sandbox::start(SandboxConfig::default(), supervisor.runtime())
        .await
        .map_err(|error| Failure::Runtime(error.into()))?;
    let url = sandbox.twitch().irc_url();
    let settings = [("TWITCH_ENABLED", "true"), ("TWITCH_IRC_URL", &url), ("TWITCH_CHANNELS", OURS)];
    let running = Configured::new(setup, "latency", url_of(server), &settings)?.start().await?;
    running.bus().declare(&[observer()?]).await.map_err(anyhow::Error::from)?;
    let sample = Sample::of(record, "latency");
    let ceiling = Ceiling::start(&running, server, &url, sample.clone()).await?;
    let mut ours = Side { channel: OURS, times: Times::new()?, asked: 0, unseen: vec![], kept: 0 };
    let mut bare = Side { channel: BARE, times: Times::new()?, asked: 0, unseen: vec![], kept: 0 };
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}: latency"));
        bare.turn(setup, &sandbox, &running, &sample).await?;
        ours.turn(setup, &sandbox, &running, &sample).await?;
    }
    ceiling.stop();
    running.stop().await?;
    sandbox.stop().await;
    supervisor.stop().cancel();
    supervisor.ended().await;

    for (name, side) in [(NAMES.1, &bare), (NAMES.0, &ours)] {
        if !side.unseen.is_empty() {
            let (missing, asked, kept) = (side.unseen.len(), side.asked, side.kept);
            let some = side.unseen.get(..missing.min(5)).unwrap_or_default();
            report.notes.push(format!(
                "{name}: {missing} of {asked} lines were not seen within {SEEN_WITHIN:?}; {kept} of them are on \
                 the bus; they begin with the lines {some:?} of their turns"
            ));
        }
        report.rows.push(Row::new(name, side.asked).times(&side.times));
    }
    let p99 = |name: &str| report.row(name).and_then(|row| row.latency).map_or(f64::NAN, |l| l.p99_ms);
    let added = p99(NAMES.0) - p99(NAMES.1);
    report.check("p99 added to the ceiling's at 500/s", added, "ms", Target::Below(2.0));
    Ok(())
}

// === impl Side ===

impl Side {
    async fn turn(
        &mut self,
        setup: &Setup,
        sandbox: &SandboxHandle,
        running: &Running,
        sample: &Sample,
    ) -> anyhow::Result<()> {
        let lines = (u64::from(RATE) * u64::try_from(setup.slice().as_millis())? / 1000).max(10);
        let flood = Flood {
            channel: self.channel.to_owned(),
            count: lines,
            rate: Some(f64::from(RATE)),
            text_bytes: 60,
            record_times: true,
        };
        let runtime = running.supervisor.runtime();
        let (seen, enough) = (Seen::default(), CancellationToken::new());
        let consumer = running.bus().subscribe(observer()?).await?;
        runtime
            .spawn("bench.observer", observe(consumer, Arc::clone(&seen), runtime.clone(), enough.clone()));
        let report = sandbox.twitch().flood(&flood).await.map_err(|error| anyhow!("the flood: {error}"))?;
        let first = self.asked;
        self.asked += lines;
        // Ours keeps the platform's id behind a prefix; the ceiling numbers its messages.
        let channel = self.channel;
        let number_of = |id: &str| match channel {
            BARE => sample.number_of(id)?.checked_sub(first).filter(|n| *n < lines),
            _ => id.rsplit(':').next().and_then(|id| report.number_of(id)),
        };
        let mut unseen: BTreeSet<u64> = (0..lines).collect();
        let all_seen = async {
            let mut known = 0;
            while !unseen.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                for (id, at) in seen.get(known..).unwrap_or_default() {
                    let Some(n) = number_of(id).filter(|n| unseen.remove(n)) else { continue };
                    let queued = usize::try_from(n).ok().and_then(|n| report.times.get(n));
                    self.times.record(at.saturating_duration_since(*queued.unwrap_or(at)));
                }
                known = seen.len();
            }
        };
        // What is missing then is counted as not seen.
        let _ = tokio::time::timeout(SEEN_WITHIN, all_seen).await;
        enough.cancel();
        if !unseen.is_empty() {
            let mut kept = read_back(running.bus()).await?;
            while let Some(record) = kept.next().await {
                let n = number_of(record?.message.id.as_str());
                self.kept += usize::from(n.is_some_and(|n| unseen.contains(&n)));
            }
            self.unseen.extend(unseen);
        }
        Ok(())
    }
}

/// A group, which every driver hands its messages at once; a scan may rest between looks.
fn observer() -> anyhow::Result<Subscription> {
    Ok(Subscription::new(Topic::ingress(), Group::parse("bench-observer")?).max_in_flight(4096))
}

async fn read_back(bus: &Arc<dyn Bus>) -> anyhow::Result<Box<dyn Records>> {
    let topics = ScanTopics::One(Topic::ingress());
    Ok(bus.scan(Scan { topics, from: ScanFrom::Last(100_000), follow: false }).await?)
}

/// Notes the ids that come by, each with when.
async fn observe(mut consumer: Box<dyn Consumer>, seen: Seen, runtime: Runtime, enough: CancellationToken) {
    let watching = async {
        while let Some(delivery) = consumer.next().await {
            let entry = (delivery.record().message.id.as_str().to_owned(), runtime.clock.instant());
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            runtime.spawn("bench.observed", async move {
                // One that is not acknowledged comes again, and is known by then.
                let _ = delivery.settle(Settlement::Ack).await;
            });
        }
    };
    tokio::select! {
        () = watching => {}
        () = enough.cancelled() => {}
    }
}
