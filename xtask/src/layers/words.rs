//! Words that may stand in some crates' code only.

use std::collections::BTreeSet;
use std::path::Path;

use super::Violation;
use super::rules::Rules;
use crate::rust;

/// Functions of `std::env` that read or change the environment.
const ENVIRONMENT: [&str; 6] = ["var", "var_os", "vars", "vars_os", "set_var", "remove_var"];

/// What starts a task or a thread by itself. Blocking work on the executor's own threads ends with
/// its caller's wait, so `spawn_blocking` is none.
const SPAWN: [&str; 5] =
    ["tokio::spawn", "task::spawn", "task::spawn_local", "thread::spawn", "thread::Builder"];

/// Everything in one file that is not for its crate.
pub(super) fn check(
    rules: &Rules,
    platforms: &BTreeSet<String>,
    package: &str,
    file: &Path,
    source: &str,
) -> Vec<Violation> {
    let code = rust::production(source);
    let may = |crates: &[String]| crates.iter().any(|name| name == package);
    let mut found = Vec::new();
    let mut wrong = |at: usize, rule: &'static str, text: String| {
        let line = source[..at].matches('\n').count() + 1;
        found.push(Violation { file: file.to_owned(), line, rule, text });
    };

    if !may(&rules.platform_names.crates) {
        let text = code.text.to_ascii_lowercase();
        for platform in platforms.iter().filter(|platform| package != format!("platform-{platform}")) {
            for (at, _) in text.match_indices(platform.as_str()) {
                wrong(at, "platform-names", format!("{package} names {platform}"));
            }
        }
    }
    if !may(&rules.environment.crates) {
        for (at, function) in environment_reads(&code.skeleton) {
            wrong(at, "environment", format!("{package} uses env::{function}"));
        }
    }
    if !may(&rules.spawn.crates) {
        for call in SPAWN {
            for at in words(&code.skeleton, call) {
                wrong(at, "spawn", format!("{package} uses {call}"));
            }
        }
        for at in method_spawns(&code.skeleton) {
            wrong(at, "spawn", format!("{package} spawns without a name"));
        }
    }
    found
}

/// `env::var` and its like, also imported in a group: `env::{self, var}`.
fn environment_reads(skeleton: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (at, start) in skeleton.match_indices("env::") {
        let rest = &skeleton[at + start.len()..];
        let named = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !is_word(c)).next().unwrap_or_default(),
        };
        let named: BTreeSet<&str> = named.split(|c: char| !is_word(c)).collect();
        found.extend(
            ENVIRONMENT.into_iter().filter(|function| named.contains(function)).map(|name| (at, name)),
        );
    }
    found
}

/// Calls of `.spawn` with one argument: of a tracker, a set of tasks, a handle of the executor or a
/// thread's builder. Ours has two, a name and the task; a process's has none.
fn method_spawns(skeleton: &str) -> impl Iterator<Item = usize> + '_ {
    let calls = skeleton.match_indices(".spawn(");
    calls.filter(|(at, call)| arguments(&skeleton[at + call.len()..]) == 1).map(|(at, _)| at)
}

/// How many arguments stand before the bracket that closes the call.
fn arguments(rest: &str) -> usize {
    let (mut depth, mut commas, mut open) = (0_usize, 0, false);
    for c in rest.chars() {
        match c {
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            '(' | '[' | '{' => depth += 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            commas += 1;
            open = false;
        } else if !c.is_whitespace() {
            open = true;
        }
    }
    commas + usize::from(open)
}

/// Where a path stands as whole words.
fn words<'a>(skeleton: &'a str, path: &'a str) -> impl Iterator<Item = usize> + 'a {
    skeleton.match_indices(path).map(|(at, _)| at).filter(move |at| {
        let before = skeleton[..*at].chars().next_back();
        let after = skeleton[at + path.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::example;
    use super::*;

    fn found(package: &str, source: &str) -> Vec<String> {
        let platforms = BTreeSet::from(["twilio".to_owned(), "twitch".to_owned()]);
        let file = Path::new("crates").join(package).join("src/a.rs");
        check(&example(), &platforms, package, &file, source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_platforms_name_is_wrong_in_every_form_and_named_with_its_line() {
        assert_eq!(
            found("ingress", "//! twitch\nfn a() {}\nstruct TwitchThing;\n"),
            ["crates/ingress/src/a.rs:3: platform-names: ingress names twitch"]
        );
        assert_eq!(found("bus", "const A: &str = \"Twilio\"; const TWITCH: u8 = 0;").len(), 2);
    }

    #[test]
    fn a_platforms_name_is_right_at_home_in_the_listed_crates_and_in_tests() {
        let source = "const A: &str = \"twitch\";";
        assert!(found("platform-twitch", source).is_empty());
        assert!(found("sandbox", source).is_empty());
        assert!(found("bus", &format!("#[cfg(test)]\nmod tests {{ {source} }}\n")).is_empty());
        assert_eq!(found("platform-twilio", source).len(), 1, "another platform's crate");
    }

    #[test]
    fn reads_of_the_environment_are_found_however_they_are_written() {
        for source in [
            "let a = std::env::var(\"A\");",
            "let a = env::var_os(\"A\");",
            "use std::env::{self, vars};",
            "use std::env::set_var;",
        ] {
            assert_eq!(found("bus", source).len(), 1, "{source}");
            assert!(found("chatbus", source).is_empty(), "{source}");
        }
    }

    #[test]
    fn other_uses_of_the_module_are_right() {
        for source in ["env!(\"CARGO\")", "std::env::temp_dir()", "env::args()", "let s = \"env::var\";"] {
            assert!(found("bus", source).is_empty(), "{source}");
        }
    }

    #[test]
    fn spawning_is_found_in_every_crate() {
        for source in [
            "tokio::spawn(x)",
            "task::spawn(x)",
            "std::thread::spawn(x)",
            "thread::Builder::new()",
            "tracker.spawn(x)",
            "set.spawn(async move { a(b, c).await },)",
            "Handle::current().spawn(x)",
        ] {
            assert_eq!(found("chatbus", source).len(), 1, "{source}");
        }
    }

    #[test]
    fn being_handed_a_spawner_or_blocking_is_no_spawning() {
        for source in [
            "runtime.spawn(\"name\", async move { x(y).await });",
            "spawner.spawn(name, Box::pin(task))",
            "Command::new(\"sh\").spawn()",
            "fn spawn(&self, task: Task) {}",
            "tokio::task::spawn_blocking(x)",
            "mytokio::spawn(x)",
            "// tokio::spawn",
        ] {
            assert!(found("bus", source).is_empty(), "{source}");
        }
    }
}
