//! `chatbus events`.

use std::io::Write as _;

use serde_json::Value;

use super::Outcome;
use super::ask::ask;
use crate::cli::{EventsArgs, EventsCommand, EventsListArgs};
use crate::process::admin::{EventOrder, EventsAsked, Order, PartText};
use crate::settings::Environment;
use crate::terminal;

/// The longest text that a row of a list shows, in characters.
const SHOWN: usize = 60;

pub(crate) async fn run(args: EventsArgs, environment: &Environment) -> Outcome {
    match args.what {
        EventsCommand::List(args) => list(*args, environment).await,
        EventsCommand::Show { id, json, remote } => {
            let event = ask(Order::Events(EventOrder::Show(id)), *remote, environment).await?;
            let mut out = std::io::stdout().lock();
            if json {
                writeln!(out, "{event}")?;
            } else {
                writeln!(out, "{}", terminal::safe_lines(event["text"].as_str().unwrap_or_default()))?;
            }
            Ok(())
        }
    }
}

async fn list(args: EventsListArgs, environment: &Environment) -> Outcome {
    let asked = EventsAsked {
        user: args.user,
        channel: args.channel,
        platform: args.platform,
        text: args.text,
        status: args.status,
        since: args.when.since,
        until: args.when.until,
        part: PartText {
            limit: Some(args.when.limit.to_string()),
            offset: Some(args.when.offset.to_string()),
        },
    };
    let all = ask(Order::Events(EventOrder::List(asked)), args.remote, environment).await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let none = Vec::new();
    let events = all.as_array().unwrap_or(&none);
    if events.is_empty() {
        writeln!(out, "No such event is kept.")?;
    }
    for event in events {
        let facts = &event["facts"];
        let text = |value: &Value| terminal::safe(value.as_str().unwrap_or("-"));
        let who = if facts["userName"].is_string() { &facts["userName"] } else { &facts["userId"] };
        let said: String = facts["text"].as_str().unwrap_or_default().chars().take(SHOWN).collect();
        let what = if said.is_empty() { text(&facts["kind"]) } else { terminal::safe(&said) };
        writeln!(
            out,
            "{}  {:11} {:14} {:14} {}  {what}",
            text(&event["firstAt"]),
            text(&event["status"]),
            text(&facts["channel"]),
            text(who),
            text(&event["correlationId"])
        )?;
    }
    Ok(())
}
