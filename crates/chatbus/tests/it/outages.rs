//! nats-server killed and started again, in the middle of traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use chatbus_testkit::NatsServer;
use futures::join;
use serde_json::Value;

use crate::harness::{Chatbus, Ids, LONG, Moments, SandboxProcess, eventually, scale, settled_records};

/// Lines in a second, over both channels.
const RATE: u64 = 500;

#[tokio::test]
async fn messages_of_an_outage_are_in_the_stream_once_and_in_order() {
    let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
    let chatbus = Chatbus::new().reading(&sandbox.irc, "one,two").on_nats(&nats.url());
    let running = chatbus.ready().await;
    for channel in ["one", "two"] {
        sandbox.joined(channel, 1).await;
    }
    let outage = scale(Duration::from_secs(3), Duration::from_secs(20));
    let (before, after) = (Duration::from_secs(2), Duration::from_secs(3));
    let count = (before + outage + after).as_secs() * RATE / 2;
    let fault = async {
        tokio::time::sleep(before).await;
        let pid = nats.pid().unwrap();
        nats.kill();
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "nats-server {pid} is gone");
        let waiting = eventually("readiness says so", outage, async || match running.get("/readyz").await {
            Some((503, body)) => Ok(body),
            other => Err(format!("{other:?}")),
        });
        let (waiting, ()) = join!(waiting, tokio::time::sleep(outage));
        assert!(waiting["waitingFor"].to_string().contains("bus"), "{waiting}");
        let spooled = running.get("/_debug/bus").await.unwrap().1["spool"]["events"].clone();
        nats.restart().await;
        assert_ne!(nats.pid().unwrap(), pid);
        spooled
    };
    let (one, two, spooled) =
        join!(sandbox.flood("one", count, RATE / 2), sandbox.flood("two", count, RATE / 2), fault);
    assert_eq!((one.len(), two.len()), (count as usize, count as usize));
    assert!(spooled.as_u64() > Some(0), "the outage reached the publisher: {spooled}");
    let records = settled_records(&nats.url(), "chatbus-ingress", |records| {
        let ids = Ids::of_chat(records);
        ids.compare(&one)?;
        ids.compare(&two)
    })
    .await;
    println!(
        "{} messages at {RATE}/s, nats-server killed for {outage:?}, {spooled} spooled at its end: {} in the stream, each once, in order",
        one.len() + two.len(),
        records.len()
    );
    running.until_ready().await;
}

fn by_text(sent: &[Value]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for said in sent {
        *counts.entry(said["text"].as_str().unwrap()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn nothing_is_said_twice_when_nats_is_killed_right_after_it_acknowledged() {
    let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
    sandbox.without_limits().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").speaking().on_nats(&nats.url());
    let running = chatbus.with("TWITCH_MESSAGE_LIMIT", "off").ready().await;
    sandbox.joined("hall", 1).await;
    let moments = Moments::new();
    let kills = scale(5, 40);
    let mut acknowledged = Vec::new();
    for round in 0..kills {
        let (from, pause) = (acknowledged.len(), moments.between(0, 30));
        // A burst, and the end of the server at a random moment after the last acknowledgement of it.
        for n in 0..20 {
            let text = format!("round {round} text {n}");
            eventually("it is acknowledged", LONG, async || running.send("twitch:#hall", &text).await).await;
            acknowledged.push(text);
        }
        let said_before = sandbox.sent().await.len();
        tokio::time::sleep(pause).await;
        let pid = nats.pid().unwrap();
        nats.kill();
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "nats-server {pid} is gone");
        println!("round {round}: killed {pid} after {said_before} of {} were said", from + 20);
        nats.restart().await;
        running.until_ready().await;
    }
    let outcomes = settled_records(&nats.url(), "chatbus-finalizer", |records| {
        if records.len() >= acknowledged.len() { Ok(()) } else { Err(format!("{} outcomes", records.len())) }
    })
    .await;
    let sent = sandbox.sent().await;
    let counts = by_text(&sent);
    let wrong: Vec<_> = acknowledged.iter().filter(|text| counts.get(text.as_str()) != Some(&1)).collect();
    assert!(wrong.is_empty(), "not said once: {wrong:?}");
    let ids = Ids::of(outcomes.iter().filter_map(|record| record["event"]["deliveryId"].as_str()));
    assert_eq!((ids.counts.len(), outcomes.len()), (acknowledged.len(), acknowledged.len()));
    println!("{kills} kills of nats-server: {} texts, each said once and finalized once", acknowledged.len());
}
