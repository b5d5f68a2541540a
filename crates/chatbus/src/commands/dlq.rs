//! `chatbus dlq`.

use std::io::Write as _;

use serde_json::Value;

use super::ask::ask;
use super::{Failure, Outcome};
use crate::cli::{DlqArgs, DlqCommand, ReplayArgs, WhichArgs};
use crate::process::admin::{LetterOrder, LettersAsked, Order, PartText, ReplayAsked};
use crate::settings::Environment;
use crate::terminal;

/// Letters that one request replays; more are asked for one part after the other, so that progress shows.
const PART: usize = 50;

pub(crate) async fn run(args: DlqArgs, environment: &Environment) -> Outcome {
    match args.what {
        DlqCommand::List { which, json, remote } => {
            let all = ask(Order::Letters(LetterOrder::List(asked(*which, &[]))), *remote, environment).await?;
            list(&all, json)
        }
        DlqCommand::Show { id, json, remote } => {
            let letter = ask(Order::Letters(LetterOrder::Show(id)), *remote, environment).await?;
            show(&letter, json)
        }
        DlqCommand::Replay(args) => replay(*args, environment).await,
        DlqCommand::Discard { ids, which, json, remote } => {
            let order = LetterOrder::Discard(asked(*which, &ids));
            let done = ask(Order::Letters(order), *remote, environment).await?;
            let mut out = std::io::stdout().lock();
            if json {
                writeln!(out, "{done}")?;
            } else {
                let count = done["discarded"].as_array().map_or(0, Vec::len);
                writeln!(out, "{count} dead letter(s) discarded.")?;
            }
            Ok(())
        }
    }
}

fn asked(which: WhichArgs, ids: &[String]) -> LettersAsked {
    LettersAsked {
        id: (!ids.is_empty()).then(|| ids.join(",")),
        reason: which.reason,
        platform: which.platform,
        correlation_id: which.correlation_id,
        since: which.when.since,
        until: which.when.until,
        state: which.state,
        part: PartText {
            limit: Some(which.when.limit.to_string()),
            offset: Some(which.when.offset.to_string()),
        },
    }
}

fn list(all: &Value, as_json: bool) -> Outcome {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let none = Vec::new();
    let letters = all.as_array().unwrap_or(&none);
    if letters.is_empty() {
        writeln!(out, "There are no such dead letters.")?;
    }
    for letter in letters {
        let text = |name: &str| terminal::safe(letter[name].as_str().unwrap_or("-"));
        writeln!(
            out,
            "{}  {:14} {:10} {:9} {}",
            text("at"),
            text("reason"),
            text("platform"),
            text("state"),
            text("id")
        )?;
    }
    Ok(())
}

fn show(letter: &Value, as_json: bool) -> Outcome {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{letter}")?;
        return Ok(());
    }
    let text = |value: &Value| terminal::safe(value.as_str().unwrap_or("-"));
    writeln!(out, "id           {}", text(&letter["id"]))?;
    writeln!(out, "reason       {}", text(&letter["reason"]))?;
    writeln!(out, "error        {}", text(&letter["letter"]["payload"]["error"]["message"]))?;
    writeln!(out, "given up at  {}", text(&letter["at"]))?;
    writeln!(out, "event        {}", text(&letter["correlationId"]))?;
    writeln!(out, "platform     {}", text(&letter["platform"]))?;
    writeln!(out, "state        {}", text(&letter["state"]))?;
    let original = serde_json::to_string_pretty(&letter["original"]).unwrap_or_default();
    writeln!(out, "original     {}", terminal::safe_lines(&original))?;
    Ok(())
}

async fn replay(args: ReplayArgs, environment: &Environment) -> Outcome {
    let ReplayArgs { ids, which, dry_run, rate, to, json, remote } = args;
    if rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        let problem = chatbus_runtime::settings::Problem::new("--rate", "it is a number above 0, such as 5");
        return Err(Failure::Configuration(vec![problem]));
    }
    let most = which.when.limit;
    let filter = asked(which, &ids);
    let mut results: Vec<Value> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    while results.len() < most {
        let mut part = filter.clone();
        // What is replayed is found no more, so the next part begins at the first again, behind what was refused.
        let passed = if dry_run { results.len() } else { results.iter().filter(|r| !is_done(r)).count() };
        let offset: usize = filter.part.offset.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0);
        part.part.limit = Some(PART.min(most - results.len()).to_string());
        part.part.offset = Some((offset + passed).to_string());
        let order = ReplayAsked { filter: part, dry_run, rate, to: Some(to.clone()) };
        let answer = ask(Order::Letters(LetterOrder::Replay(order)), remote.clone(), environment).await?;
        let done = answer["letters"].as_array().cloned().unwrap_or_default();
        let fresh: Vec<Value> =
            done.into_iter().filter(|letter| seen.insert(letter["id"].to_string())).collect();
        if fresh.is_empty() {
            break;
        }
        if !json {
            for letter in &fresh {
                say(letter, dry_run)?;
            }
        }
        results.extend(fresh);
    }
    let mut out = std::io::stdout().lock();
    let done = results.iter().filter(|letter| is_done(letter)).count();
    let refused = results.len() - done;
    if json {
        writeln!(out, "{}", Value::Array(results))?;
    } else if dry_run {
        writeln!(out, "{done} would be replayed, {refused} not. Nothing was done.")?;
    } else {
        writeln!(out, "{done} replayed, {refused} not.")?;
    }
    Ok(())
}

fn is_done(letter: &Value) -> bool {
    letter["refused"].is_null()
}

fn say(letter: &Value, dry_run: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = |name: &str| terminal::safe(letter[name].as_str().unwrap_or_default());
    match letter["refused"].as_str() {
        Some(why) => writeln!(out, "  {}  not: {}", text("id"), terminal::safe(why)),
        None if dry_run => writeln!(out, "  {}  would go to {}", text("id"), text("topic")),
        None => writeln!(out, "  {}  to {}", text("id"), text("topic")),
    }
}
