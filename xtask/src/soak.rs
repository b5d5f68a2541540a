//! The fault tests of the binary with the numbers that are promised, one after the other, and their
//! transcript in docs/. CI runs the short form of the same tests.
//!
//! What each did it prints itself, as it does it; here it is only run, timed and written down. A test
//! that is run alone replaces its own section and leaves the others as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A test in its long form.
struct Soak {
    name: &'static str,
    test: &'static str,
    promise: &'static str,
}

const SOAKS: [Soak; 8] = [
    Soak {
        name: "demo",
        test: "demo::the_demo_ends_by_itself_with_nothing_lost",
        promise: "`chatbus demo --for 10s` ends with nothing lost.",
    },
    Soak {
        name: "outage",
        test: "outages::messages_of_an_outage_are_in_the_stream_once_and_in_order",
        promise: "nats-server is killed (SIGKILL) and started again after 20 s, at 500 messages/s in two channels: \
                  every message is in the stream once, in order per channel.",
    },
    Soak {
        name: "kills",
        test: "kills::nothing_acknowledged_is_lost_by_kills_on_the_embedded_bus",
        promise: "chatbus on the embedded bus is killed (SIGKILL) 200 times at random moments: nothing that was \
                  acknowledged is lost, and what comes again is the same.",
    },
    Soak {
        name: "pair",
        test: "pair::two_instances_on_one_channel_give_each_message_once_whichever_is_killed",
        promise: "Two instances read one channel and either is killed, 40 times: each message is in the stream once.",
    },
    Soak {
        name: "acknowledged",
        test: "outages::nothing_is_said_twice_when_nats_is_killed_right_after_it_acknowledged",
        promise: "nats-server is killed right after it acknowledged, 40 times: nothing is said twice.",
    },
    Soak {
        name: "faults",
        test: "faults::every_event_has_one_outcome_whichever_instances_are_killed_frozen_or_cut_off",
        promise: "20,000 events, nine in ten to 300 users of three gateways, the others over 100 channels of three \
                  instances, half of them on a platform with an idempotency key that loses answers, while instances are killed (SIGKILL) or frozen (SIGSTOP) for longer than a lease, and \
                  nats-server is killed: each event has one outcome, each FAILED one dead letter, and nothing is said \
                  twice that no fault explains, nor anything at all where there is a key.",
    },
    Soak {
        name: "freeze",
        test: "freeze::a_frozen_irc_connection_is_noticed_and_made_again_and_readiness_says_so_meanwhile",
        promise: "A frozen IRC connection is noticed within 40 s, and readiness says so.",
    },
    Soak {
        name: "stop",
        test: "stop::sigterm_ends_in_time_with_exit_code_0_and_loses_nothing",
        promise: "SIGTERM in the middle of traffic, 20 times: exit code 0 in time, nothing lost.",
    },
];

/// Runs them all, or the one of this name; with `short` in the form of CI, of which nothing is written
/// down. Gives whether all passed.
pub(crate) fn run(only: Option<&str>, short: bool) -> Result<bool> {
    let root = workspace::root();
    let chosen: Vec<&Soak> = SOAKS.iter().filter(|soak| only.is_none_or(|name| name == soak.name)).collect();
    if chosen.is_empty() {
        bail!("there is no such test; use one of {}", SOAKS.map(|soak| soak.name).join(", "));
    }
    let path = root.join("docs/soak.md");
    let mut sections = sections(&fs::read_to_string(&path).unwrap_or_default());
    let mut passed = true;
    for soak in chosen {
        let (section, ran) = one(soak, short)?;
        passed &= ran;
        if short {
            continue;
        }
        sections.insert(soak.name.to_owned(), section);
        // Written after each: a run that is stopped keeps what it has.
        fs::write(&path, document(&sections)).with_context(|| path.display().to_string())?;
    }
    Ok(passed)
}

/// Runs one, and shows what it prints when it prints it. Gives its section, and whether it passed.
#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
#[expect(clippy::disallowed_methods, reason = "says how long a test took")]
fn one(soak: &Soak, short: bool) -> Result<(String, bool)> {
    println!("{}: {}", soak.name, soak.promise);
    let started = Instant::now();
    // The whole workspace, as all tests are run: another selection of packages resolves other features,
    // and builds half of the dependencies again.
    let mut test = workspace::cargo();
    test.args(["test", "--quiet", "--workspace", "--test", "it", "--", "--exact", "--nocapture", soak.test]);
    if !short {
        test.env("CHATBUS_SOAK", "1");
    }
    // What it says when it fails is on the standard error, which is ours.
    let mut running = test.stdout(Stdio::piped()).spawn().context("cargo cannot be run")?;
    let (mut said, mut ran) = (Vec::new(), false);
    for line in BufReader::new(running.stdout.take().context("cargo has no output")?).lines() {
        let line = line.context("what cargo says cannot be read")?;
        // A name that no test has any more must not pass for a test that passed.
        ran |= line.starts_with("test result: ok. 1 passed");
        if !is_noise(&line) {
            println!("{line}");
            said.push(line);
        }
    }
    ran &= running.wait().context("cargo did not end")?.success();
    let seconds = started.elapsed().as_secs();
    let mut section = format!("{}\n\n```text\n{}\n```\n\n", soak.promise, said.join("\n").trim());
    let verdict = if ran { "passed" } else { "FAILED" };
    writeln!(section, "{verdict} in {seconds} s.")?;
    println!("{verdict} in {seconds} s\n");
    Ok((section, ran))
}

/// What the test harness says of itself.
fn is_noise(line: &str) -> bool {
    let is_slow = line.ends_with("has been running for over 60 seconds");
    is_slow
        || line.is_empty()
        || line == "."
        || line.starts_with("running ")
        || line.starts_with("test result:")
}

/// The sections of a transcript, by name.
fn sections(document: &str) -> BTreeMap<String, String> {
    let parts = document.split("\n## ").skip(1);
    parts
        .filter_map(|part| part.split_once('\n'))
        .map(|(name, text)| (name.trim().to_owned(), text.trim_start().to_owned()))
        .collect()
}

fn document(sections: &BTreeMap<String, String>) -> String {
    let mut text = String::from(
        "# Soak tests\n\nThe fault tests with the numbers that are promised. Made by `cargo xtask soak`; one alone by \
         `cargo xtask soak --only NAME`.\nCHATBUS_SEED repeats the moments at which a test strikes.\n",
    );
    for soak in &SOAKS {
        let section = sections.get(soak.name).map_or("Not run yet.\n", String::as_str);
        text.push_str(&format!("\n## {}\n\n{}\n", soak.name, section.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_that_is_read_and_written_again_is_the_same() {
        let mut all = BTreeMap::new();
        all.insert("kills".to_owned(), "Promise.\n\n```text\nout\n```\n\npassed in 3 s.\n".to_owned());
        let once = document(&all);
        assert_eq!(document(&sections(&once)), once);
        assert!(once.contains("## kills\n\nPromise.") && once.contains("## demo\n\nNot run yet."), "{once}");
    }
}
