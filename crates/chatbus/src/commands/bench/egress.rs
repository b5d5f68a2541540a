//! `bench egress`: from the bus to a platform's socket, until each outcome is on the bus.
//!
//! On NATS a process of its own fills the topic once chatbus is in all channels; the embedded bus has one
//! process, so there it is filled before. The fake platform counts in a process of its own. The ceiling is
//! a bare socket with one line in flight in each channel, as the platform's answers need it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use chatbus_bus::{Message, Receipt, Subscription};
use chatbus_delivery::{Engine, EngineConfig};
use chatbus_event::{Attributes, Clock, InstanceId, MessageId, Topic, names};
use chatbus_runtime::Runtime;
use chatbus_sandbox::twitch_irc::Rules;
use chatbus_sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

use super::child::SandboxProcess;
use super::nats::{NatsServer, url_of};
use super::report::{Report, Row, Target, Times, count};
use super::running::{Configured, INSTANCE, Running};
use super::usage::{self, Spent, Stopwatch};
use super::{Setup, egress_ceiling, progress};
use crate::commands::Failure;
use crate::supervisor::Supervisor;

/// What one account of a busy bot is in. Joined as a verified bot does, at once: an event for a channel
/// that is not joined yet waits, and waiting is not what is measured.
const CHANNELS: usize = 100;
/// Said first, to know how many will fill the time.
const TRIAL: u64 = 5_000;
/// More would fill the disk.
const MOST: u64 = 2_000_000;
/// Messages in flight while the topic is filled.
const WINDOW: usize = 1024;
/// Without a further outcome for this long something is wrong.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How often it is looked how far chatbus is. Each look has it write out all of its metrics, which is not
/// what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events a second where latency is measured.
const RATE: u32 = 200;

const OURS: &str = "chatbus, bus to socket";
const BARE: &str = "bare socket, one in flight a channel";

pub(super) async fn run(setup: &Setup) -> Result<Report, Failure> {
    let mut report = setup.report("egress");
    let server = setup.nats().await?;
    let sandbox = without_limits(setup).await?;
    progress("the ceiling");
    let supervisor = Supervisor::new();
    let runtime = supervisor.runtime();
    let clock = Arc::clone(&runtime.clock);
    let bare = egress_ceiling::run(sandbox.irc.clone(), channels(), setup.duration, clock, text);
    let row = on_worker(&runtime, bare).await??;
    report.rows.push(row);
    supervisor.stop().cancel();
    supervisor.ended().await;
    drop(sandbox);

    progress("a trial");
    let (trial, _) = say(setup, "trial", server.as_ref(), TRIAL).await?;
    let rate = count(TRIAL) / trial.wall.as_secs_f64().max(1e-6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below two million")]
    let events = (rate * setup.duration.as_secs_f64()).clamp(count(TRIAL), count(MOST)) as u64;
    progress(&format!("{events} events"));
    let (spent, peak) = say(setup, "full", server.as_ref(), events).await?;
    let mut row = Row::new(OURS, events).spent(&spent);
    row.peak_rss_bytes = peak;
    report.rows.push(row);
    report.compare(OURS, BARE);
    let cpu = report.row(OURS).map_or(f64::NAN, Row::cpu_micros);
    // The embedded bus does the server's work in this process too.
    if server.is_some() {
        report.check("CPU a message", cpu, "us", Target::Below(20.0));
    }
    report.notes.push(format!(
        "{CHANNELS} channels, limits off; chatbus's CPU includes each outcome's publication, each event's \
         acknowledgement, and the event that each text said is itself; the bare socket's times are from a line to its answer"
    ));

    progress("latency");
    let times = latency(setup, server.as_ref()).await?;
    report.rows.push(Row::new(format!("chatbus, publish to socket, {RATE}/s"), times.len()).times(&times));
    Ok(report)
}

fn channels() -> Vec<String> {
    (0..CHANNELS).map(|n| format!("bench_{n}")).collect()
}

fn text(n: u64) -> String {
    format!("{n} and an answer of about the length that answers have")
}

/// Has chatbus say so many events and waits for every outcome. The time is from the first line at the
/// platform's socket to the last. The CPU time is all of chatbus's from when it is ready; where the topic
/// is filled before, that of the whole life.
async fn say(
    setup: &Setup,
    name: &str,
    server: Option<&NatsServer>,
    events: u64,
) -> Result<(Spent, Option<u64>), Failure> {
    let sandbox = without_limits(setup).await?;
    let configured = configure(setup, name, url_of(server), &sandbox.irc)?;
    let clock = Supervisor::new().runtime().clock;
    let (running, watch) = match server {
        Some(server) => {
            let running = configured.start().await?;
            usage::reset_peak();
            let watch = Stopwatch::start(&clock);
            have_filled(&server.url, name, events).await?;
            (running, watch)
        }
        None => {
            fill(&configured, name, events).await?;
            usage::reset_peak();
            let watch = Stopwatch::start(&clock);
            (configured.start().await?, watch)
        }
    };
    outcomes(&running, events, &clock).await?;
    let (cpu, peak) = (watch.spent().cpu, usage::peak_bytes());
    let said = sandbox.get("/twitch/counters").await?;
    let failed = running.metric("chatbus_egress_failed_total").await?;
    running.stop().await?;
    let received = said["sink"]["received"].as_u64().unwrap_or_default();
    if failed > 0 || received != events {
        let problem = anyhow!("of {events} events {received} came to the platform and {failed} failed");
        return Err(problem.into());
    }
    let wall = Duration::try_from_secs_f64(said["sink"]["seconds"].as_f64().unwrap_or_default());
    Ok((Spent { wall: wall.unwrap_or_default(), cpu }, peak))
}

async fn without_limits(setup: &Setup) -> anyhow::Result<SandboxProcess> {
    let sandbox = SandboxProcess::start(setup.folder.path()).await?;
    let off =
        json!({ "joins": false, "logins": false, "messages": false, "duplicates": false, "sink": true });
    sandbox.post("/twitch/rules", off).await?;
    Ok(sandbox)
}

fn configure(setup: &Setup, name: &str, nats_url: Option<&str>, irc: &str) -> Result<Configured, Failure> {
    let settings = [
        ("TWITCH_ENABLED", "true"),
        ("TWITCH_IRC_URL", irc),
        ("TWITCH_CHANNELS", &channels().join(",")),
        ("TWITCH_BOT_USERNAME", "bench_bot"),
        ("TWITCH_BOT_ACCESS_TOKEN", "oauth:bench"),
        ("TWITCH_MESSAGE_LIMIT", "off"),
        ("TWITCH_JOIN_LIMIT", "verified"),
    ];
    Configured::new(setup, name, nats_url, &settings)
}

/// What the process does that [`have_filled`] starts.
pub(super) async fn fill_from_outside(
    setup: &Setup,
    nats_url: &str,
    name: &str,
    events: u64,
) -> Result<(), Failure> {
    fill(&Configured::new(setup, name, Some(nats_url), &[])?, name, events).await
}

/// Has another process put events on the instance's topic.
async fn have_filled(nats_url: &str, name: &str, events: u64) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let events = events.to_string();
    let asked = ["bench", "egress", "--driver", "nats", "--fill", nats_url];
    let status = tokio::process::Command::new(program)
        .args(asked)
        .args(["--fill-name", name, "--fill-events", &events])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    anyhow::ensure!(status.success(), "the topic was not filled: {status}");
    Ok(())
}

/// Puts events on the instance's topic.
async fn fill(configured: &Configured, name: &str, events: u64) -> Result<(), Failure> {
    let supervisor = Supervisor::new();
    let bus = configured.open_bus(&supervisor).await?;
    bus.declare(&subscriptions()?).await.map_err(anyhow::Error::from)?;
    let (runtime, name, filled) = (supervisor.runtime(), name.to_owned(), Arc::clone(&bus));
    let at = runtime.clock.now().to_string();
    let filling = async move {
        let topic = topic()?;
        let mut in_flight: VecDeque<Receipt> = VecDeque::new();
        for n in 0..events {
            if in_flight.len() >= WINDOW
                && let Some(oldest) = in_flight.pop_front()
            {
                let _stored = oldest.await?;
            }
            in_flight.push_back(filled.publish(&topic, event(&name, n, &at)));
        }
        for receipt in in_flight {
            receipt.await?;
        }
        anyhow::Ok(())
    };
    on_worker(&runtime, filling).await??;
    bus.close().await;
    supervisor.stop().cancel();
    supervisor.ended().await;
    Ok(())
}

fn topic() -> anyhow::Result<Topic> {
    Ok(Topic::egress_of(&InstanceId::parse(INSTANCE)?))
}

fn subscriptions() -> anyhow::Result<Vec<Subscription>> {
    Ok(Engine::subscriptions(&EngineConfig::new(InstanceId::parse(INSTANCE)?)))
}

/// Event n: an answer to be said in one of the channels, in turn.
fn event(name: &str, n: u64, at: &str) -> Message {
    let id = format!("bench-{name}-{n:012}");
    let channel = format!("#bench_{}", n % CHANNELS as u64);
    let body = json!({
        "v": "1", "id": id, "correlationId": id, "traceId": "0af7651916cd43dd8448eb211c80319c", "timestamp": at,
        "type": "chat.message.v1", "source": "ingress.twitch", "channel": channel, "userId": "1337",
        "egress": { "destination": "twitch", "type": "chat" }, "egressDestination": "twitch",
        "routingSlip": [], "finalizationDestination": Topic::finalizer().as_str(),
        "message": { "id": id, "role": "assistant", "text": text(n) },
        "annotations": [], "candidates": [],
    });
    let attributes: Attributes = [
        (names::CORRELATION_ID, id.as_str()),
        (names::TYPE, "chat.message.v1"),
        (names::SOURCE, "ingress.twitch"),
        (names::TRACEPARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (names::MESSAGE_ID, id.as_str()),
        (names::CHANNEL, channel.as_str()),
        (names::DELIVERY_ID, id.as_str()),
        (names::CE_ID, id.as_str()),
        (names::CE_TYPE, "chat.message.v1"),
        (names::CE_SOURCE, "ingress.twitch"),
        (names::CE_SPECVERSION, "1.0"),
        (names::CE_TIME, at),
    ]
    .into_iter()
    .collect();
    Message::new(MessageId::new(&id), attributes, serde_json::to_vec(&body).unwrap_or_default())
}

/// Waits until so many events have ended in some way.
async fn outcomes(running: &Running, events: u64, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    let (mut last, mut since) = (0, clock.instant());
    loop {
        let names = ["chatbus_egress_sent_total", "chatbus_egress_failed_total"];
        let ended = running.metrics(names).await?.iter().sum();
        if ended >= events {
            return Ok(());
        }
        let now = clock.instant();
        if ended > last {
            (last, since) = (ended, now);
        } else if now.saturating_duration_since(since) > STUCK_AFTER {
            return Err(anyhow!("{ended} of {events} events have ended, and no more do"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// From just before an event is published until its line has come to the platform, which runs in this
/// process here, for its clock.
async fn latency(setup: &Setup, server: Option<&NatsServer>) -> Result<Times, Failure> {
    let supervisor = Supervisor::new();
    let runtime = supervisor.runtime();
    let sandbox = Sandbox::start(SandboxConfig::default(), runtime.clone())
        .await
        .map_err(|error| Failure::Runtime(error.into()))?;
    sandbox.twitch().set_rules(|rules| *rules = Rules { sink: true, ..Rules::unlimited() });
    let running = configure(setup, "latency", url_of(server), &sandbox.twitch().irc_url())?.start().await?;
    let (bus, clock) = (Arc::clone(running.bus()), Arc::clone(&runtime.clock));
    let events = (u64::from(RATE) * u64::try_from(setup.duration.as_millis()).unwrap_or(1000) / 1000).max(10);
    let at = clock.now().to_string();
    let publishing = async move {
        let topic = topic()?;
        let mut often = tokio::time::interval(Duration::from_secs(1) / RATE);
        let mut begun = Vec::new();
        for n in 0..events {
            often.tick().await;
            begun.push(clock.instant());
            // Its outcome is what counts.
            drop(bus.publish(&topic, event("latency", n, &at)));
        }
        anyhow::Ok(begun)
    };
    let begun: Vec<Instant> = on_worker(&runtime, publishing).await??;
    tokio::time::timeout(STUCK_AFTER, sandbox.twitch().wait_for_sent(events))
        .await
        .map_err(|_| anyhow!("not every line came to the platform"))?;
    let mut times = Times::new()?;
    for (n, arrived) in sandbox.twitch().take_arrivals() {
        if let Some(begun) = usize::try_from(n).ok().and_then(|n| begun.get(n)) {
            times.record(arrived.saturating_duration_since(*begun));
        }
    }
    running.stop().await?;
    sandbox.stop().await;
    supervisor.stop().cancel();
    supervisor.ended().await;
    Ok(times)
}

/// Runs something on a worker, as in the process it stands for.
async fn on_worker<T: Send + 'static>(
    runtime: &Runtime,
    task: impl Future<Output = T> + Send + 'static,
) -> anyhow::Result<T> {
    let (done, finished) = tokio::sync::oneshot::channel();
    runtime.spawn("bench.worker", async move {
        let _ = done.send(task.await);
    });
    finished.await.context("a task was cut off")
}

#[cfg(test)]
mod tests {
    use chatbus_event::{Event, egress_text};

    use super::*;

    #[test]
    fn an_event_is_one_that_chatbus_says() {
        let message = event("t", 7, "2025-11-21T17:02:00.000Z");
        let said = egress_text(&Event::decode(&message.body).unwrap()).unwrap();
        assert_eq!(said, text(7));
        assert_ne!(message.id, event("u", 7, "").id);
    }
}
