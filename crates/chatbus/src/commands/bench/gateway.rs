//! `bench gateway`: what a connection costs, and what it takes to bring an event to one.
//!
//! The gateway runs in this process, so that its memory and CPU time can be read; its clients, and what
//! fills its topic, run in another. The ceiling of delivery is a bare client of the same server that does
//! the same bus operations (it reads an event, publishes an outcome, acknowledges the event once the
//! outcome is stored) and writes one prepared frame to as many sockets of the same clients.

mod ceiling;
mod clients;
mod events;
mod idle;
mod orders;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chatbus_delivery::Role;
use chatbus_event::{InstanceId, Topic};
use chatbus_gateway::tokens::{self, NewToken};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::nats::{NatsServer, url_of};
use super::report::{Report, Row, Target, count};
use super::running::{Configured, INSTANCE, Running};
use super::sample::Sample;
use super::usage::{Spent, Stopwatch};
use super::{ROUNDS, Setup, progress};
use crate::commands::Failure;
use ceiling::Ceiling;
use events::{Fill, Through};
use orders::ClientsProcess;

pub(super) use clients::run as be_clients;

/// Connections that hear something.
const CONNECTIONS: usize = 1_000;
/// Said first, to know how many will fill the time.
const TRIAL: u64 = 20_000;
/// Events a second where latency is measured.
const RATE: u32 = 5_000;
/// Without a further outcome for this long something is wrong.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Tokens that are made at once.
const MAKING: usize = 64;

const OURS: &str = "chatbus, bus to frame";
const BARE: &str = "bare async-nats and sockets";

/// One side's sums.
#[derive(Default)]
struct Sum {
    spent: Spent,
    events: u64,
    /// What was left when the topic was full, and how long that took.
    left: u64,
    drained: Duration,
}

/// A gateway, and the process of its clients.
struct Served {
    running: Running,
    clients: ClientsProcess,
}

pub(super) async fn run(setup: &Setup) -> Result<Report, Failure> {
    let mut report = setup.report("gateway");
    let limit = idle::raise_limit()?;
    report.notes.push(format!("{limit} descriptors a process"));
    let server = setup.nats().await?;
    // First, in a process that has freed nothing yet: what connections took would not show otherwise.
    idle::run(setup, server.as_ref(), limit, &mut report).await?;
    deliver(setup, server.as_ref(), &mut report).await?;
    Ok(report)
}

async fn deliver(setup: &Setup, server: Option<&NatsServer>, report: &mut Report) -> Result<(), Failure> {
    progress("connections that will hear something");
    let Served { running, mut clients } = Served::start(setup, "deliver", server, CONNECTIONS).await?;
    clients.connect(running.addr(), 0..CONNECTIONS).await?;
    let through = match server {
        Some(server) => Through::Nats(server.url.clone()),
        None => Through::Bus(Arc::clone(running.bus()), running.supervisor.runtime()),
    };
    let topic = Topic::api_egress_of(&InstanceId::parse(INSTANCE).map_err(anyhow::Error::from)?);
    let fill = |name: String, events| Fill {
        subject: topic.as_str().to_owned(),
        name,
        events,
        users: CONNECTIONS,
        rate: None,
    };

    progress("a trial");
    let trial = ours(&running, &mut clients, &through, fill("trial".to_owned(), TRIAL)).await?;
    let rate = count(TRIAL) / trial.spent.wall.as_secs_f64().max(1e-6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below a million")]
    let events = (rate * setup.slice().as_secs_f64()).clamp(count(TRIAL), 1e6) as u64;
    let mut bare = match server {
        Some(server) => {
            let record = running.newest(&Topic::finalizer()).await?;
            report.notes.push(format!("an outcome has {} bytes", record.message.body.len()));
            let outcome = Sample::of(&record, "bare");
            let runtime = running.supervisor.runtime();
            let ceiling = Ceiling::listen(&server.url, outcome, &runtime).await?;
            Some(ceiling.accept(&mut clients, CONNECTIONS, &runtime).await?)
        }
        None => None,
    };
    let (mut sum, mut bare_sum) = (Sum::default(), Sum::default());
    for round in 1..=ROUNDS {
        if let Some(bare) = &mut bare {
            progress(&format!("round {round} of {ROUNDS}: {BARE}, {events} events"));
            bare_sum += bare.slice(&running, &mut clients, &through, round, events).await?;
        }
        progress(&format!("round {round} of {ROUNDS}: {OURS}, {events} events"));
        sum += ours(&running, &mut clients, &through, fill(format!("r{round}"), events)).await?;
    }
    if server.is_some() {
        report.rows.push(Row::new(BARE, bare_sum.events).spent(&bare_sum.spent));
    }
    report.rows.push(Row::new(OURS, sum.events).spent(&sum.spent));
    if server.is_some() {
        let whole = report.compare(OURS, BARE);
        report.check("rate beside the ceiling's", whole, "x", Target::AtLeast(0.7));
        if let (Some(ours), Some(bare)) = (sum.drain_rate(), bare_sum.drain_rate()) {
            report.check("the same once the topic is filled", ours / bare, "x", Target::AtLeast(0.7));
            report.notes.push(format!("once the topic is filled: {ours:.0}/s beside {bare:.0}/s"));
        }
        // The embedded bus does the server's work in this process too, and is filled from it.
        let cpu = report.row(OURS).map_or(f64::NAN, Row::cpu_micros);
        report.check("CPU a delivery", cpu, "us", Target::Below(15.0));
    }

    progress("latency");
    let events = u64::from(RATE) * setup.slice().as_secs().max(2);
    clients.count(events, true).await?;
    through.fill(&mut clients, Fill { rate: Some(RATE), ..fill("paced".to_owned(), events) }).await?;
    let times = clients.arrived(events).await?;
    let row = Row::new(format!("chatbus, publish to frame, {RATE}/s"), times.len()).times(&times);
    let p99 = row.latency.map_or(f64::NAN, |latency| latency.p99_ms);
    report.rows.push(row);
    report.check("p99 publish to frame", p99, "ms", Target::Below(10.0));
    report.notes.push(format!("{CONNECTIONS} connections hear the events in turn"));
    drop(clients);
    // Not before its clients: they take it for a fault when their server goes.
    drop(bare);
    running.stop().await?;
    Ok(())
}

/// Has events delivered, and waits until the clients have every frame and the bus every outcome.
async fn ours(
    running: &Running,
    clients: &mut ClientsProcess,
    through: &Through,
    fill: Fill,
) -> anyhow::Result<Sum> {
    let events = fill.events;
    let goal = running.metric("chatbus_egress_sent_total").await? + events;
    clients.count(events, false).await?;
    let watch = Stopwatch::start(&running.supervisor.runtime().clock);
    let left = events - through.fill(clients, fill).await?.min(events);
    let filled = watch.passed();
    clients.arrived(events).await?;
    outcomes(running, goal).await?;
    let spent = watch.spent();
    let failed = running.metric("chatbus_egress_failed_total").await?;
    anyhow::ensure!(failed == 0, "{failed} deliveries failed");
    Ok(Sum { spent, events, left, drained: spent.wall.saturating_sub(filled) })
}

/// Waits until so many deliveries have succeeded.
async fn outcomes(running: &Running, goal: u64) -> anyhow::Result<()> {
    let clock = running.supervisor.runtime().clock;
    let (mut last, mut since) = (0, clock.instant());
    loop {
        let sent = running.metric("chatbus_egress_sent_total").await?;
        if sent >= goal {
            return Ok(());
        }
        let now = clock.instant();
        if sent > last {
            (last, since) = (sent, now);
        } else if now.saturating_duration_since(since) > STUCK_AFTER {
            return Err(anyhow!("{sent} of {goal} events are delivered, and no more are"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// === impl Served ===

impl Served {
    /// Starts both, with a token for each of so many users.
    async fn start(
        setup: &Setup,
        name: &str,
        server: Option<&NatsServer>,
        users: usize,
    ) -> Result<Self, Failure> {
        let configured = Configured::new(setup, name, url_of(server), &[])?;
        let running = configured.start_as(&[Role::ApiGateway]).await?;
        let secrets = make_tokens(&running, users).await?;
        let file = setup.folder.path().join(format!("{name}.tokens"));
        std::fs::write(&file, secrets.join("\n"))?;
        let clients = ClientsProcess::start(file).await?;
        Ok(Self { running, clients })
    }
}

/// Makes a token for each user; the secrets in the order of the users.
async fn make_tokens(running: &Running, users: usize) -> anyhow::Result<Vec<String>> {
    let (state, runtime) = (running.state(), running.supervisor.runtime());
    let making = stream::iter(0..users).map(|n| {
        let (state, runtime) = (Arc::clone(state), runtime.clone());
        async move {
            let new = NewToken { user_id: events::user(n), ..NewToken::default() };
            let made = tokens::create(&*state, &*runtime.clock, &*runtime.entropy, new).await;
            made.map(|created| created.secret).context("a token could not be made")
        }
    });
    making.buffered(MAKING).try_collect().await
}

// === impl Sum ===

impl Sum {
    /// Events a second once nothing more was published; `None` when that was too little to tell.
    fn drain_rate(&self) -> Option<f64> {
        let is_enough = self.left * 4 >= self.events && self.drained > Duration::from_millis(200);
        is_enough.then(|| count(self.left) / self.drained.as_secs_f64())
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.spent += other.spent;
        self.events += other.events;
        self.left += other.left;
        self.drained += other.drained;
    }
}
