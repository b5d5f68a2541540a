//! `chatbus rules`.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use chatbus_event::Clock as _;
use chatbus_event_router::{RuleBook, RuleBookConfig, check, test};
use chatbus_routing::{Compiler, DefaultRules};
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::Problem;

use super::{Failure, Outcome, load};
use crate::cli::{RulesCommand, SettingFlags};
use crate::settings::{Core, Environment};
use crate::terminal;

/// An event on the standard input is not longer.
const MAX_EVENT_BYTES: u64 = 1024 * 1024;

pub(crate) async fn run(what: RulesCommand, environment: &Environment) -> Outcome {
    match what {
        RulesCommand::Check { paths, settings } => {
            let (paths, _) = named(paths, *settings, environment)?;
            check_all(&paths).await
        }
        RulesCommand::Test { paths, event, json, settings } => {
            let (paths, core) = named(paths, *settings, environment)?;
            try_event(&paths, &core, &event, json).await
        }
    }
}

/// The files and folders that are meant: those named, else RULES_PATH.
fn named(
    paths: Vec<PathBuf>,
    settings: SettingFlags,
    environment: &Environment,
) -> Result<(Vec<PathBuf>, Core), Failure> {
    let (values, mut core) = load(settings, environment)?;
    // As the process takes it: the name that was given, else the account's.
    let login = || values.text("TWITCH_BOT_USERNAME").map(str::to_owned);
    core.services.bot_name = core.services.bot_name.take().or_else(login);
    let paths = if paths.is_empty() { core.services.rules.clone().into_iter().collect() } else { paths };
    if paths.is_empty() {
        return Err(Problem::new("RULES_PATH", "name a file or a folder of rules, or set this").into());
    }
    Ok((paths, core))
}

async fn check_all(paths: &[PathBuf]) -> Outcome {
    let compiler = Compiler::default();
    let mut out = std::io::stdout().lock();
    let mut problems = 0;
    for path in paths {
        let files = check(path, &compiler).await.with_context(|| path.display().to_string())?;
        for file in files {
            let name = terminal::safe(&file.name);
            if file.problems.is_empty() {
                writeln!(out, "{name}: {} rule(s), all well: {}", file.rules.len(), file.rules.join(", "))?;
            }
            for problem in &file.problems {
                writeln!(out, "{}", terminal::safe_lines(problem))?;
            }
            problems += file.problems.len();
        }
    }
    if problems > 0 { Err(Failure::Reported(2)) } else { Ok(()) }
}

async fn try_event(paths: &[PathBuf], core: &Core, event: &PathBuf, as_json: bool) -> Outcome {
    let bytes = read_event(event)?;
    let mut sets = Vec::new();
    for path in paths {
        let config = RuleBookConfig {
            path: Some(path.clone()),
            documents: None,
            defaults: DefaultRules {
                bot_name: core.services.bot_name.clone(),
                has_llm: core.services.model.is_some(),
                commands: Vec::new(),
            },
            known_topics: Vec::new(),
        };
        let book = RuleBook::new(config);
        book.refresh(SystemClock.now()).await;
        let problems: Vec<String> =
            book.status().sources.into_iter().flat_map(|source| source.problems).collect();
        for problem in &problems {
            writeln!(std::io::stderr().lock(), "{}", terminal::safe_lines(problem))?;
        }
        // What would be tested is not what is written there.
        if !problems.is_empty() {
            return Err(Failure::Reported(2));
        }
        sets.push(book.rules().borrow().clone());
    }
    let mut out = std::io::stdout().lock();
    for rules in &sets {
        let tested = test(rules, &bytes, SystemClock.now()).context("the event")?;
        if as_json {
            writeln!(out, "{}", serde_json::to_string(&tested).unwrap_or_default())?;
            continue;
        }
        for rule in &tested.rules {
            let verdict = match (rule.enabled, rule.matched) {
                (false, _) => "off",
                (true, true) => "matched",
                (true, false) => "no",
            };
            let value = rule.error.as_deref().or(rule.value.as_deref()).unwrap_or("-");
            writeln!(
                out,
                "{verdict:8} {:24} {} = {}",
                terminal::safe(&rule.id),
                terminal::safe(&rule.origin),
                terminal::safe(value)
            )?;
            for (path, found) in &rule.reads {
                writeln!(out, "           {} is {}", terminal::safe(path), terminal::safe(found))?;
            }
        }
        writeln!(
            out,
            "applied: {}; goes to {}",
            terminal::safe(tested.chosen.as_deref().unwrap_or("none")),
            terminal::safe(&tested.goes_to)
        )?;
    }
    Ok(())
}

fn read_event(path: &PathBuf) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(MAX_EVENT_BYTES).read_to_end(&mut bytes).context("the standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        file.take(MAX_EVENT_BYTES).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    }
    Ok(bytes.into())
}
