//! `kill -9` of a real process at random moments: nothing acknowledged is lost, nothing settled comes
//! again, and what comes again is the same message.
//!
//! The child is this test binary again, told by an environment variable to publish and settle until
//! it is killed, and to say of each what was acknowledged. `CHATBUS_KILL_ROUNDS` and `CHATBUS_SEED`
//! set how often and at which moments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use chatbus_bus::{Bus as _, Group, Publish as _, Settlement, Subscription};
use chatbus_bus_embedded::EmbeddedConfig;
use chatbus_event::{Entropy, Topic};
use chatbus_runtime::SystemEntropy;
use chatbus_testkit::SeededEntropy;

use crate::harness::{message, open};

const CHILD: &str = "CHATBUS_KILL_CHILD";

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn subscription() -> Subscription {
    Subscription::new(Topic::ingress(), Group::parse("readers").unwrap()).max_in_flight(32)
}

/// Of any length from nothing to several pages, and never the same for two ids.
fn body(id: &str) -> Vec<u8> {
    let sum = id.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    id.bytes().cycle().take(sum % 9000).collect()
}

/// Publishes with 64 in flight and settles what comes, until `enough` are acknowledged; says each.
async fn work(dir: &Path, life: &str, enough: usize) -> usize {
    let bus = open(EmbeddedConfig::new(dir));
    let topic = Topic::ingress();
    let mut member = bus.subscribe(subscription()).await.unwrap();
    let say = |what: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(what.as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let mut window = VecDeque::new();
    let (mut n, mut acknowledged) = (0, 0);
    while acknowledged < enough {
        while window.len() < 64 {
            let id = format!("{life}-{n}");
            window.push_back((bus.publish(&topic, message(&id, body(&id))), id));
            n += 1;
        }
        tokio::select! {
            biased;
            delivery = member.next() => {
                let delivery = delivery.unwrap();
                let id = delivery.record().message.id.to_string();
                // Some are kept in hand for ever, some fail, the rest are done.
                match n % 5 {
                    0 => std::mem::forget(delivery),
                    1 => delivery.settle(Settlement::Retry { after: Duration::from_millis(20) }).await.unwrap(),
                    _ => {
                        delivery.settle(Settlement::Ack).await.unwrap();
                        say(format!("settled {id}\n"));
                    }
                }
            }
            stored = &mut window[0].0 => {
                let seq = stored.unwrap().seq;
                let (_, id) = window.pop_front().unwrap();
                say(format!("stored {seq} {id}\n"));
                acknowledged += 1;
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_publishes_and_settles_side_by_side() {
    if let Some(job) = env(CHILD) {
        let (life, dir) = job.split_once(' ').unwrap();
        work(Path::new(dir), life, usize::MAX).await;
    }
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(work(dir.path(), "alone", 300).await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_a_kill_at_any_moment() {
    let rounds: usize = env("CHATBUS_KILL_ROUNDS").and_then(|n| n.parse().ok()).unwrap_or(10);
    let seed =
        env("CHATBUS_SEED").and_then(|n| n.parse().ok()).unwrap_or_else(|| SystemEntropy::new().next_u64());
    println!("CHATBUS_SEED={seed}");
    let entropy = SeededEntropy::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut stored_in_all, mut settled_in_all) = (0, 0);
    for round in 0..rounds {
        let wait = Duration::from_micros(entropy.next_u64() % 300_000);
        let (stored, settled) = tokio::task::block_in_place(|| live_and_die(dir.path(), round, wait));
        stored_in_all += stored.len();
        settled_in_all += settled.len();
        check(dir.path(), &stored, &settled).await;
    }
    println!("{rounds} kills, {stored_in_all} acknowledged, {settled_in_all} settled");
    assert!(settled_in_all > 0, "the children settled nothing");
}

/// One child, killed `wait` after its first acknowledgement. Gives what it was told.
fn live_and_die(dir: &Path, round: usize, wait: Duration) -> (BTreeMap<String, u64>, BTreeSet<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_process_publishes_and_settles_side_by_side", "--nocapture"])
        .env(CHILD, format!("{round} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let (first, begun) = mpsc::channel();
    let listener = std::thread::spawn(move || {
        let (mut stored, mut settled) = (BTreeMap::new(), BTreeSet::new());
        let mut lines = BufReader::new(out);
        let mut line = String::new();
        // A line without its end was cut off by the kill: it was not said.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["stored", seq, id] => {
                    stored.insert(id.to_owned(), seq.parse().unwrap());
                    let _ = first.send(());
                }
                ["settled", id] => drop(settled.insert(id.to_owned())),
                _ => {}
            }
            line.clear();
        }
        (stored, settled)
    });
    let begins = begun.recv_timeout(Duration::from_secs(60));
    // The moment of the kill is a time, so there is no condition to wait for.
    let _ = begun.recv_timeout(Duration::ZERO);
    let (_never, timer) = mpsc::channel::<()>();
    let _ = timer.recv_timeout(wait);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(begins.is_ok(), "the child acknowledged nothing within a minute");
    assert_eq!(status.signal(), Some(9), "the child was not killed: {status}");
    listener.join().unwrap()
}

/// Opens what the kill left behind, and finds all that was promised.
async fn check(dir: &Path, stored: &BTreeMap<String, u64>, settled: &BTreeSet<String>) {
    let bus = open(EmbeddedConfig::new(dir));
    let topic = Topic::ingress();
    for (id, seq) in stored {
        let record = bus.fetch(&topic, *seq).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        assert_eq!(record.message.id.as_str(), id);
        assert!(record.message.body == body(id), "{id} has other bytes");
    }
    for (id, seq) in stored.iter().take(20) {
        let again = bus.publish(&topic, message(id, vec![])).await.unwrap();
        assert_eq!((again.duplicate, again.seq), (true, *seq), "{id}");
    }
    let mut member = bus.subscribe(subscription()).await.unwrap();
    let mut came = BTreeSet::new();
    while bus.lag().await.unwrap()[0].pending > 0 {
        let delivery = tokio::time::timeout(Duration::from_secs(30), member.next()).await.unwrap().unwrap();
        let id = delivery.record().message.id.to_string();
        assert!(delivery.record().message.body == body(&id), "{id} came with other bytes");
        assert!(!settled.contains(&id), "{id} was settled and came again");
        assert!(came.insert(id.clone()), "{id} came twice");
        delivery.settle(Settlement::Ack).await.unwrap();
    }
    let missing: Vec<_> = stored.keys().filter(|id| !settled.contains(*id) && !came.contains(*id)).collect();
    // The child may have been killed between the commit of a settlement and saying so, with at most
    // as many in flight as it settles at a time.
    assert!(missing.len() <= 1, "never came again: {missing:?}");
    bus.close().await;
}
