//! `bench webhook`: from when a platform's call is written until its answer, which says that the event is safe, is
//! read.
//!
//! Signed text messages come as Twilio sends them, at a rate of chat, over connections that are kept; the account
//! that chatbus asks for is the sandbox's, in a process of its own. The ceiling publishes the same event, made
//! beforehand, at the same rate on the same bus, and waits until it is durable. Nothing waits for what came
//! before: what is late makes later ones no less frequent.

mod client;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chatbus_event::{Clock, Topic};
use chatbus_sandbox::twilio::Account;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{interval, timeout};

use super::child::SandboxProcess;
use super::nats::{NatsServer, url_of};
use super::report::{Report, Row, Target, Times, count};
use super::running::{Configured, Running};
use super::sample::Sample;
use super::usage::Stopwatch;
use super::via::Via;
use super::{ROUNDS, Setup, ingress, progress};
use crate::commands::Failure;
use client::{ANSWER_WITHIN, Connection, NUMBER, PUBLIC_URL, call};

/// Calls a second.
const RATE: u32 = 500;
/// Each has one call on its way at most: enough that none waits for another at this rate.
const CONNECTIONS: usize = 16;

const NAMES: (&str, &str) = ("chatbus, call to its answer, 500/s", "ceiling, publish to durable, 500/s");

/// One side of the comparison.
struct Side {
    times: Times,
    calls: u64,
    wall: Duration,
}

pub(super) async fn run(setup: &Setup) -> Result<Report, Failure> {
    let mut report = setup.report("webhook");
    let server = setup.nats().await?;
    let sandbox = SandboxProcess::start(setup.folder.path()).await?;
    let account = Account::default();
    let settings = [
        ("TWILIO_ACCOUNT_SID", account.sid.as_str()),
        ("TWILIO_AUTH_TOKEN", &account.auth_token),
        ("TWILIO_FROM", NUMBER),
        ("TWILIO_PUBLIC_URL", PUBLIC_URL),
        ("TWILIO_API_URL", &sandbox.twilio),
        ("TWILIO_CONVERSATIONS_URL", &sandbox.twilio),
    ];
    let running = Configured::new(setup, "webhook", url_of(server.as_ref()), &settings)?.start().await?;
    let clock = running.supervisor.runtime().clock;
    let (mut ours, mut bare) = (Side::new()?, Side::new()?);
    // The first one shows what an event is, and is not counted.
    let mut first = Connection::open(running.addr()).await?;
    first.call(&call(&account, ours.calls)).await?;
    ours.calls += 1;
    drop(first);
    let mut via = ceiling(&running, server.as_ref(), &mut report).await?;
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}: {}", NAMES.1));
        bare.publish(setup, &mut via, &clock).await?;
        progress(&format!("round {round} of {ROUNDS}: {}", NAMES.0));
        ours.call(setup, running.addr(), &account, &clock).await?;
    }
    // Everything that was confirmed gets onto the bus.
    ingress::durable(&running, ours.calls).await?;
    ingress::note_detours(&running, &mut report).await?;
    running.stop().await?;
    drop(sandbox);

    report.rows.push(bare.row(NAMES.1));
    report.rows.push(ours.row(NAMES.0));
    let added = ours.times.p99_ms() - bare.times.p99_ms();
    report.check("p99 added to the ceiling's at 500/s", added, "ms", Target::Below(5.0));
    Ok(report)
}

/// What publishes the event that is on the bus, again and again.
async fn ceiling(running: &Running, server: Option<&NatsServer>, report: &mut Report) -> anyhow::Result<Via> {
    let record = running.newest(&Topic::ingress()).await?;
    report.notes.push(format!(
        "a message has {} bytes of body and {} attributes; {CONNECTIONS} connections",
        record.message.body.len(),
        record.message.attributes.len()
    ));
    let (sample, clock) = (Sample::of(&record, "webhook"), running.supervisor.runtime().clock);
    match server {
        Some(server) => Via::bare(&server.url, sample, &clock).await,
        None => Ok(Via::driver(running.bus(), sample, &clock)),
    }
}

// === impl Side ===

impl Side {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { times: Times::new()?, calls: 0, wall: Duration::ZERO })
    }

    /// How many fill a turn.
    fn calls_of(setup: &Setup) -> anyhow::Result<u64> {
        Ok((u64::from(RATE) * u64::try_from(setup.slice().as_millis())? / 1000).max(10))
    }

    /// One turn of the ceiling.
    async fn publish(&mut self, setup: &Setup, via: &mut Via, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
        let watch = Stopwatch::start(clock);
        let end = self.calls + Self::calls_of(setup)?;
        let mut often = interval(Duration::from_secs(1) / RATE);
        while self.calls < end || via.in_flight() > 0 {
            let idle = via.in_flight() == 0;
            tokio::select! {
                biased;
                took = timeout(ANSWER_WITHIN, via.settle()), if !idle => {
                    self.times.record(took.context("the bus does not acknowledge")??);
                }
                _ = often.tick(), if self.calls < end => {
                    via.publish(self.calls).await?;
                    self.calls += 1;
                }
            }
        }
        self.wall += watch.passed();
        Ok(())
    }

    /// One turn of ours, through connections of its own.
    async fn call(
        &mut self,
        setup: &Setup,
        addr: SocketAddr,
        account: &Account,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<()> {
        // What signs them is Twilio, whose time is not measured.
        let end = self.calls + Self::calls_of(setup)?;
        let mut calls: VecDeque<Vec<u8>> = (self.calls..end).map(|n| call(account, n)).collect();
        self.calls = end;
        // Whichever has been idle for longest is next, so that none is closed for it.
        let mut idle = VecDeque::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            idle.push_back(Connection::open(addr).await?);
        }
        let watch = Stopwatch::start(clock);
        let mut often = interval(Duration::from_secs(1) / RATE);
        // What waits for a connection began when it should have been written.
        let mut due: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut busy = FuturesUnordered::new();
        while !calls.is_empty() || !due.is_empty() || !busy.is_empty() {
            tokio::select! {
                biased;
                Some(answered) = busy.next() => {
                    let (connection, took) = answered?;
                    self.times.record(took);
                    idle.push_back(connection);
                }
                _ = often.tick(), if !calls.is_empty() => {
                    due.extend(calls.pop_front().map(|call| (clock.instant(), call)));
                }
            }
            while !due.is_empty()
                && let Some(connection) = idle.pop_front()
                && let Some((begun, request)) = due.pop_front()
            {
                busy.push(timed(connection, request, begun, clock));
            }
        }
        self.wall += watch.passed();
        Ok(())
    }

    fn row(&self, name: &str) -> Row {
        let mut row = Row::new(name, self.times.len()).times(&self.times);
        row.rate = Some(count(self.times.len()) / self.wall.as_secs_f64().max(f64::MIN_POSITIVE));
        row
    }
}

/// A call, and how long its answer took.
async fn timed(
    mut connection: Connection,
    request: Vec<u8>,
    begun: Instant,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Connection, Duration)> {
    connection.call(&request).await?;
    Ok((connection, clock.instant().saturating_duration_since(begun)))
}
