//! The fault tests of the binary with the numbers that are promised, one after the other, and their
//! transcript in docs/. CI runs the short form of the same tests.
//!
//! What each did it prints itself; here it is only run, timed and written down. A test that is run
//! alone replaces its own section and leaves the others as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
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

/// Runs them all, or the one of this name. Gives whether all passed.
pub(crate) fn run(only: Option<&str>) -> Result<bool> {
    let root = workspace::root();
    let chosen: Vec<&Soak> = SOAKS.iter().filter(|soak| only.is_none_or(|name| name == soak.name)).collect();
    if chosen.is_empty() {
        bail!("there is no such test; use one of {}", SOAKS.map(|soak| soak.name).join(", "));
    }
    let path = root.join("docs/soak.md");
    let mut sections = sections(&fs::read_to_string(&path).unwrap_or_default());
    let mut passed = true;
    for soak in chosen {
        passed &= one(soak, &mut sections)?;
        // Written after each: a run that is stopped keeps what it has.
        fs::write(&path, document(&sections)).with_context(|| path.display().to_string())?;
    }
    Ok(passed)
}

#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
#[expect(clippy::disallowed_methods, reason = "says how long a test took")]
fn one(soak: &Soak, sections: &mut BTreeMap<String, String>) -> Result<bool> {
    println!("{}: {}", soak.name, soak.promise);
    let started = Instant::now();
    let output = workspace::cargo()
        .args(["test", "--quiet", "-p", "chatbus", "--test", "it", "--", "--exact", "--nocapture", soak.test])
        .env("CHATBUS_SOAK", "1")
        .output()
        .context("cargo cannot be run")?;
    let seconds = started.elapsed().as_secs();
    let text = String::from_utf8_lossy(&output.stdout);
    // A name that no test has any more must not pass for a test that passed.
    let ran = text.contains("test result: ok. 1 passed");
    let said: Vec<&str> = text.lines().filter(|line| !is_noise(line)).collect();
    let mut section = format!("{}\n\n```text\n{}\n```\n\n", soak.promise, said.join("\n").trim());
    let verdict = if ran { "passed" } else { "FAILED" };
    writeln!(section, "{verdict} in {seconds} s.")?;
    if !ran {
        println!("{}{}", text, String::from_utf8_lossy(&output.stderr));
    }
    println!("{}\n{verdict} in {seconds} s\n", said.join("\n").trim());
    sections.insert(soak.name.to_owned(), section);
    Ok(ran)
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
