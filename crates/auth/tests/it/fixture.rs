//! Auth over a store in memory, and events of a platform.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_auth::{Auth, AuthConfig, RoleTable};
use chatbus_bus::{BatchHandler, HandlerError, Message, Outgoing, Record};
use chatbus_event::{Attributes, Event, MessageId, Timestamp, Topic};
use chatbus_runtime::Runtime;
use chatbus_store::MemoryStore;
use chatbus_testkit::test_runtime;
use serde_json::{Value, json};

/// When the events of these tests are published.
pub(crate) const NOW: i64 = 1_764_000_000_000;

pub(crate) struct Fixture {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) runtime: Runtime,
    pub(crate) auth: Arc<Auth>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new("s");
        let runtime = test_runtime(1);
        let auth = Arc::new(Auth::new(store.clone(), store.clone(), config(), runtime.clone()));
        Self { store, runtime, auth }
    }

    pub(crate) async fn handle(&self, records: &[Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        self.auth.handle(&records.iter().collect::<Vec<_>>()).await
    }

    /// What one event becomes.
    pub(crate) async fn enrich(&self, record: &Record) -> Value {
        let mut answers = self.handle(std::slice::from_ref(record)).await;
        let outputs = answers.remove(0).unwrap();
        assert_eq!(outputs.len(), 1);
        assert_eq!((&outputs[0].topic, outputs[0].step.as_str()), (&Topic::enriched(), "enriched"));
        serde_json::from_slice(&outputs[0].body).unwrap()
    }
}

pub(crate) fn config() -> AuthConfig {
    let mut config = AuthConfig::new(["twitch", "discord", "twilio"]);
    let discord = RoleTable::default().with_moderators(["Moderator", "Admin", "Staff"]);
    config.roles.insert("discord".into(), discord);
    config
}

/// A record of ingress, published `after` ms after the first.
pub(crate) fn record(id: &str, after: i64, body: impl Into<Bytes>) -> Record {
    let attributes: Attributes = [("messageId", id), ("traceparent", "00-1-2-01")].into_iter().collect();
    Record {
        topic: Topic::ingress(),
        seq: 1,
        published_at: Timestamp::from_millis(NOW + after),
        message: Message::new(MessageId::new(id), attributes, body),
    }
}

/// A chat message of a user with these badges.
pub(crate) fn chat(id: &str, after: i64, user: &str, badges: &[&str]) -> Record {
    let body = json!({
        "v": "1", "id": id, "correlationId": format!("c-{id}"), "type": "chat.message.v1",
        "timestamp": Timestamp::from_millis(NOW + after).to_string(),
        "source": "ingress.twitch", "channel": "#a", "userId": user, "unknown": {"kept": 1},
        "message": {"id": id, "role": "user", "text": "hi", "rawPlatformPayload": {
            "user": {"id": user, "login": format!("login_{user}"), "displayName": format!("Name {user}")},
            "badges": badges, "isMod": badges.contains(&"moderator"), "isSubscriber": false,
        }},
    });
    record(id, after, body.to_string())
}

/// The same as our own account's.
pub(crate) fn own(id: &str, after: i64) -> Record {
    let mut record = chat(id, after, "our-bot", &[]);
    let mut event = Event::decode(&record.message.body).unwrap();
    event.set_metadata("self", chatbus_event::json::Raw::of(&true));
    record.message.body = event.encode();
    record
}

pub(crate) fn list(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}
