//! INGRESS_ENVELOPE: the three shapes that ingress publishes.

use serde_json::{Value, json};

use crate::harness::{Chatbus, SHORT, SandboxProcess, eventually};

async fn event_in(shape: &str) -> Value {
    let sandbox = SandboxProcess::start().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "My_Hall").with("INGRESS_ENVELOPE", shape);
    let running = chatbus.with("EGRESS_INSTANCE_ID", "one").ready().await;
    sandbox.post("role", json!({ "channel": "my_hall", "login": "ada", "subscriber": true })).await;
    let id = sandbox.say("my_hall", "Hello World!").await;
    eventually("it is on the bus", SHORT, async || {
        let records = running.records("internal.ingress.v1").await;
        let found = records.into_iter().find(|record| record["event"]["message"]["id"] == id.as_str());
        found.map(|record| record["event"].clone()).ok_or_else(|| "not yet".to_owned())
    })
    .await
}

/// What every shape has: the message as ingress wrote it, and where answers go.
fn check_common(event: &Value) {
    assert_eq!(event["message"]["text"], "Hello World!", "{event}");
    assert_eq!(event["message"]["role"], "user", "{event}");
    assert_eq!(event["message"]["rawPlatformPayload"]["isSubscriber"], true, "{event}");
    assert_eq!(event["message"]["rawPlatformPayload"]["user"]["login"], "ada", "{event}");
    assert!(event.to_string().contains("\"egressDestination\":\"internal.egress.v1.one\""), "{event}");
}

#[tokio::test]
async fn flat_is_the_shape_of_the_contract() {
    let event = event_in("flat").await;
    check_common(&event);
    for key in [
        "v",
        "id",
        "correlationId",
        "traceId",
        "timestamp",
        "type",
        "source",
        "channel",
        "userId",
        "egress",
        "routingSlip",
        "finalizationDestination",
        "annotations",
        "candidates",
    ] {
        assert!(event.as_object().unwrap().contains_key(key), "{key} in {event}");
    }
    assert_eq!((&event["source"], &event["channel"]), (&json!("ingress.twitch"), &json!("#my_hall")));
    assert_eq!(event["egress"], json!({ "destination": "internal.egress.v1.one", "type": "chat" }));
}

#[tokio::test]
async fn nested_keeps_the_envelope_apart() {
    let event = event_in("nested").await;
    check_common(&event);
    assert_eq!(event["envelope"]["source"], "ingress.twitch", "{event}");
    assert_eq!((&event["type"], &event["channel"]), (&json!("chat.message.v1"), &json!("#my_hall")));
    assert_eq!(event["payload"]["chat"]["text"], "Hello World!", "{event}");
}

#[tokio::test]
async fn v1_names_source_and_user_as_objects() {
    let event = event_in("v1").await;
    check_common(&event);
    assert_eq!(event["type"], "external.chat.message.v1", "{event}");
    assert_eq!(
        (&event["source"]["platform"], &event["source"]["channel"]),
        (&json!("twitch"), &json!("my_hall"))
    );
    let user = &event["user"];
    assert_eq!(
        (&user["name"], &user["profileImageUrl"], &user["role"]),
        (&json!("ada"), &json!(""), &json!(""))
    );
    assert_eq!(event["payload"]["text"], "Hello World!", "{event}");
    assert_eq!(event["traceId"].as_str().map(str::len), Some(36), "a UUID: {event}");
}
