//! `bench bus`: durable publishing through the driver.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chatbus_bus::{Bus, Group, Subscription};
use chatbus_event::{Clock, Topic};
use chatbus_runtime::Runtime;
use tokio::sync::oneshot;

use super::nats::{NatsServer, url_of};
use super::report::{Report, Row, Target, Times};
use super::running::Configured;
use super::sample::Sample;
use super::usage::{self, Spent, Stopwatch};
use super::via::{Published, Via};
use super::{ROUNDS, Setup, progress};
use crate::commands::Failure;
use crate::supervisor::Supervisor;

/// Messages in flight.
const WINDOW: usize = 64;
/// A second window for a server across a socket.
const WIDE_WINDOW: usize = 1024;

/// Something that is measured in turns with others.
struct Side {
    row: String,
    kind: Kind,
    window: usize,
    next: u64,
    spent: Spent,
    times: Times,
    messages: u64,
    peak: Option<u64>,
}

enum Kind {
    Ours(Via),
    Bare(Via),
    File {
        path: std::path::PathBuf,
        in_place: bool,
    },
    /// Away on a turn.
    Busy,
}

pub(super) async fn run(setup: &Setup) -> Result<Report, Failure> {
    let supervisor = Supervisor::new();
    let runtime = supervisor.runtime();
    let clock = Arc::clone(&runtime.clock);
    let mut report = setup.report("bus");
    let server = setup.nats().await?;
    let bus = Configured::new(setup, "data", url_of(server.as_ref()), &[])?.open_bus(&supervisor).await?;
    let subscription =
        Subscription::new(Topic::ingress(), Group::parse("bench").map_err(anyhow::Error::from)?);
    bus.declare(&[subscription]).await.map_err(anyhow::Error::from)?;
    let (mut sides, synced) = match &server {
        Some(server) => (on_nats(&bus, server, &clock, &mut report).await?, None),
        None => on_disk(setup, &bus, &clock, &mut report).await?,
    };
    for round in 1..=ROUNDS {
        for side in &mut sides {
            progress(&format!("round {round} of {ROUNDS}: {}", side.row));
            side.turn(setup.slice(), &runtime).await?;
        }
    }
    for side in &sides {
        let mut row = Row::new(side.row.clone(), side.messages).spent(&side.spent).times(&side.times);
        row.peak_rss_bytes = side.peak;
        report.rows.push(row);
    }
    drop(sides);
    conclude(&mut report);
    bus.close().await;
    drop(synced);
    supervisor.stop().cancel();
    supervisor.ended().await;
    Ok(report)
}

async fn on_nats(
    bus: &Arc<dyn Bus>,
    server: &NatsServer,
    clock: &Arc<dyn Clock>,
    report: &mut Report,
) -> anyhow::Result<Vec<Side>> {
    let mut sides = Vec::new();
    for window in [WINDOW, WIDE_WINDOW] {
        let bare = Via::bare(&server.url, Sample::typical(&format!("bare{window}")), clock).await?;
        if let (Via::Bare(bare), WINDOW) = (&bare, window) {
            report.notes.push(format!("nats-server {}, default sync", bare.server_version()));
        }
        sides.push(Side::new(format!("bare async-nats, {window} in flight"), Kind::Bare(bare), window)?);
        let ours = Via::driver(bus, Sample::typical(&format!("ours{window}")), clock);
        sides.push(Side::new(format!("nats driver, {window} in flight"), Kind::Ours(ours), window)?);
    }
    Ok(sides)
}

async fn on_disk(
    setup: &Setup,
    bus: &Arc<dyn Bus>,
    clock: &Arc<dyn Clock>,
    report: &mut Report,
) -> anyhow::Result<(Vec<Side>, Option<NatsServer>)> {
    let file = |name: &str, in_place| Kind::File { path: setup.folder.path().join(name), in_place };
    let ours = Via::driver(bus, Sample::typical("ours"), clock);
    let mut sides = vec![
        Side::new(FILE.to_owned(), file("plain", false), WINDOW)?,
        Side::new(IN_PLACE.to_owned(), file("in-place", true), WINDOW)?,
        Side::new(EMBEDDED.to_owned(), Kind::Ours(ours), WINDOW)?,
    ];
    let synced = NatsServer::start(&setup.nats_server, &setup.folder.path().join("synced"), true).await?;
    if let Some(server) = &synced {
        let bare = Via::bare(&server.url, Sample::typical("synced"), clock).await?;
        if let Via::Bare(bare) = &bare {
            bare.make_stream().await?;
            report.notes.push(format!("nats-server {}", bare.server_version()));
        }
        sides.push(Side::new(SYNCED.to_owned(), Kind::Bare(bare), WINDOW)?);
    } else {
        report.notes.push(format!(
            "{} is not found, so nothing is said of nats-server with sync_interval: always; name one with --nats-server",
            setup.nats_server.display()
        ));
    }
    Ok((sides, synced))
}

const FILE: &str = "plain file, appended, one sync for 64";
/// Beside it, since an append also makes the file system note the file's new length at each sync.
const IN_PLACE: &str = "the same, written over old bytes";
const EMBEDDED: &str = "embedded driver, 64 in flight";
const SYNCED: &str = "nats-server, sync always, 64 in flight";

fn conclude(report: &mut Report) {
    if report.driver == "nats" {
        for window in [WINDOW, WIDE_WINDOW] {
            report.compare(
                &format!("nats driver, {window} in flight"),
                &format!("bare async-nats, {window} in flight"),
            );
        }
        return;
    }
    let ratio = report.compare(EMBEDDED, FILE);
    if let (Some(ours), Some(theirs)) =
        (report.row(EMBEDDED).and_then(|row| row.rate), report.row(IN_PLACE).and_then(|row| row.rate))
    {
        let share = 100.0 * ours / theirs;
        report.notes.push(format!(
            "a file that is written over old bytes syncs without a new length, as the bus's own log mostly does; \
             beside that the embedded driver has {share:.0} %"
        ));
    }
    report.check("rate beside the plain file's", ratio, "x", Target::AtLeast(0.25));
    let p999 = report.row(EMBEDDED).and_then(|row| row.latency).map_or(f64::NAN, |l| l.p999_ms);
    report.check("p99.9 of a durable publish", p999, "ms", Target::Below(60.0));
    let rate = |name: &str| report.row(name).and_then(|row| row.rate);
    if let (Some(ours), Some(theirs)) = (rate(EMBEDDED), rate(SYNCED)) {
        report.check("rate beside nats-server's with sync always", ours / theirs, "x", Target::AtLeast(5.0));
    }
}

// === impl Side ===

impl Side {
    fn new(row: String, kind: Kind, window: usize) -> anyhow::Result<Self> {
        let (spent, times) = (Spent::default(), Times::new()?);
        Ok(Self { row, kind, window, next: 0, spent, times, messages: 0, peak: None })
    }

    async fn turn(&mut self, time: Duration, runtime: &Runtime) -> anyhow::Result<()> {
        usage::reset_peak();
        let (first, window) = (self.next, self.window);
        let clock = Arc::clone(&runtime.clock);
        let kind = std::mem::replace(&mut self.kind, Kind::Busy);
        let ours = matches!(kind, Kind::Ours(_));
        let (done, finished) = oneshot::channel();
        // On a worker, as in the process it stands for.
        runtime.spawn("bench.turn", async move {
            let _ = done.send(kind.turn(first, window, time, clock).await);
        });
        let (kind, published) = finished.await.context("the turn was cut off")??;
        self.kind = kind;
        self.next += published.messages;
        self.messages += published.messages;
        self.spent += published.spent;
        self.times.add(&published.times)?;
        self.peak = if ours { self.peak.max(usage::peak_bytes()) } else { None };
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    async fn turn(
        self,
        first: u64,
        window: usize,
        time: Duration,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<(Self, Published)> {
        match self {
            Self::Ours(mut via) => {
                let published = via.run(first, window, time, &clock).await?;
                Ok((Self::Ours(via), published))
            }
            Self::Bare(mut via) => {
                let published = via.run(first, window, time, &clock).await?;
                Ok((Self::Bare(via), published))
            }
            Self::File { path, in_place } => {
                let appending =
                    tokio::task::spawn_blocking(move || append(path, in_place, window, time, &clock));
                appending.await.context("appending was cut off")?
            }
            Self::Busy => anyhow::bail!("two turns at once"),
        }
    }
}

/// Writes groups of records to a file, with one sync for each group: at its end, or again and again
/// over bytes that are there already.
fn append(
    path: std::path::PathBuf,
    in_place: bool,
    window: usize,
    time: Duration,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Kind, Published)> {
    let group = vec![b'x'; Sample::typical("plain").stored_bytes() * window];
    let mut file = std::fs::OpenOptions::new().create(true).append(!in_place).write(true).open(&path)?;
    if in_place {
        for _ in 0..GROUPS_IN_PLACE {
            file.write_all(&group)?;
        }
        file.sync_all()?;
    }
    let watch = Stopwatch::start(clock);
    let (mut times, mut groups) = (Times::new()?, 0);
    while watch.passed() < time {
        let begun = clock.instant();
        if in_place && groups % GROUPS_IN_PLACE == 0 {
            file.rewind()?;
        }
        file.write_all(&group)?;
        file.sync_data()?;
        let took = clock.instant().saturating_duration_since(begun);
        (0..window).for_each(|_| times.record(took));
        groups += 1;
    }
    let messages = groups * u64::try_from(window)?;
    Ok((Kind::File { path, in_place }, Published { spent: watch.spent(), times, messages }))
}

/// About 40 MiB.
const GROUPS_IN_PLACE: u64 = 512;
