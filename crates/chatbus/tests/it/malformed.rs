//! Nothing that a server sends stops anything.

use chatbus_testkit::NatsServer;
use serde_json::Value;

use crate::harness::{Chatbus, Corpus, LONG, SandboxProcess, eventually, settled_records};

/// After each malformed line a good one that says which it follows.
fn with_markers(lines: Vec<Value>) -> (Vec<Value>, Vec<String>) {
    let mut all = Vec::new();
    let mut ids = Vec::new();
    for (n, line) in lines.into_iter().enumerate() {
        let id = format!("00000000-0000-4000-8000-{n:012x}");
        all.push(line);
        all.push(Value::String(format!(
            "@badges=;color=;display-name=Ada;emotes=;id={id};mod=0;room-id=1;subscriber=0;tmi-sent-ts={};\
             turbo=0;user-id=7;user-type= :ada!ada@ada.tmi.twitch.tv PRIVMSG #hall :still here",
            1_700_000_000_000_u64 + u64::try_from(n).unwrap()
        )));
        ids.push(id);
    }
    (all, ids)
}

fn malformed(corpus: &Corpus) -> Vec<Value> {
    let rows =
        corpus.rows("twitch-irc-malformed.jsonl").into_iter().map(|row| match row["input_hex"].as_str() {
            Some(hex) => serde_json::json!({ "hex": hex }),
            None => Corpus::hex(row["input"].as_str().unwrap().as_bytes()),
        });
    let lines = corpus.lines("twitch-irc-malformed.txt").into_iter().map(|line| Corpus::hex(&line));
    rows.chain(lines).collect()
}

fn check(records: &[Value], ids: &[String]) -> Result<(), String> {
    let found = |id: &String| records.iter().filter(|r| r["event"]["message"]["id"] == id.as_str()).count();
    match ids.iter().position(|id| found(id) != 1) {
        Some(n) => Err(format!("after malformed line {n} the good one is there {} times", found(&ids[n]))),
        None => Ok(()),
    }
}

#[tokio::test]
async fn after_each_malformed_line_a_good_one_still_arrives_on_the_embedded_bus() {
    let Some(corpus) = Corpus::find() else { return };
    let sandbox = SandboxProcess::start().await;
    let running = Chatbus::new().reading(&sandbox.irc, "hall").ready().await;
    let (lines, ids) = with_markers(malformed(&corpus));
    sandbox.raw(lines).await;
    eventually("every good line is on the bus", LONG, async || {
        check(&running.records("internal.ingress.v1").await, &ids)
    })
    .await;
    println!("{} malformed lines", ids.len());
    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    assert_eq!(debug["snapshot"]["counters"]["reconnects"], 0, "{debug}");
}

#[tokio::test]
async fn after_each_malformed_line_a_good_one_still_arrives_on_nats() {
    let Some(corpus) = Corpus::find() else { return };
    let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
    let _running = Chatbus::new().reading(&sandbox.irc, "hall").on_nats(&nats.url()).ready().await;
    let (lines, ids) = with_markers(malformed(&corpus));
    sandbox.raw(lines).await;
    settled_records(&nats.url(), "chatbus-ingress", |records| check(records, &ids)).await;
}
