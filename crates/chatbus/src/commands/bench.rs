//! `chatbus bench`: measures this machine, each number beside its ceiling from the same run.
//!
//! The ceiling is the least that would do: a bare client of the same bus, a plain file, a bare socket.
//! Ours and the ceiling take turns in short slices, so that a machine that is busy for a while is busy
//! for both. What makes the input runs in processes of its own: the CPU time shown is ours alone.

mod bare;
mod bus;
mod child;
mod egress;
mod egress_ceiling;
mod gateway;
mod ingress;
mod ingress_latency;
mod machine;
mod nats;
mod pipeline;
mod reader;
mod report;
mod running;
mod sample;
mod usage;
mod via;
mod webhook;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::{Failure, Outcome};
use crate::cli::{BenchArgs, BenchKind};
use crate::signals;
use machine::Machine;
use nats::NatsServer;
use report::Report;

/// How often ours and its ceiling take turns.
const ROUNDS: u32 = 3;

/// What every benchmark is told.
struct Setup {
    folder: tempfile::TempDir,
    duration: Duration,
    driver: String,
    nats_server: PathBuf,
}

pub(crate) async fn run(args: BenchArgs) -> Outcome {
    if args.duration.is_zero() {
        return Err(anyhow!("--for must be longer than nothing").into());
    }
    let folder = tempfile::Builder::new()
        .prefix("chatbus-bench-")
        .tempdir()
        .context("no temporary folder can be made")?;
    let json = args.json;
    let setup = Setup {
        folder,
        duration: args.duration,
        driver: args.driver.clone(),
        nats_server: args.nats_server.clone(),
    };
    if args.fill.clients {
        return gateway::be_clients().await;
    }
    if let Some(url) = &args.fill.fill {
        return egress::fill_from_outside(&setup, url, &args.fill.fill_name, args.fill.fill_events).await;
    }
    let measured = async {
        match args.what {
            BenchKind::Bus => bus::run(&setup).await,
            BenchKind::Ingress => ingress::run(&setup).await,
            BenchKind::Egress => egress::run(&setup).await,
            BenchKind::Gateway => gateway::run(&setup).await,
            BenchKind::Pipeline => pipeline::run(&setup).await,
            BenchKind::Webhook => webhook::run(&setup).await,
        }
    };
    let report = tokio::select! {
        report = Box::pin(measured) => report?,
        signal = signals::stop() => return Err(anyhow!("stopped by {signal}").into()),
    };
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Runtime(error.into()))?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{}", report.table())?;
    }
    Ok(())
}

// === impl Setup ===

impl Setup {
    fn report(&self, bench: &'static str) -> Report {
        let folder = self.folder.path();
        let mut report = Report {
            bench,
            driver: self.driver.clone(),
            seconds: self.duration.as_secs_f64(),
            machine: Machine::here(folder),
            rows: Vec::new(),
            ratios: Vec::new(),
            notes: Vec::new(),
        };
        if Machine::is_memory(folder) {
            let folder = folder.display();
            report.notes.push(format!(
                "{folder} is in memory, where a sync costs nothing: set TMPDIR to a folder on a disk"
            ));
        }
        report
    }

    /// One turn of one side.
    fn slice(&self) -> Duration {
        self.duration / ROUNDS
    }

    /// The server that the nats driver speaks to; `None` for another driver.
    async fn nats(&self) -> anyhow::Result<Option<NatsServer>> {
        if self.driver != "nats" {
            return Ok(None);
        }
        let server = NatsServer::start(&self.nats_server, &self.folder.path().join("nats"), false).await?;
        let found = server.with_context(|| {
            format!("{} is not found; name a nats-server with --nats-server", self.nats_server.display())
        })?;
        Ok(Some(found))
    }
}

/// Says what is being done, to whoever waits.
fn progress(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "bench: {what}");
}
