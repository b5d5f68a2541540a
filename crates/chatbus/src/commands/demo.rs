//! `chatbus demo`: the real process with all its roles, fake platforms with people on them, and a fake language
//! model.

mod account;
mod visitors;
mod watch;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chatbus_runtime::settings::Origin;
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_sandbox::discord::{GENERAL_ID, GUILD_ID};
use chatbus_sandbox::twilio::Hook;
use chatbus_sandbox::twitch_api::NewToken;
use chatbus_sandbox::twitch_irc::Role;
use chatbus_sandbox::viewers::{Viewers, ViewersConfig};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_store::EventStatus;

use super::{Failure, Outcome, load};
use crate::cli::{DemoArgs, SettingFlags};
use crate::logging::{self, Stream};
use crate::process::{Process, Roles};
use crate::settings::Environment;
use crate::signals;
use crate::supervisor::Supervisor;
use account::Account;

const CHANNEL: &str = "sandbox";
const BOT: &str = "chatbus_bot";
/// How long the process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long the last lines may take to arrive after the viewers stopped.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const VIEWER_LINES_PER_SECOND: f64 = 6.0;
/// A script in which questions are spread well over the first seconds.
const SCRIPT: u64 = 51;

pub(crate) async fn run(args: DemoArgs, environment: &Environment) -> Outcome {
    let supervisor = Supervisor::new();
    let runtime = supervisor.runtime();
    let sandbox = Sandbox::start(SandboxConfig::default(), runtime.clone())
        .await
        .map_err(|error| Failure::Runtime(error.into()))?;
    let folder = tempfile::Builder::new()
        .prefix("chatbus-demo-")
        .tempdir()
        .context("no temporary folder can be made")?;
    let token = sandbox
        .twitch_api()
        .make_token(&NewToken::of(BOT, &["chat:read", "chat:edit"]))
        .map_err(|error| anyhow!("the sandbox gives its own bot no token: {error}"))?;
    let flags = with_demo_settings(args.settings, environment, &sandbox, &token.access_token, folder.path());
    let (values, core) = load(flags, environment)?;
    // A demo shows events; of the log only what went wrong.
    let level = if values.is_set("LOG_LEVEL") { None } else { Some("warn") };
    logging::start(&values, Arc::clone(&runtime.clock), Stream::Stderr, level);
    // Moderators may answer many people with the same word, which others may not.
    sandbox
        .twitch()
        .set_role(CHANNEL, BOT, |role: &mut Role| role.moderator = true)
        .map_err(|error| anyhow!("the sandbox refused its own bot: {error}"))?;

    let process = Process::start(&values, &core, &Roles::all(), &supervisor).await?;
    let account = Account::new();
    let watching =
        watch::Watch::begin(&process.bus, &account, !args.json).await.map_err(anyhow::Error::from)?;
    runtime.spawn("demo.watch", watching.run(runtime.stop.clone()));
    wait_until_ready(&process).await?;
    // Without a way back to this process nobody writes a text message.
    sandbox
        .twilio()
        .set_hook(Hook::new(&format!("http://{}/webhooks/twilio", process.reachable()), None).ok());
    if !args.json {
        introduce(&process, args.duration.is_some())?;
    }

    let interrupted = chat(&sandbox, &account, args.duration, &runtime).await?;
    account.settled(SETTLED_WITHIN).await;
    account.recorded(recorded(&process, &account.events()).await);
    let stopped = process.stop().await;
    let summary = account.summary();
    sandbox.stop().await;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary).unwrap_or_default())?;
    } else if args.duration.is_some() || interrupted {
        write!(out, "{summary}")?;
    }
    stopped?;
    if summary.lost > 0 { Err(Failure::Reported(1)) } else { Ok(()) }
}

/// What the demo sets where the user set nothing.
fn with_demo_settings(
    mut flags: SettingFlags,
    environment: &Environment,
    sandbox: &SandboxHandle,
    token: &str,
    folder: &std::path::Path,
) -> SettingFlags {
    let (twitch, api) = (sandbox.twitch(), sandbox.twitch_api());
    let (discord, twilio) = (sandbox.discord(), sandbox.twilio());
    let account = twilio.account();
    let mut set = |name: &str, value: String, always: bool| {
        let given = flags.layer.iter().any(|(key, _, _)| key == name) || environment.get(name).is_some();
        if always || !given {
            flags.layer.retain(|(key, _, _)| key != name);
            flags.layer.push((name.to_owned(), value, Origin::Flag("demo".to_owned())));
        }
    };
    set("DATA_DIR", folder.display().to_string(), false);
    set("PORT", "0".to_owned(), false);
    // Whatever is configured for the real platforms stays out of a demo.
    set("TWITCH_ENABLED", "true".to_owned(), true);
    set("TWITCH_IRC_URL", twitch.irc_url(), true);
    set("TWITCH_CHANNELS", CHANNEL.to_owned(), true);
    set("TWITCH_BOT_USERNAME", BOT.to_owned(), true);
    for (name, value) in [
        ("TWITCH_BOT_ACCESS_TOKEN", token.to_owned()),
        ("TWITCH_CLIENT_ID", "client".to_owned()),
        ("TWITCH_CLIENT_SECRET", "sandbox".to_owned()),
        ("TWITCH_API_URL", format!("{}/helix", api.url())),
        ("TWITCH_AUTH_URL", format!("{}/oauth2", api.url())),
        ("TWITCH_EVENTSUB_URL", api.eventsub_url()),
        ("TWITCH_READ", "irc".to_owned()),
        ("TWITCH_SEND", "irc".to_owned()),
        ("DISCORD_ENABLED", "true".to_owned()),
        ("DISCORD_BOT_TOKEN", "sandbox".to_owned()),
        ("DISCORD_GUILD_ID", GUILD_ID.to_owned()),
        ("DISCORD_CHANNELS", GENERAL_ID.to_owned()),
        ("DISCORD_API_URL", discord.url()),
        ("DISCORD_GATEWAY_URL", discord.gateway_url()),
        ("TWILIO_ENABLED", "true".to_owned()),
        ("TWILIO_ACCOUNT_SID", account.sid),
        ("TWILIO_AUTH_TOKEN", account.auth_token),
        ("TWILIO_API_KEY", account.api_key),
        ("TWILIO_API_SECRET", account.api_secret),
        ("TWILIO_FROM", visitors::NUMBER.to_owned()),
        ("TWILIO_IDENTITY", BOT.to_owned()),
        ("TWILIO_API_URL", twilio.url()),
        ("TWILIO_CONVERSATIONS_URL", twilio.url()),
        ("WEBHOOK_ENABLED", "false".to_owned()),
        ("PLAYGROUND_ENABLED", "false".to_owned()),
    ] {
        set(name, value, true);
    }
    // A model of one's own may be tried in a demo; where none is named, a fake one answers.
    let is_named = ["OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "OPENAI_BASE_URL"]
        .iter()
        .any(|name| environment.get(name).is_some());
    if !is_named {
        set("OPENAI_BASE_URL", sandbox.model().base_url(), false);
    }
    flags
}

async fn wait_until_ready(process: &Process) -> anyhow::Result<()> {
    let ready = async {
        let mut often = tokio::time::interval(Duration::from_millis(5));
        while !process.readiness.check(None).waiting_for.is_empty() {
            often.tick().await;
        }
    };
    tokio::time::timeout(READY_WITHIN, ready).await.map_err(|_| {
        anyhow!("not ready: still waiting for {}", process.readiness.check(None).waiting_for.join(", "))
    })
}

/// How many of these events have ended by what the store keeps, once all have or it takes too long.
async fn recorded(process: &Process, events: &[String]) -> u64 {
    let count = async || {
        let Some(store) = process.store.now() else { return 0 };
        let mut ended = 0;
        for id in events {
            let is_over =
                |(event, _): &(chatbus_store::StoredEvent, _)| event.status >= EventStatus::Finalized;
            ended += u64::from(store.event(id).await.ok().flatten().as_ref().is_some_and(is_over));
        }
        ended
    };
    let all = u64::try_from(events.len()).unwrap_or(u64::MAX);
    let mut ended = count().await;
    let waiting = async {
        while ended < all {
            tokio::time::sleep(Duration::from_millis(50)).await;
            ended = count().await;
        }
    };
    // What is still missing shows in the summary.
    let _ = tokio::time::timeout(SETTLED_WITHIN, waiting).await;
    ended
}

fn introduce(process: &Process, ends: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "chatbus demo: people chat on fake Twitch, Discord and Twilio; rules and a fake language model answer; nothing leaves this machine."
    )?;
    writeln!(
        out,
        "Look inside: http://{}/readyz  /metrics  /_debug/twitch  /_debug/discord  /_debug/bus",
        process.addr
    )?;
    writeln!(out, "One event's whole way: chatbus events show --url http://{} ID", process.addr)?;
    writeln!(
        out,
        "Say something yourself: chatbus send --url http://{} --to 'twitch:#{CHANNEL}' hello",
        process.addr
    )?;
    if !ends {
        writeln!(out, "Ctrl-C ends it.")?;
    }
    writeln!(out)
}

/// Lets the viewers chat until the time is over or someone interrupts; says whether someone did.
async fn chat(
    sandbox: &chatbus_sandbox::SandboxHandle,
    account: &Account,
    duration: Option<Duration>,
    runtime: &Runtime,
) -> anyhow::Result<bool> {
    let config = ViewersConfig {
        channels: vec![CHANNEL.to_owned()],
        rate: VIEWER_LINES_PER_SECOND,
        seed: SCRIPT,
        bot: Some(BOT.to_owned()),
        ..ViewersConfig::default()
    };
    let viewers = Viewers::new(config).map_err(|error| anyhow!("the viewers' script: {error}"))?;
    let enough = CancellationToken::new();
    let time_is_over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let end = async {
        let interrupted = tokio::select! {
            () = time_is_over => false,
            _ = signals::stop() => true,
            () = runtime.stop.cancelled() => true,
        };
        enough.cancel();
        interrupted
    };
    let (mut report, visitors, interrupted) = futures::join!(
        viewers.chat(sandbox.twitch(), &enough),
        visitors::speak(sandbox, &runtime.clock, &enough),
        end
    );
    report.said.extend(visitors);
    account.viewers_said(&report);
    Ok(interrupted)
}
