//! `chatbus dlq`.

use std::io::Write as _;

use serde_json::Value;

use super::ask::ask;
use super::{Failure, Outcome};
use crate::cli::{DlqArgs, DlqCommand, RemoteArgs, ReplayArgs, WhichArgs};
use crate::process::admin::{LetterOrder, LettersAsked, Order, PartText, ReplayAsked};
use crate::settings::Environment;
use crate::terminal;

/// Letters that one request replays; more are asked for one part after the other, so that progress shows and
/// no request takes long.
const PART: usize = 50;
/// The same where so many a second are asked for.
const PART_SECONDS: usize = 10;

pub(crate) async fn run(args: DlqArgs, environment: &Environment) -> Outcome {
    match args.what {
        DlqCommand::List { which, json, remote } => {
            let all =
                ask(Order::Letters(LetterOrder::List(asked(*which, &[]))), *remote, environment).await?;
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
    let ids = if ids.is_empty() { found(which, &remote, environment).await? } else { ids };
    let part = rate.map_or(PART, |rate| (rate as usize * PART_SECONDS).clamp(1, PART));
    let mut results: Vec<Value> = Vec::new();
    for (n, some) in ids.chunks(part).enumerate() {
        if n > 0
            && let Some(rate) = rate
        {
            tokio::time::sleep(std::time::Duration::from_secs(1) / rate.max(1)).await;
        }
        let filter = LettersAsked { id: Some(some.join(",")), ..LettersAsked::default() };
        let order = ReplayAsked { filter, dry_run, rate, to: Some(to.clone()) };
        let answer = ask(Order::Letters(LetterOrder::Replay(order)), remote.clone(), environment).await?;
        let letters = answer["letters"].as_array().cloned().unwrap_or_default();
        if !json {
            for letter in &letters {
                say(letter, dry_run)?;
            }
        }
        results.extend(letters);
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

/// The ids of the letters that fit and about which nothing was done yet.
async fn found(
    which: WhichArgs,
    remote: &RemoteArgs,
    environment: &Environment,
) -> Result<Vec<String>, Failure> {
    let filter = asked(which, &[]);
    let states = match &filter.state {
        Some(state) => vec![state.clone()],
        None => vec!["replaying".to_owned(), "open".to_owned()],
    };
    let mut ids = Vec::new();
    for state in states {
        let filter = LettersAsked { state: Some(state), ..filter.clone() };
        let all = ask(Order::Letters(LetterOrder::List(filter)), remote.clone(), environment).await?;
        // The oldest first.
        let some = all.as_array().into_iter().flatten().rev();
        ids.extend(some.filter_map(|letter| letter["id"].as_str().map(str::to_owned)));
    }
    Ok(ids)
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
