//! `chatbus token`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use chatbus_bus::StateReach;
use chatbus_event::Clock as _;
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::Problem;
use serde_json::{Value, json};

use super::direct::Direct;
use super::{Failure, Outcome, load};
use crate::cli::{NewTokenArgs, RemoteArgs, TokenArgs, TokenCommand};
use crate::client::Client;
use crate::process::tokens::{self, Asked, Order};
use crate::settings::Environment;
use crate::{registry, terminal};

/// How long a process that has the data may take to answer, or to let go.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) async fn run(args: TokenArgs, environment: &Environment) -> Outcome {
    match args.what {
        TokenCommand::Create(new) => create(*new, environment).await,
        TokenCommand::List { json, remote } => list(json, *remote, environment).await,
        TokenCommand::Revoke { id, remote } => revoke(&id, *remote, environment).await,
    }
}

async fn create(new: NewTokenArgs, environment: &Environment) -> Outcome {
    let asked = Asked {
        user: new.user,
        bot: new.bot,
        platforms: new.platforms,
        channels: new.channels,
        types: new.types,
        origins: new.origins,
        expires_in_seconds: new.expires.map(|time| time.as_secs()),
    };
    let created = carry_out(Order::Create(asked), new.remote, environment).await?;
    let mut out = std::io::stdout().lock();
    if new.json {
        writeln!(out, "{created}")?;
        return Ok(());
    }
    let text = |name: &str| terminal::safe(created[name].as_str().unwrap_or_default());
    writeln!(out, "{}", text("token"))?;
    writeln!(
        out,
        "This is shown once. {} is for {}; end it with `chatbus token revoke {}`.",
        text("id"),
        text("user_id"),
        text("id")
    )?;
    Ok(())
}

async fn list(as_json: bool, remote: RemoteArgs, environment: &Environment) -> Outcome {
    let all = carry_out(Order::List, remote, environment).await?;
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let none = Vec::new();
    let tokens = all.as_array().unwrap_or(&none);
    if tokens.is_empty() {
        writeln!(out, "There are no tokens. Make one with `chatbus token create --user ID`.")?;
    }
    for token in tokens {
        let text = |name: &str| terminal::safe(token[name].as_str().unwrap_or("-"));
        let kind = if token["bot"] == true { "bot" } else { "user" };
        writeln!(out, "{}  {kind:4}  {}  expires {}", text("id"), text("user_id"), text("expires_at"))?;
    }
    Ok(())
}

async fn revoke(id: &str, remote: RemoteArgs, environment: &Environment) -> Outcome {
    carry_out(Order::Revoke(id.to_owned()), remote, environment).await?;
    writeln!(std::io::stdout().lock(), "{} is revoked; its connections are closed.", terminal::safe(id))?;
    Ok(())
}

/// Asks the process that runs, or does it in the shared state where none does.
async fn carry_out(order: Order, remote: RemoteArgs, environment: &Environment) -> Result<Value, Failure> {
    let (values, core) = load(remote.settings, environment)?;
    let url = remote.url.as_deref();
    // What is in memory only is with the process.
    if url.is_some() || registry::state_reach(&values) == Some(StateReach::Process) {
        return over_api(&Client::find(url, &core, &values).await?, order).await;
    }
    let late = SystemClock.instant() + PATIENCE;
    loop {
        if let Some(client) = Client::look(None, &core, &values).await? {
            return over_api(&client, order).await;
        }
        match Direct::open(&values, &core).await {
            Ok(direct) => return in_state(direct, order).await,
            // A process that starts or stops has the data and does not answer.
            Err(Failure::Configuration(problems)) if is_in_use(&problems) => {
                if SystemClock.instant() >= late {
                    let why = problems.first().map(ToString::to_string).unwrap_or_default();
                    return Err(Failure::Runtime(anyhow!("no chatbus answers here, but {why}")));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn is_in_use(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.setting == "DATA_DIR")
}

async fn in_state(direct: Direct, order: Order) -> Result<Value, Failure> {
    writeln!(std::io::stderr().lock(), "No chatbus runs here; this is done in {}.", direct.place)?;
    let runtime = direct.runtime();
    let done = tokens::carry_out(&*direct.state, &*runtime.clock, &*runtime.entropy, order).await;
    direct.close().await;
    done.map_err(|refused| Failure::Runtime(anyhow!("{refused}")))
}

async fn over_api(client: &Client, order: Order) -> Result<Value, Failure> {
    let all = "/api/v1/tokens";
    let (status, answer) = match order {
        Order::Create(asked) => client.ask(reqwest::Method::POST, all, Some(&json!(asked))).await?,
        Order::List => client.ask(reqwest::Method::GET, all, None).await?,
        Order::Revoke(id) => client.ask(reqwest::Method::DELETE, &format!("{all}/{id}"), None).await?,
    };
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    Err(Failure::Runtime(anyhow!("{}", answer["error"]["message"].as_str().unwrap_or("the process refused"))))
}
