//! What viewers say becomes events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{Availability, Connector as _, Emit, Emitted, Inbound};
use chatbus_runtime::CancellationToken;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::rig::__Platform__Rig;

/// Hands events to the test.
struct Ear(mpsc::Sender<Inbound>);

#[async_trait]
impl Emit for Ear {
    async fn emit(&self, events: Vec<Inbound>) -> Emitted {
        for event in events {
            if self.0.send(event).await.is_err() {
                return Emitted::Stopped;
            }
        }
        Emitted::Taken
    }
}

#[tokio::test]
async fn a_message_becomes_one_event_and_other_channels_none() {
    let rig = __Platform__Rig::start().await;
    rig.fake.speak("m-0", "hall", "before anybody listened");
    let (ear, mut events) = mpsc::channel(16);
    let running = Arc::clone(&rig.connector);
    rig.runtime.spawn("connector", running.run(rig.runtime.clone(), Arc::new(Ear(ear)), CancellationToken::new()));
    let sink = rig.connector.sink();
    let mut changes = sink.changes();
    while sink.availability(&chatbus_connector::Target::Channel("#hall".into())) != Availability::Ready {
        changes.changed().await.unwrap();
    }
    rig.fake.speak("m-1", "elsewhere", "not for us");
    rig.fake.speak("m-2", "hall", "hello");
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
    assert_eq!((event.id.as_str(), &*event.conversation), ("__platform__:m-2", "#hall"));
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(body["type"], "chat.message.v1");
    assert_eq!(body["source"], "ingress.__platform__");
    assert_eq!((&body["channel"], &body["userId"]), (&"#hall".into(), &"7".into()));
    assert_eq!(body["message"]["text"], "hello");
    assert_eq!(rig.connector.status().snapshot().counters.received, 2);
}
