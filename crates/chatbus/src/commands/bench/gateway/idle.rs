//! What a connection costs that says nothing: memory, and CPU time to make it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chatbus_event::Clock;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::super::nats::NatsServer;
use super::super::report::{Report, Row, Target, count};
use super::super::usage::{self, Stopwatch};
use super::super::{Setup, progress};
use super::Served;
use crate::commands::Failure;

/// Where the slope begins: what is paid once is paid by then.
const FEW: usize = 1_000;
/// Where it ends, where there are as many descriptors.
const MANY: usize = 15_000;
/// Descriptors for all but connections.
const SPARE: u64 = 500;

/// How often memory is looked at, and how often in a row it has to be the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SAME: usize = 4;
/// What differs by less than this share is the same.
const SHARE: u64 = 500;
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Allows this process, and those it starts, as many descriptors as it may have; says how many.
pub(super) fn raise_limit() -> anyhow::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("the descriptor limit")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("the descriptor limit")?;
    }
    Ok(hard)
}

pub(super) async fn run(
    setup: &Setup,
    server: Option<&NatsServer>,
    limit: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    let room = usize::try_from(limit.saturating_sub(SPARE)).unwrap_or(usize::MAX);
    let many = MANY.min(room);
    if many < 2 * FEW {
        return Err(anyhow!("{limit} descriptors are too few: raise `ulimit -Hn`").into());
    }
    progress(&format!("{many} tokens"));
    let Served { running, mut clients } = Served::start(setup, "idle", server, many).await?;
    let clock = running.supervisor.runtime().clock;
    progress(&format!("{FEW} idle connections"));
    clients.connect(running.addr(), 0..FEW).await?;
    let few_bytes = settled(&clock).await?;
    progress(&format!("{many} idle connections"));
    let watch = Stopwatch::start(&clock);
    clients.connect(running.addr(), FEW..many).await?;
    let connected = watch.passed();
    let many_bytes = settled(&clock).await?;
    let mut spent = watch.spent();
    let open = running.metric("chatbus_gateway_connections").await?;
    if open != many as u64 {
        return Err(anyhow!("{open} connections are open, and {many} should be").into());
    }
    drop(clients);
    running.stop().await?;

    let made = (many - FEW) as u64;
    // The rate is of connecting; its CPU time includes presence, which is written after it.
    spent.wall = connected;
    let row = Row::new("new connections", made).spent(&spent);
    let cpu = row.cpu_micros();
    report.rows.push(row);
    report.notes.push(format!("resident with {FEW} connections {few_bytes} bytes, with {many} {many_bytes}"));
    let kib = (count(many_bytes) - count(few_bytes)) / count(made) / 1024.0;
    report.check("memory an idle connection", kib, "KiB", Target::Below(8.0));
    report.check("CPU a new connection", cpu, "us", Target::Below(150.0));
    Ok(())
}

/// What is resident once it does not change any more.
async fn settled(clock: &Arc<dyn Clock>) -> anyhow::Result<u64> {
    let begun = clock.instant();
    let resident = || usage::resident_bytes().context("the kernel does not say what is resident");
    let (mut last, mut same) = (resident()?, 0);
    while same < SAME && clock.instant().saturating_duration_since(begun) < SETTLED_WITHIN {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = resident()?;
        same = if now.abs_diff(last) <= last / SHARE { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}
