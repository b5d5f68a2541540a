//! `chatbus tail`.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use super::{Outcome, load};
use crate::cli::TailArgs;
use crate::client::Client;
use crate::settings::Environment;
use crate::terminal;

pub(crate) async fn run(args: TailArgs, environment: &Environment) -> Outcome {
    let (values, core) = load(args.remote.settings, environment)?;
    let client = Client::find(args.remote.url.as_deref(), &core, &values).await?;
    let mut query = vec![("last", args.last.to_string())];
    if let Some(topic) = args.topic {
        query.push(("topic", topic));
    }
    if args.follow {
        query.push(("follow", "true".to_owned()));
    }
    let pretty = std::io::stdout().is_terminal() && !args.json;
    client
        .tail(&query, &mut |line| {
            let mut out = std::io::stdout().lock();
            let shown = if pretty { one_line(line) } else { line.to_owned() };
            // Whoever reads may have seen enough, as `head` does.
            writeln!(out, "{shown}").is_ok()
        })
        .await?;
    Ok(())
}

/// A message as one readable line.
pub(crate) fn one_line(line: &str) -> String {
    let Ok(record) = serde_json::from_str::<Value>(line) else { return terminal::safe(line) };
    let event = &record["event"];
    let text = |value: &Value| value.as_str().map(terminal::safe).unwrap_or_default();
    let time = text(&record["publishedAt"]);
    let topic = text(&record["topic"]);
    let what = match (event["status"].as_str(), event["payload"]["reason"].as_str()) {
        (Some(status), _) if event.get("deliveryId").is_some() => {
            let code = event["error"]["code"].as_str().map(|code| format!(" {}", terminal::safe(code)));
            format!("{}{}", terminal::safe(status), code.unwrap_or_default())
        }
        (_, Some(reason)) => format!("{}: {}", text(&event["type"]), terminal::safe(reason)),
        _ => {
            let who = &event["message"]["rawPlatformPayload"]["user"]["displayName"];
            let said = text(&event["message"]["text"]);
            let kind =
                event["externalEvent"]["kind"].as_str().map_or_else(|| text(&event["type"]), terminal::safe);
            format!("{kind} {} {}: {said}", text(&event["channel"]), text(who))
        }
    };
    format!("{} {topic}  {}", time.get(11..23).unwrap_or(&time), what.trim_end_matches([' ', ':']))
}
