//! SIGTERM in the middle of traffic.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::join;
use nix::sys::signal::Signal;

use crate::harness::{Chatbus, Ids, LONG, SandboxProcess, eventually, now, scale};

/// SHUTDOWN_GRACE_MS of these tests: its default.
const GRACE: Duration = Duration::from_millis(8000);

#[tokio::test]
async fn sigterm_ends_in_time_with_exit_code_0_and_loses_nothing() {
    let sandbox = SandboxProcess::start().await;
    sandbox.without_limits().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").speaking().with("TWITCH_MESSAGE_LIMIT", "off");
    let mut accepted = Vec::new();
    let mut lines = Vec::new();
    for round in 0..scale(3, 20) {
        let mut running = chatbus.ready().await;
        sandbox.joined("hall", 1).await;
        let stop = async {
            // In the middle of both.
            eventually("traffic flows", LONG, async || {
                let (_, debug) = running.get("/_debug/twitch").await.unwrap();
                let received = debug["snapshot"]["counters"]["received"].as_u64().unwrap();
                if received > 200 { Ok(()) } else { Err(debug.to_string()) }
            })
            .await;
            running.signal(Signal::SIGTERM);
            now()
        };
        let sends = async {
            let mut accepted = Vec::new();
            for n in 0.. {
                match running.send("twitch:#hall", &format!("round {round} text {n}")).await {
                    Ok(id) => accepted.push(id),
                    Err(_) => break,
                }
            }
            accepted
        };
        let (said, signalled, sent) = join!(sandbox.flood("hall", 2000, 500), stop, sends);
        let status = running.ended().await;
        // The flood ends when nobody is left in the channel: shortly after the process.
        assert!(now() - signalled < GRACE, "{:?}", now() - signalled);
        assert_eq!(status.code(), Some(0), "{}", running.log());
        assert!(said.len() < 2000 && !sent.is_empty(), "it was stopped in the middle");
        assert!(running.log().contains("process.stopped"));
        println!("round {round}: {} lines said, {} sends accepted before the end", said.len(), sent.len());
        accepted.extend(sent);
        lines.push(said);
    }
    let running = chatbus.ready().await;
    let outcomes = eventually("everything accepted has its outcome", LONG, async || {
        let records = running.records("internal.finalizer.v1").await;
        let ids = Ids::of(records.iter().filter_map(|record| record["event"]["deliveryId"].as_str()));
        let open = accepted.iter().filter(|id| !ids.counts.contains_key(*id)).count();
        if open == 0 { Ok(ids) } else { Err(format!("{open} of {}", accepted.len())) }
    })
    .await;
    assert!(outcomes.counts.values().all(|n| *n == 1), "finalized more than once");
    let sent = sandbox.sent().await;
    let texts: BTreeSet<_> = sent.iter().map(|said| said["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), sent.len(), "nothing is said twice");
    let chat = Ids::of_chat(&running.records("internal.ingress.v1").await);
    for (round, said) in lines.iter().enumerate() {
        let read = said.iter().take_while(|id| chat.counts.get(*id) == Some(&1)).count();
        let after = said[read..].iter().filter(|id| chat.counts.contains_key(*id)).count();
        assert!(read > 150, "round {round}: {read}");
        assert_eq!(after, 0, "round {round}: there are holes after line {read} of {}", said.len());
    }
}
