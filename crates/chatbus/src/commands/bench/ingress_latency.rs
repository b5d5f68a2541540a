//! The second half of `bench ingress`: from when the platform queued a line until somebody who reads the
//! bus sees it, at a rate of chat. The platform runs in this process here, for its clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use chatbus_bus::{Bus, Record, Records, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Clock, Topic};
use chatbus_runtime::CancellationToken;
use chatbus_sandbox::twitch_irc::Flood;
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};

use super::ingress::{BARE, Ceiling, OURS};
use super::nats::NatsServer;
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
    let running = Configured::new(setup, "latency", server, &settings)?.start().await?;
    let sample = Sample::of(record, "latency");
    let ceiling = Ceiling::start(&running, server, &url, sample.clone()).await?;
    let mut ours = Side { channel: OURS, times: Times::new()?, asked: 0 };
    let mut bare = Side { channel: BARE, times: Times::new()?, asked: 0 };
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
        let missing = side.asked - side.times.len();
        if missing > 0 {
            report.notes.push(format!("{name}: {missing} of {} lines were not seen in time", side.asked));
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
        let records = follow(running.bus()).await?;
        let (seen, enough) = (Seen::default(), CancellationToken::new());
        let watching = observe(records, Arc::clone(&seen), Arc::clone(&runtime.clock), enough.clone());
        runtime.spawn("bench.observer", watching);
        let report = sandbox.twitch().flood(&flood).await.map_err(|error| anyhow!("the flood: {error}"))?;
        let first = self.asked;
        self.asked += lines;
        // Ours keeps the platform's id behind a prefix; the ceiling numbers its messages.
        let queued = |id: &str| {
            let number = match sample.number_of(id) {
                Some(n) => n.checked_sub(first),
                None => id.rsplit(':').next().and_then(|id| report.number_of(id)),
            };
            number.and_then(|n| report.times.get(usize::try_from(n).ok()?))
        };
        let all_seen = async {
            let (mut known, mut found) = (0, 0);
            while found < lines {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                for (id, at) in seen.get(known..).unwrap_or_default() {
                    if let Some(queued) = queued(id) {
                        self.times.record(at.saturating_duration_since(*queued));
                        found += 1;
                    }
                }
                known = seen.len();
            }
        };
        // What is missing then is counted as not seen.
        let _ = tokio::time::timeout(SEEN_WITHIN, all_seen).await;
        enough.cancel();
        Ok(())
    }
}

async fn follow(bus: &Arc<dyn Bus>) -> anyhow::Result<Box<dyn Records>> {
    let topics = ScanTopics::One(Topic::ingress());
    Ok(bus.scan(Scan { topics, from: ScanFrom::New, follow: true }).await?)
}

/// Notes the ids that come by, each with when.
async fn observe(
    mut records: Box<dyn Records>,
    seen: Seen,
    clock: Arc<dyn Clock>,
    enough: CancellationToken,
) {
    let watching = async {
        while let Some(Ok(record)) = records.next().await {
            let entry = (record.message.id.as_str().to_owned(), clock.instant());
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
    };
    tokio::select! {
        () = watching => {}
        () = enough.cancelled() => {}
    }
}
