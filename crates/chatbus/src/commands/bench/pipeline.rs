//! `bench pipeline`: the whole way of an event in one process: read from a platform's socket, its user found, a
//! rule applied, the answer said on the platform, and all of it recorded.
//!
//! The fake platform's viewers speak in a hundred channels and get the answers, in a process of its own. They
//! go on as soon as few enough lines are unanswered, so that what is measured is a rate that is kept up, and not
//! how a backlog is worked off. What is counted is an event whose answer came to the platform; the time ends when
//! the last step of the last one is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use chatbus_event::Clock;
use chatbus_sandbox::twitch_irc::{Rules, Say};
use chatbus_sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

use super::child::SandboxProcess;
use super::nats::{NatsServer, url_of};
use super::report::{Report, Row, Target, Times, count};
use super::running::{Configured, Running};
use super::usage::{self, Stopwatch};
use super::{Setup, progress};
use crate::commands::Failure;
use crate::process::Roles;
use crate::supervisor::Supervisor;

const CHANNELS: u64 = 100;
/// Said first, to know how many will fill the time.
const TRIAL: u64 = 10_000;
const MOST: u64 = 1_000_000;
const TEXT_BYTES: u64 = 60;
/// Events a second where latency is measured.
const RATE: u32 = 500;
/// Without a further answer for this long something is wrong.
const STUCK_AFTER: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Lines that viewers say at once in each channel.
const AT_ONCE: u64 = 20;
/// Lines that may be unanswered when they go on: some tenths of a second.
const UNANSWERED: u64 = 2_000;
const LOOK_AT_ANSWERS_EVERY: Duration = Duration::from_millis(10);

const SUSTAINED: &str = "socket, auth, router, egress, recorded";

/// Answers every line of a viewer with its own words, which nobody else's rules do.
const RULES: &str = "
rules:
  - id: bench-answer
    priority: 1
    logic: { \"!=\": [ { \"var\": \"metadata.self\" }, true ] }
    enrichments:
      candidates:
        - text: \"{{message.text}} is what you said\"
";

pub(super) async fn run(setup: &Setup) -> Result<Report, Failure> {
    let mut report = setup.report("pipeline");
    let server = setup.nats().await?;
    let rules = setup.folder.path().join("rules.yaml");
    std::fs::write(&rules, RULES)?;
    let rules = rules.display().to_string();
    let sandbox = SandboxProcess::start(setup.folder.path()).await?;
    let off =
        json!({ "joins": false, "logins": false, "messages": false, "duplicates": false, "sink": true });
    sandbox.post("/twitch/rules", off).await?;
    let running = configure(setup, "pipeline", url_of(server.as_ref()), &sandbox.irc, &rules)?;
    let running = running.start_with(&Roles::all()).await?;
    let clock = Supervisor::new().runtime().clock;

    progress("a trial");
    let watch = Stopwatch::start(&clock);
    let mut done = 0;
    speak(&sandbox, done, TRIAL).await?;
    done += TRIAL;
    recorded(&running, done, &clock).await?;
    let rate = count(TRIAL) / watch.spent().wall.as_secs_f64().max(1e-6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below a million")]
    let events = (rate * setup.duration.as_secs_f64()).clamp(count(TRIAL), count(MOST)) as u64;
    let events = events.next_multiple_of(CHANNELS * AT_ONCE);
    progress(&format!("{events} events"));
    usage::reset_peak();
    let watch = Stopwatch::start(&clock);
    speak(&sandbox, done, events).await?;
    done += events;
    recorded(&running, done, &clock).await?;
    let spent = watch.spent();
    let mut row = Row::new(SUSTAINED, events).spent(&spent);
    row.peak_rss_bytes = usage::peak_bytes();
    report.rows.push(row);
    let failed = running.metric("chatbus_egress_failed_total").await?;
    running.stop().await?;
    drop(sandbox);
    if failed > 0 {
        return Err(anyhow!("{failed} answers were not said").into());
    }
    let rate = count(events) / spent.wall.as_secs_f64().max(1e-6);
    report.check("events a second", rate, "/s", Target::AtLeast(5_000.0));
    report.notes.push(format!(
        "{CHANNELS} channels, limits off, at most {} lines unanswered; each answer is an event too, which is read, \
         enriched, routed and recorded",
        UNANSWERED + CHANNELS * AT_ONCE
    ));

    progress("latency");
    let times = latency(setup, server.as_ref(), &rules).await?;
    let row = Row::new(format!("viewer's line to answer, {RATE}/s"), times.len()).times(&times);
    report.rows.push(row);
    report.check("p99 line to answer", times.p99_ms(), "ms", Target::Below(50.0));
    Ok(report)
}

fn channels() -> Vec<String> {
    (0..CHANNELS).map(|n| format!("bench_{n}")).collect()
}

fn configure(
    setup: &Setup,
    name: &str,
    nats_url: Option<&str>,
    irc: &str,
    rules: &str,
) -> Result<Configured, Failure> {
    let settings = [
        ("TWITCH_ENABLED", "true"),
        ("TWITCH_IRC_URL", irc),
        ("TWITCH_CHANNELS", &channels().join(",")),
        ("TWITCH_BOT_USERNAME", "bench_bot"),
        ("TWITCH_BOT_ACCESS_TOKEN", "oauth:bench"),
        ("TWITCH_MESSAGE_LIMIT", "off"),
        ("TWITCH_JOIN_LIMIT", "verified"),
        ("RULES_PATH", rules),
    ];
    Configured::new(setup, name, nats_url, &settings)
}

/// Has viewers say so many lines after those that they said before.
async fn speak(sandbox: &SandboxProcess, before: u64, lines: u64) -> anyhow::Result<()> {
    let mut said = before;
    while said < before + lines {
        let floods = channels().into_iter().map(|channel| {
            let asked = json!({ "channel": channel, "count": AT_ONCE, "text_bytes": TEXT_BYTES });
            sandbox.post("/twitch/flood", asked)
        });
        futures::future::try_join_all(floods).await?;
        said += CHANNELS * AT_ONCE;
        answered(sandbox, said.saturating_sub(UNANSWERED)).await?;
    }
    Ok(())
}

/// Waits until the platform has so many answers.
async fn answered(sandbox: &SandboxProcess, goal: u64) -> anyhow::Result<()> {
    let wait = async {
        loop {
            let answers = sandbox.get("/twitch/counters").await?["sink"]["accepted"].as_u64();
            if answers.context("the sandbox counts no answers")? >= goal {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_AT_ANSWERS_EVERY).await;
        }
    };
    tokio::time::timeout(STUCK_AFTER, wait).await.context("the answers do not come")?
}

/// Waits until so many answers were said and everything that led to them and from them is recorded: a line and
/// its answer are received, enriched and finalized each, and the answer has its outcome.
async fn recorded(running: &Running, goal: u64, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    let (mut last, mut since) = (0, clock.instant());
    loop {
        let names = ["chatbus_egress_sent_total", "chatbus_store_outcomes_total"];
        let [sent, outcomes] = running.metrics(names).await?;
        if sent >= goal && outcomes >= 2 * goal {
            return Ok(());
        }
        let now = clock.instant();
        if sent + outcomes > last {
            (last, since) = (sent + outcomes, now);
        } else if now.saturating_duration_since(since) > STUCK_AFTER {
            return Err(anyhow!(
                "of {goal} events {sent} are answered and {outcomes} outcomes recorded, and no more"
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// From a viewer's line until its answer has come to the platform, which runs in this process here, for its
/// clock.
async fn latency(setup: &Setup, server: Option<&NatsServer>, rules: &str) -> Result<Times, Failure> {
    let supervisor = Supervisor::new();
    let runtime = supervisor.runtime();
    let sandbox = Sandbox::start(SandboxConfig::default(), runtime.clone())
        .await
        .map_err(|error| Failure::Runtime(error.into()))?;
    sandbox.twitch().set_rules(|rules| *rules = Rules { sink: true, ..Rules::unlimited() });
    let irc = sandbox.twitch().irc_url();
    let running = configure(setup, "latency", url_of(server), &irc, rules)?.start_with(&Roles::all()).await?;
    let lines = (u64::from(RATE) * u64::try_from(setup.duration.as_millis()).unwrap_or(1000) / 1000).max(10);
    let mut often = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut begun: Vec<Instant> = Vec::new();
    for n in 0..lines {
        often.tick().await;
        begun.push(runtime.clock.instant());
        let (channel, login) = (format!("bench_{}", n % CHANNELS), format!("viewer_{}", n % 1_000));
        let say = Say::new(&channel, &login, &format!("{n} and a line as viewers write them"));
        sandbox.twitch().say(&say).await.map_err(|error| anyhow!("the sandbox refused a line: {error}"))?;
    }
    tokio::time::timeout(STUCK_AFTER, sandbox.twitch().wait_for_sent(lines))
        .await
        .map_err(|_| anyhow!("not every line was answered"))?;
    let mut times = Times::new()?;
    for (n, arrived) in sandbox.twitch().take_arrivals() {
        if let Some(begun) = usize::try_from(n).ok().and_then(|n| begun.get(n)) {
            times.record(arrived.saturating_duration_since(*begun));
        }
    }
    running.stop().await.context("the process did not stop")?;
    sandbox.stop().await;
    supervisor.stop().cancel();
    supervisor.ended().await;
    Ok(times)
}
