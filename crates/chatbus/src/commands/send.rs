//! `chatbus send`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::json;

use super::{Failure, Outcome, load};
use crate::cli::SendArgs;
use crate::client::Client;
use crate::settings::Environment;
use crate::{target, terminal};

/// What is waited beyond the deadline: a late event's last chance, and the way there and back.
const BEYOND_DEADLINE: Duration = Duration::from_secs(15);

const DEAD_LETTERED: u8 = 3;
const NO_OUTCOME: u8 = 4;

pub(crate) async fn run(args: SendArgs, environment: &Environment) -> Outcome {
    let (values, core) = load(args.remote.settings, environment)?;
    if let Err(why) = target::parse(&args.to) {
        return Err(chatbus_runtime::settings::Problem::new("--to", why).into());
    }
    let client = Client::find(args.remote.url.as_deref(), &core, &values).await?;
    let wait = args.timeout.unwrap_or(core.egress_deadline + BEYOND_DEADLINE);
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let body = json!({ "to": args.to, "text": args.text, "waitMs": wait_ms });
    let (status, answer) = client.send(&body, args.idempotency_key.as_deref(), wait).await?;
    let outcome = &answer["outcome"];
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{answer}")?;
    }
    let failure = match (status, outcome["status"].as_str()) {
        (200, Some(word @ ("SENT" | "ACCEPTED"))) => {
            if !args.json {
                let id =
                    outcome["providerMessageId"].as_str().map(|id| format!(" as {}", terminal::safe(id)));
                writeln!(out, "{word}{}", id.unwrap_or_default())?;
            }
            return Ok(());
        }
        (200, Some(word)) => {
            if !args.json {
                let code = terminal::safe(outcome["error"]["code"].as_str().unwrap_or("unknown"));
                let message = terminal::safe(outcome["error"]["message"].as_str().unwrap_or_default());
                writeln!(out, "{word}: {code}: {message}")?;
                writeln!(out, "See it with `chatbus tail --topic internal.deadletter.v1`.")?;
            }
            Failure::Reported(DEAD_LETTERED)
        }
        (504, _) | (200, None) => {
            if !args.json {
                writeln!(
                    out,
                    "no outcome within {} s; correlation id {}",
                    wait.as_secs(),
                    answer["correlationId"]
                )?;
            }
            Failure::Reported(NO_OUTCOME)
        }
        _ => Failure::Runtime(anyhow!(
            "{}",
            answer["error"]["message"].as_str().unwrap_or("the process refused")
        )),
    };
    Err(failure)
}
