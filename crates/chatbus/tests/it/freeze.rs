//! A connection that is dead and does not say so.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Chatbus, SHORT, SandboxProcess, eventually, now};

/// The promise: a frozen connection is noticed within this.
const NOTICED: Duration = Duration::from_secs(40);

fn waits_for(body: &Value) -> String {
    body["waitingFor"].to_string()
}

#[tokio::test]
async fn a_frozen_irc_connection_is_noticed_and_made_again_and_readiness_says_so_meanwhile() {
    let sandbox = SandboxProcess::start().await;
    let running = Chatbus::new().reading(&sandbox.irc, "hall").ready().await;
    sandbox.joined("hall", 1).await;
    // So that it is not made again before readiness was asked.
    sandbox.post("accept", json!({ "on": false })).await;
    let frozen = sandbox.post("freeze", json!({ "channel": "hall" })).await;
    assert_eq!(frozen["connections"], 1, "the fault happened: {frozen}");
    let at = now();
    let said = eventually("readiness says so", NOTICED, async || match running.get("/readyz").await {
        Some((503, body)) => Ok(body),
        other => Err(format!("{other:?}")),
    })
    .await;
    let noticed = now() - at;
    println!("noticed after {noticed:?}: {said}");
    assert!(noticed < NOTICED, "{noticed:?}");
    assert!(waits_for(&said).contains("twitch"), "{said}");
    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    assert_eq!(debug["snapshot"]["state"], "RECONNECTING", "{debug}");
    assert!(!debug["snapshot"]["lastError"].is_null(), "{debug}");

    sandbox.post("accept", json!({ "on": true })).await;
    running.until_ready().await;
    sandbox.joined("hall", 1).await;
    let id = sandbox.say("hall", "are you there?").await;
    eventually("chat goes on", SHORT, async || {
        let records = running.records("internal.ingress.v1").await;
        let found = records.iter().any(|record| record["event"]["message"]["id"] == id.as_str());
        if found { Ok(()) } else { Err(format!("{} records", records.len())) }
    })
    .await;
    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    assert!(debug["snapshot"]["counters"]["reconnects"].as_u64() > Some(0), "{debug}");
}
