//! `chatbus token`.

use std::io::Write as _;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{Failure, Outcome, load};
use crate::cli::{NewTokenArgs, RemoteArgs, TokenArgs, TokenCommand};
use crate::client::Client;
use crate::settings::Environment;
use crate::terminal;

pub(crate) async fn run(args: TokenArgs, environment: &Environment) -> Outcome {
    match args.what {
        TokenCommand::Create(new) => create(*new, environment).await,
        TokenCommand::List { json, remote } => list(json, *remote, environment).await,
        TokenCommand::Revoke { id, remote } => revoke(&id, *remote, environment).await,
    }
}

async fn create(new: NewTokenArgs, environment: &Environment) -> Outcome {
    let body = json!({
        "user": new.user, "bot": new.bot, "platforms": new.platforms, "channels": new.channels,
        "types": new.types, "origins": new.origins, "expires_in_seconds": new.expires.map(|time| time.as_secs()),
    });
    let created = ask(new.remote, environment, reqwest::Method::POST, "/api/v1/tokens", Some(&body)).await?;
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
    let all = ask(remote, environment, reqwest::Method::GET, "/api/v1/tokens", None).await?;
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
    ask(remote, environment, reqwest::Method::DELETE, &format!("/api/v1/tokens/{id}"), None).await?;
    writeln!(std::io::stdout().lock(), "{} is revoked; its connections are closed.", terminal::safe(id))?;
    Ok(())
}

async fn ask(
    remote: RemoteArgs,
    environment: &Environment,
    method: reqwest::Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let (values, core) = load(remote.settings, environment)?;
    let client = Client::find(remote.url.as_deref(), &core, &values).await?;
    let (status, answer) = client.ask(method, path, body).await?;
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    Err(Failure::Runtime(anyhow!("{}", answer["error"]["message"].as_str().unwrap_or("the process refused"))))
}
