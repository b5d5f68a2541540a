//! A real process, killed with SIGKILL at a random moment while its bus comes and goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chatbus_event::{Clock, Entropy, Topic};
use chatbus_runtime::{SystemClock, SystemEntropy};
use chatbus_testkit::SeededEntropy;

use crate::fake_bus::FakeBus;
use crate::rig::{Rig, until};

const FOLDER: &str = "CHATBUS_INGRESS_KILL_FOLDER";
const ROUNDS: u64 = 12;
/// What the contract says a kill may cost.
const PROMISED: Duration = Duration::from_millis(50);
/// A busy machine may stop the child or its disk for longer, but not for this long, and not mostly.
const AT_MOST: Duration = Duration::from_secs(2);

#[expect(
    clippy::disallowed_methods,
    reason = "the only way to tell a re-run test binary that it is the child"
)]
fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_at_most_what_it_read_in_the_last_moment() {
    match folder() {
        Some(folder) => child(&folder).await,
        None => parent().await,
    }
}

/// Emits about one event a millisecond and says so; says what the bus stored; never ends by itself.
async fn child(folder: &Path) {
    let say = |word: &str, id: &str| {
        let line = format!("\n{word} {id} {}\n", SystemClock.now().as_millis());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    };
    let bus = FakeBus::calling(Box::new(move |id| say("stored", id)));
    let rig = Rig::start(folder, &bus).await;
    for n in 0_u64.. {
        if n % 150 == 70 {
            bus.disconnect();
        }
        if n % 150 == 149 {
            bus.connect();
        }
        say("read", &format!("{}-{n}", n % 3));
        rig.emit(1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn parent() {
    let seed = SystemEntropy::new().next_u64();
    println!("seed {seed}");
    let random = SeededEntropy::new(seed);
    let (mut within, mut killed_with_spool) = (0, 0);
    for round in 0..ROUNDS {
        let root = tempfile::tempdir().unwrap();
        let mut child = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "kill::a_killed_process_loses_at_most_what_it_read_in_the_last_moment",
                    "--nocapture",
                ])
                .env(FOLDER, root.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let output = child.0.stdout.take().unwrap();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let reading = tokio::task::spawn_blocking(move || listen(output, begun));
        begins.await.unwrap();
        tokio::time::sleep(Duration::from_millis(100 + random.next_u64() % 500)).await;
        let killed_at = SystemClock.now();
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let (read, mut stored) = reading.await.unwrap();

        let spool_left = std::fs::read_dir(root.path().join("i"))
            .unwrap()
            .any(|entry| entry.unwrap().path().extension().is_some_and(|suffix| suffix == "seg"));
        killed_with_spool += u64::from(spool_left);
        let bus = FakeBus::new();
        let rig = Rig::start(root.path(), &bus).await;
        until("drained", || rig.handle.health().borrow().spooling_since.is_none()).await;
        rig.finish().await;
        stored.extend(bus.ids(&Topic::ingress()));
        assert!(read.len() > 20, "round {round}: the child read only {}", read.len());
        let oldest_lost = read.iter().filter(|(id, _)| !stored.contains(*id)).map(|(_, at)| *at).min();
        let cost = oldest_lost.map_or(Duration::ZERO, |at| {
            Duration::from_millis(u64::try_from(killed_at.as_millis() - at).unwrap_or(0))
        });
        println!(
            "round {round}: {} read, {} known to be stored, a kill cost {cost:?}",
            read.len(),
            stored.len()
        );
        assert!(cost < AT_MOST, "seed {seed}, round {round}: what was read {cost:?} before the kill is lost");
        within += u64::from(cost <= PROMISED);
    }
    assert!(
        within * 4 >= ROUNDS * 3,
        "seed {seed}: only {within} of {ROUNDS} kills cost at most {PROMISED:?}"
    );
    assert!(killed_with_spool > 0, "seed {seed}: no kill met a spool");
}

fn listen(
    output: std::process::ChildStdout,
    begun: tokio::sync::oneshot::Sender<()>,
) -> (BTreeMap<String, i64>, BTreeSet<String>) {
    let (mut read, mut stored, mut begun) = (BTreeMap::new(), BTreeSet::new(), Some(begun));
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next().and_then(|at| at.parse().ok())) {
            (Some("read"), Some(id), Some(at)) => {
                read.insert(id.to_owned(), at);
                if let Some(begun) = begun.take() {
                    begun.send(()).unwrap();
                }
            }
            (Some("stored"), Some(id), Some(_)) => {
                stored.insert(id.to_owned());
            }
            _ => {}
        }
    }
    (read, stored)
}

/// No child outlives its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
