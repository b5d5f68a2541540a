//! `chatbus oauth`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use reqwest::Method;
use serde_json::Value;

use super::{Failure, Outcome, load};
use crate::cli::{OauthArgs, OauthCommand, RemoteArgs};
use crate::client::Client;
use crate::settings::Environment;
use crate::terminal;

/// How much longer to wait when the platform is asked too often.
const SLOWER_BY: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: OauthArgs, environment: &Environment) -> Outcome {
    match args.what {
        OauthCommand::Login { platform, identity, json, remote } => {
            let client = client(*remote, environment).await?;
            login(&client, &platform, &identity, json).await
        }
        OauthCommand::Status { json, remote } => {
            let client = client(*remote, environment).await?;
            status(&ask(&client, Method::GET, "/api/v1/oauth").await?, json)
        }
    }
}

/// Tokens are sealed with a key that only the process has, so it is asked and nothing else.
async fn client(remote: RemoteArgs, environment: &Environment) -> Result<Client, Failure> {
    let (values, core) = load(remote.settings, environment)?;
    Ok(Client::find(remote.url.as_deref(), &core, &values).await?)
}

async fn ask(client: &Client, method: Method, path: &str) -> Result<Value, Failure> {
    let (status, answer) = client.ask(method, path, None).await?;
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    let why = answer["error"]["message"].as_str().unwrap_or("the process refused");
    Err(Failure::Runtime(anyhow!("{}", terminal::safe(why))))
}

async fn login(client: &Client, platform: &str, identity: &str, as_json: bool) -> Outcome {
    let segment = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let path = format!("/api/v1/oauth/{}/{}/device", segment(platform), segment(identity));
    let begun = ask(client, Method::POST, &path).await?;
    let text = |value: &Value, name: &str| terminal::safe(value[name].as_str().unwrap_or_default());
    let handle = begun["handle"].as_str().unwrap_or_default().to_owned();
    if as_json {
        let mut shown = begun.clone();
        if let Some(shown) = shown.as_object_mut() {
            shown.remove("handle");
        }
        writeln!(std::io::stdout().lock(), "{shown}")?;
    } else {
        let mut out = std::io::stdout().lock();
        writeln!(out, "Open  {}", text(&begun, "verification_uri"))?;
        writeln!(out, "Code  {}", text(&begun, "user_code"))?;
        writeln!(
            out,
            "Log in there as the {} account; this waits until you have.",
            terminal::safe(identity)
        )?;
    }
    let mut every = Duration::from_secs(begun["interval"].as_u64().unwrap_or(5).clamp(1, 60));
    let path = format!("/api/v1/oauth/device/{}", segment(&handle));
    loop {
        tokio::time::sleep(every).await;
        let told = ask(client, Method::POST, &path).await?;
        if told["state"] == "pending" {
            // RFC 8628, section 3.5: these and all waits after them are longer.
            if told["slow_down"] == true {
                every += SLOWER_BY;
            }
            continue;
        }
        let mut out = std::io::stdout().lock();
        if as_json {
            writeln!(out, "{}", told["account"])?;
        } else {
            let account = &told["account"];
            writeln!(out, "{} ({}) is logged in.", text(account, "login"), text(account, "userId"))?;
        }
        return Ok(());
    }
}

fn status(all: &Value, as_json: bool) -> Outcome {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let none = Vec::new();
    let accounts = all.as_array().unwrap_or(&none);
    if accounts.is_empty() {
        writeln!(
            out,
            "No platform is configured whose accounts log in. Set TWITCH_CLIENT_ID and TWITCH_CLIENT_SECRET."
        )?;
    }
    for account in accounts {
        let text = |name: &str| terminal::safe(account[name].as_str().unwrap_or("-"));
        let (platform, identity, state) = (text("platform"), text("identity"), text("state"));
        writeln!(
            out,
            "{platform:10} {identity:12} {state:12} {}  expires {}",
            text("login"),
            text("expiresAt")
        )?;
        let list = |name: &str| {
            let names = account[name].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(terminal::safe).collect::<Vec<_>>().join(" ")
        };
        let missing = list("missing");
        if !missing.is_empty() {
            writeln!(
                out,
                "           lacks {missing}: log in again with `chatbus oauth login {platform} {identity}`"
            )?;
        }
    }
    Ok(())
}
