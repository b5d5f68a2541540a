//! `chatbus users`.

use std::io::Write as _;

use serde_json::Value;

use super::Outcome;
use super::ask::ask;
use crate::cli::{UsersArgs, UsersCommand};
use crate::process::admin::{Order, UserChangeAsked, UserOrder, UsersAsked};
use crate::settings::Environment;
use crate::terminal;

pub(crate) async fn run(args: UsersArgs, environment: &Environment) -> Outcome {
    match args.what {
        UsersCommand::List { name, platform, status, json, remote } => {
            let asked = UsersAsked { name, platform, status, ..UsersAsked::default() };
            let all = ask(Order::Users(UserOrder::List(asked)), *remote, environment).await?;
            list(&all, json)
        }
        UsersCommand::Show { id, remote } => {
            let user = ask(Order::Users(UserOrder::Show(id)), *remote, environment).await?;
            let shown = serde_json::to_string_pretty(&user).unwrap_or_default();
            writeln!(std::io::stdout().lock(), "{}", terminal::safe_lines(&shown))?;
            Ok(())
        }
        UsersCommand::Ban { id, remote } => {
            let user = ask(change(id, "banned"), *remote, environment).await?;
            say(&user, "is not answered any more")
        }
        UsersCommand::Unban { id, remote } => {
            let user = ask(change(id, "active"), *remote, environment).await?;
            say(&user, "is answered again")
        }
    }
}

fn change(id: String, status: &str) -> Order {
    let asked = UserChangeAsked { status: Some(status.to_owned()), ..UserChangeAsked::default() };
    Order::Users(UserOrder::Change(id, asked))
}

fn list(all: &Value, as_json: bool) -> Outcome {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let none = Vec::new();
    let users = all.as_array().unwrap_or(&none);
    if users.is_empty() {
        writeln!(out, "No such user was seen.")?;
    }
    for user in users {
        let text = |name: &str| terminal::safe(user[name].as_str().unwrap_or("-"));
        let roles: Vec<&str> =
            user["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        writeln!(
            out,
            "{:24} {:20} {:6} {:>6} messages, last {}  {}",
            text("id"),
            text("displayName"),
            text("status"),
            user["messages"],
            text("lastSeenAt"),
            terminal::safe(&roles.join(" "))
        )?;
    }
    Ok(())
}

fn say(user: &Value, word: &str) -> Outcome {
    writeln!(
        std::io::stdout().lock(),
        "{} {word}.",
        terminal::safe(user["id"].as_str().unwrap_or_default())
    )?;
    Ok(())
}
