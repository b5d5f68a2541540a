//! `kill -9` of a process that writes to an SQLite file, at random moments: nothing answered is lost.
//!
//! The child is this test binary again, told by an environment variable to write until it is killed, and to say
//! of each call that it was answered. `CHATBUS_SEED` sets the moments.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use chatbus_event::{Entropy as _, Timestamp};
use chatbus_runtime::SystemEntropy;
use chatbus_store::{Entry, EventStatus, StepEntry, Store};
use chatbus_testkit::{SeededEntropy, test_runtime};

const CHILD: &str = "CHATBUS_STORE_KILL_CHILD";
const ROUNDS: usize = 8;

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn open(file: &Path) -> Arc<dyn Store> {
    chatbus_store_sql::open("sqlite:", file, test_runtime(1)).await.unwrap()
}

/// Calls of a few steps each, until `enough` are answered; says each.
async fn work(file: &Path, life: &str, enough: usize) {
    let store = open(file).await;
    for n in 0..enough {
        let steps: Vec<Entry> = (0..5).map(|step| Entry::Step(entry(life, n, step))).collect();
        store.record(&steps).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "answered {n}").unwrap();
        out.flush().unwrap();
    }
}

fn entry(life: &str, n: usize, step: usize) -> StepEntry {
    StepEntry {
        correlation_id: format!("{life} {n}"),
        key: step.to_string(),
        name: "step".into(),
        at: Timestamp::EPOCH,
        detail: vec![b'x'; n % 5000].into(),
        snapshot: None,
        status: EventStatus::InProgress,
        facts: None,
        expires_at: Timestamp::EPOCH,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_writes() {
    if let Some(job) = env(CHILD) {
        let (life, file) = job.split_once(' ').unwrap();
        work(Path::new(file), life, usize::MAX).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.db");
    work(&file, "alone", 20).await;
    assert_eq!(open(&file).await.event("alone 19").await.unwrap().unwrap().1.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_by_a_kill_at_any_moment_and_nothing_is_there_in_part() {
    let seed =
        env("CHATBUS_SEED").and_then(|n| n.parse().ok()).unwrap_or_else(|| SystemEntropy::new().next_u64());
    println!("CHATBUS_SEED={seed}");
    let entropy = SeededEntropy::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.db");
    for round in 0..ROUNDS {
        let wait = Duration::from_micros(entropy.next_u64() % 100_000);
        let answered = tokio::task::block_in_place(|| live_and_die(&file, round, wait));
        let store = open(&file).await;
        for n in 0..answered {
            let found = store.event(&format!("{round} {n}")).await.unwrap();
            let (_, way) = found.unwrap_or_else(|| panic!("call {n} of round {round} is lost"));
            assert_eq!(way.len(), 5, "call {n} of round {round}");
        }
        // One more may be there, whose answer was not said; and it is whole.
        if let Some((_, way)) = store.event(&format!("{round} {answered}")).await.unwrap() {
            assert_eq!(way.len(), 5);
        }
        assert_eq!(store.event(&format!("{round} {}", answered + 1)).await.unwrap(), None);
        store.close().await;
    }
}

/// One child, killed `wait` after its first answer. Gives how many it said.
fn live_and_die(file: &Path, round: usize, wait: Duration) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_process_writes", "--nocapture"])
        .env(CHILD, format!("{round} {}", file.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let (first, begun) = mpsc::channel();
    let listener = std::thread::spawn(move || {
        let (mut answered, mut line) = (0, String::new());
        let mut lines = BufReader::new(out);
        // A line without its end was cut off by the kill: it was not said.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            if line.contains("answered ") {
                answered += 1;
                let _ = first.send(());
            }
            line.clear();
        }
        answered
    });
    let begins = begun.recv_timeout(Duration::from_secs(60));
    // The moment of the kill is a time, so there is no condition to wait for.
    let (_never, timer) = mpsc::channel::<()>();
    let _ = timer.recv_timeout(wait);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(begins.is_ok(), "the child was not answered within a minute");
    assert_eq!(status.signal(), Some(9), "the child was not killed: {status}");
    listener.join().unwrap()
}
