//! BUS_PREFIX is the driver's alone.

use chatbus_testkit::NatsServer;
use serde_json::json;

use crate::harness::{Chatbus, SHORT, SandboxProcess, chat_event, eventually, nats_records, publish};

const PREFIX: &str = "dev.";

/// No text anywhere in an envelope begins with the prefix.
fn assert_unprefixed(records: &[serde_json::Value]) {
    assert!(!records.is_empty());
    for record in records {
        let (event, attributes) = (record["event"].to_string(), record["attributes"].to_string());
        assert!(!event.contains("dev.internal") && !attributes.contains("dev.internal"), "{record}");
    }
}

#[tokio::test]
async fn a_prefix_works_on_nats_and_is_in_no_envelope() {
    let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").speaking().on_nats(&nats.url());
    let running = chatbus.with("BUS_PREFIX", PREFIX).with("EGRESS_INSTANCE_ID", "one").ready().await;
    sandbox.say("hall", "hello").await;
    let ingress = crate::harness::settled_records(&nats.url(), "dev=chatbus-ingress", |records| {
        let said = records.iter().any(|record| record["event"]["message"]["text"] == "hello");
        if said { Ok(()) } else { Err(format!("{} records", records.len())) }
    })
    .await;
    assert!(ingress.iter().all(|record| record["subject"] == "dev.internal.ingress.v1"));
    assert_eq!(ingress[0]["event"]["egressDestination"], "internal.egress.v1.one");
    assert_unprefixed(&ingress);

    // A bot that answers to where the envelope says, with the prefix that it knows of its bus.
    let event = chat_event("2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d", "#hall", "answered");
    let subject = format!("{PREFIX}{}", ingress[0]["event"]["egressDestination"].as_str().unwrap());
    publish(&nats.url(), &subject, &[], serde_json::to_vec(&event).unwrap()).await;
    eventually("it is said", SHORT, async || {
        let sent = sandbox.sent().await;
        if sent.iter().any(|said| said["text"] == "answered") { Ok(()) } else { Err(format!("{sent:?}")) }
    })
    .await;
    let outcomes = crate::harness::settled_records(&nats.url(), "dev=chatbus-finalizer", |records| {
        if records.is_empty() { Err("no outcome".to_owned()) } else { Ok(()) }
    })
    .await;
    assert_unprefixed(&outcomes);
    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    assert_eq!(debug["egressTopic"], "internal.egress.v1.one");

    // Another prefix on the same server is another world.
    let other = Chatbus::new().reading(&sandbox.irc, "hall").on_nats(&nats.url()).ready().await;
    let id = sandbox.say("hall", "both hear this").await;
    for stream in ["dev=chatbus-ingress", "chatbus-ingress"] {
        crate::harness::settled_records(&nats.url(), stream, |records| {
            let found = records.iter().filter(|r| r["event"]["message"]["id"] == id.as_str()).count();
            if found == 1 { Ok(()) } else { Err(format!("{found} in {stream}")) }
        })
        .await;
    }
    drop(other);
    assert_unprefixed(&nats_records(&nats.url(), "dev=chatbus-ingress").await);
}

#[tokio::test]
async fn a_prefix_works_on_the_embedded_bus_and_is_in_no_envelope() {
    let sandbox = SandboxProcess::start().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").speaking().with("BUS_PREFIX", PREFIX);
    let running = chatbus.ready().await;
    let id = sandbox.say("hall", "hello").await;
    let records = eventually("it is on the bus", SHORT, async || {
        let records = running.records("internal.ingress.v1").await;
        let found = records.iter().any(|record| record["event"]["message"]["id"] == id.as_str());
        if found { Ok(records) } else { Err(json!(records).to_string()) }
    })
    .await;
    assert_unprefixed(&records);
    let done =
        chatbus.run(&["send", "--to", "twitch:#hall", "--json", "--url", &running.url, "hello back"]).await;
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert_unprefixed(&running.records("internal.finalizer.v1").await);
}
