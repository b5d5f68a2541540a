//! `kill -9` of the whole process on the embedded bus, at random moments, while it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt as _, join};
use serde_json::Value;

use crate::harness::{Chatbus, Ids, LONG, Moments, Running, SandboxProcess, eventually, scale};

/// How long before a kill a text may have been said whose outcome was not on the disk yet: a few
/// syncs of a slow disk. What was still in the socket is read a moment after the kill.
const BEFORE_KILL_MS: i64 = 300;
const AFTER_KILL_MS: i64 = 100;

/// What the world was told is safe.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Delivery id and text of each send that was answered 202.
    sends: BTreeMap<String, String>,
    /// Whole records of viewers' lines, by sequence number.
    lines: BTreeMap<String, Value>,
}

/// Sends until the process is gone; each text is new.
async fn publish(running: &Running, round: u32, told: &mut BTreeMap<String, String>) {
    for n in 0.. {
        let text = format!("round {round} text {n}");
        match running.send("twitch:#hall", &text).await {
            Ok(id) => told.insert(id, text),
            Err(_) => return,
        };
    }
}

/// Reads what viewers say until the process is gone.
async fn watch(running: &Running, told: &mut BTreeMap<String, Value>) {
    let url = format!("{}/api/v1/tail?topic=internal.ingress.v1&last=0&follow=true", running.url);
    let Ok(answer) = running.http.get(url).send().await else { return };
    let mut chunks = answer.bytes_stream();
    let mut rest = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let record: Value = serde_json::from_slice(&line).unwrap();
            told.insert(record["seq"].to_string(), record);
        }
    }
}

fn now_millis() -> i64 {
    use chatbus_event::Clock as _;
    chatbus_runtime::SystemClock.now().as_millis()
}

/// Every extra send must be of a text that was said right before a kill, and come after it. Gives how
/// many there were, and the longest time between such a text and its kill.
fn check_said(sent: &[Value], wanted: &BTreeSet<&str>, kills: &[i64]) -> (usize, i64) {
    let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for said in sent {
        let at = chatbus_event::Timestamp::parse(said["at"].as_str().unwrap()).unwrap();
        times.entry(said["text"].as_str().unwrap()).or_default().push(at.as_millis());
    }
    let (mut extra, mut longest) = (0, 0);
    for (text, times) in &times {
        assert!(wanted.contains(text), "said, but nobody published it: {text:?}");
        for pair in times.windows(2) {
            let kill = kills.iter().find(|kill| **kill >= pair[0] - AFTER_KILL_MS);
            let before = kill.map_or(i64::MAX, |kill| kill - pair[0]);
            let is_matched = before <= BEFORE_KILL_MS && kill.is_some_and(|kill| *kill <= pair[1]);
            assert!(
                is_matched,
                "{text:?} was said at {pair:?}, and no kill explains it: {before} ms before one"
            );
            extra += 1;
            longest = longest.max(before);
        }
    }
    (extra, longest)
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kills_on_the_embedded_bus() {
    let sandbox = SandboxProcess::start().await;
    sandbox.without_limits().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").speaking().with("TWITCH_MESSAGE_LIMIT", "off");
    let moments = Moments::new();
    let rounds = scale(20_u32, 200);
    let mut told = Acknowledged::default();
    let mut attempted = BTreeSet::new();
    let (mut kills, mut pids) = (Vec::new(), BTreeSet::new());
    for round in 0..rounds {
        let mut running = chatbus.listening().await;
        pids.insert(running.pid);
        let (pid, life) = (running.pid, moments.between(0, 700));
        let (sends, lines) = (&mut told.sends, &mut told.lines);
        let Acknowledged { sends: mut more, lines: mut seen } = Acknowledged::default();
        let kill = async {
            tokio::time::sleep(life).await;
            running.signal(nix::sys::signal::Signal::SIGKILL);
            kills.push(now_millis());
        };
        let chat = async {
            // Viewers speak as soon as somebody listens.
            for n in 0..60 {
                let body = serde_json::json!({ "channel": "hall", "login": "ada", "text": format!("line {round} {n}") });
                sandbox.post("say", body).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        join!(kill, publish(&running, round, &mut more), watch(&running, &mut seen), chat);
        sends.extend(more);
        lines.extend(seen);
        attempted.insert(round);
        running.kill_confirmed().await;
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} is gone");
    }
    assert_eq!(pids.len(), rounds as usize, "each life was a process of its own");
    assert_eq!(kills.len(), rounds as usize);
    assert!(told.sends.len() > rounds as usize && told.lines.len() > rounds as usize, "too little happened");

    let running = chatbus.ready().await;
    let outcomes = eventually("every acknowledged send has its outcome", LONG, async || {
        let outcomes = running.records("internal.finalizer.v1").await;
        let ids = Ids::of(outcomes.iter().filter_map(|record| record["event"]["deliveryId"].as_str()));
        let open = told.sends.keys().filter(|id| !ids.counts.contains_key(*id)).count();
        if open == 0 { Ok(outcomes) } else { Err(format!("{open} of {} are open", told.sends.len())) }
    })
    .await;
    let ids = Ids::of(outcomes.iter().filter_map(|record| record["event"]["deliveryId"].as_str()));
    let repeated: Vec<_> = ids.counts.iter().filter(|(_, n)| **n > 1).collect();
    assert!(repeated.is_empty(), "finalized more than once: {repeated:?}");

    let records = running.records("internal.ingress.v1").await;
    let there: BTreeMap<String, &Value> = records.iter().map(|r| (r["seq"].to_string(), r)).collect();
    for (seq, record) in &told.lines {
        assert_eq!(there.get(seq), Some(&record), "what was seen on the bus is there, and is the same");
    }
    let chat = Ids::of_chat(&records);
    let repeated: Vec<_> = chat.counts.iter().filter(|(_, n)| **n > 1).collect();
    assert!(repeated.is_empty(), "in the stream more than once: {repeated:?}");

    let sent = sandbox.sent().await;
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in &outcomes {
        let (status, code) = (&outcome["event"]["status"], &outcome["event"]["error"]["code"]);
        let shown = [status, code].into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        *statuses.entry(shown).or_default() += 1;
    }
    // Publishers who are faster than one channel get refusals that are counted, and no others. A deadline
    // may also pass while nobody is connected, between two lives.
    let allowed = ["SENT", "FAILED overloaded", "FAILED expired", "FAILED no_instance", "FAILED unverified"];
    assert!(statuses.keys().all(|status| allowed.contains(&status.as_str())), "{statuses:?}");
    let failed = outcomes.iter().filter(|outcome| outcome["event"]["status"] == "FAILED");
    let failed: BTreeSet<_> =
        failed.filter_map(|outcome| outcome["event"]["correlationId"].as_str()).collect();
    eventually("each FAILED is one dead letter", LONG, async || {
        let dead = running.records("internal.deadletter.v1").await;
        let dead = Ids::of(dead.iter().filter_map(|record| record["event"]["correlationId"].as_str()));
        let known: BTreeSet<_> = dead.counts.keys().map(String::as_str).collect();
        assert!(dead.counts.values().all(|n| *n == 1), "a dead letter is there more than once");
        if known == failed {
            Ok(())
        } else {
            Err(format!("{} dead letters, {} FAILED", known.len(), failed.len()))
        }
    })
    .await;
    // A send whose answer the kill cut off may or may not have been taken: both are right.
    let maybe: BTreeSet<String> = attempted
        .iter()
        .flat_map(|round| (0..2000).map(move |n| format!("round {round} text {n}")))
        .collect();
    let wanted: BTreeSet<&str> = maybe.iter().map(String::as_str).collect();
    let (extra, longest) = check_said(&sent, &wanted, &kills);
    let said: BTreeSet<&str> = sent.iter().filter_map(|said| said["text"].as_str()).collect();
    for outcome in outcomes.iter().filter(|outcome| outcome["event"]["status"] == "SENT") {
        let id = outcome["event"]["deliveryId"].as_str().unwrap();
        if let Some(text) = told.sends.get(id) {
            assert!(said.contains(text.as_str()), "SENT, but never said: {text:?}");
        }
    }
    println!(
        "{rounds} kills: {} sends and {} lines acknowledged, none lost; outcomes {statuses:?}; {extra} said again, each within {longest} ms before a kill",
        told.sends.len(),
        told.lines.len()
    );
}
