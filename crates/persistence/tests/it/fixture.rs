//! Persistence over a store in memory, and the messages of an event's life.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::{BatchHandler, HandlerError, Message, Outgoing, Record};
use chatbus_event::{Attributes, Finalize, MessageId, Status, Timestamp, Topic};
use chatbus_persistence::{Persistence, PersistenceConfig, PersistenceCounters};
use chatbus_runtime::Runtime;
use chatbus_store::{
    DeadLetterFilter, DeadLetters, Events, MemoryStore, Page, StoredEvent, StoredLetter, TimelineStep,
};
use chatbus_testkit::test_runtime;
use serde_json::{Value, json};

/// When the messages of these tests are published.
pub(crate) const NOW: i64 = 1_764_000_000_000;

pub(crate) struct Fixture {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) runtime: Runtime,
    pub(crate) counters: Arc<PersistenceCounters>,
    pub(crate) persistence: Arc<Persistence>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut PersistenceConfig)) -> Self {
        let store = MemoryStore::new("s");
        let runtime = test_runtime(1);
        let counters = Arc::default();
        let mut config = PersistenceConfig::new(["twitch", "twilio", "api-gateway"]);
        change(&mut config);
        let persistence =
            Arc::new(Persistence::new(store.clone(), config, runtime.clone(), Arc::clone(&counters)));
        Self { store, runtime, counters, persistence }
    }

    pub(crate) async fn handle(&self, records: &[Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        self.persistence.handle(&records.iter().collect::<Vec<_>>()).await
    }

    /// Hands over messages of one topic, all of which have to be kept.
    pub(crate) async fn keep(&self, records: &[Record]) {
        for answer in self.handle(records).await {
            assert_eq!(answer.unwrap(), Vec::new());
        }
    }

    pub(crate) async fn event(&self, id: &str) -> (StoredEvent, Vec<TimelineStep>) {
        self.store.event(id).await.unwrap().unwrap_or_else(|| unreachable!("{id} is not kept"))
    }

    /// The names of an event's steps.
    pub(crate) async fn names(&self, id: &str) -> Vec<String> {
        self.event(id).await.1.into_iter().map(|step| step.name).collect()
    }

    /// The detail of the first step of this name.
    pub(crate) async fn detail(&self, id: &str, name: &str) -> Value {
        let (_, steps) = self.event(id).await;
        let step = steps.iter().find(|step| step.name == name).unwrap();
        serde_json::from_slice(&step.detail).unwrap()
    }

    pub(crate) async fn letters(&self) -> Vec<StoredLetter> {
        self.store.letters(&DeadLetterFilter::default(), &Page::default()).await.unwrap()
    }

    /// Whether an event is still kept so long after the messages of these tests.
    pub(crate) async fn is_kept_after(&self, id: &str, after: Duration) -> bool {
        use chatbus_store::Store;
        let at = Timestamp::from_millis(NOW).plus(after);
        while self.store.sweep(at, 10).await.unwrap() > 0 {}
        self.store.event(id).await.unwrap().is_some()
    }
}

/// A record of a topic, published `after` ms after the first.
pub(crate) fn record(topic: Topic, id: &str, after: i64, body: impl Into<Bytes>) -> Record {
    Record {
        topic,
        seq: 1,
        published_at: Timestamp::from_millis(NOW + after),
        message: Message::new(MessageId::new(id), Attributes::new(), body),
    }
}

pub(crate) fn time(after: i64) -> String {
    Timestamp::from_millis(NOW + after).to_string()
}

/// A chat message as ingress publishes it.
pub(crate) fn chat(id: &str) -> Value {
    json!({
        "v": "1", "id": id, "correlationId": id, "type": "chat.message.v1", "timestamp": time(0),
        "source": "ingress.twitch", "channel": "#a", "userId": "1337",
        "egress": {"destination": "internal.egress.v1.i-1", "type": "chat"},
        "message": {"id": id, "role": "user", "text": "Hello World!",
            "rawPlatformPayload": {"user": {"id": "1337", "login": "ada", "displayName": "Ada"}}},
    })
}

/// The same with more members.
pub(crate) fn with(mut event: Value, more: Value) -> Value {
    let (Some(event_members), Value::Object(more)) = (event.as_object_mut(), more) else { return event };
    event_members.extend(more);
    event
}

pub(crate) fn ingress(event: &Value) -> Record {
    let id = format!("{}/in", event["correlationId"].as_str().unwrap());
    record(Topic::ingress(), &id, 2, event.to_string())
}

/// The same event as auth publishes it.
pub(crate) fn enriched(event: Value) -> Record {
    let id = format!("{}/in/enriched", event["correlationId"].as_str().unwrap());
    record(Topic::enriched(), &id, 6, known(event).to_string())
}

/// What the rules publish for the language model.
pub(crate) fn routed(event: Value) -> Record {
    let id = format!("{}/in/enriched/routed", event["correlationId"].as_str().unwrap());
    let metadata = json!({"matchedRuleIds": ["r-1", "r-2"], "chosenRuleId": "r-1", "routedAt": time(8)});
    let event = with(known(event), json!({"metadata": metadata}));
    record(Topic::llmbot(), &id, 9, event.to_string())
}

fn known(event: Value) -> Value {
    let more = json!({
        "user": {"id": "twitch:1337", "displayName": "Ada", "roles": ["vip"], "tags": ["NEW_USER"]},
        "auth": {"v": "1", "matched": true, "at": time(5), "provider": "twitch", "userRef": "users/twitch:1337"},
    });
    with(event, more)
}

/// How a delivery ended.
pub(crate) fn outcome(correlation_id: &str, delivery_id: &str, status: Status) -> Record {
    let finalize = Finalize {
        correlation_id,
        delivery_id,
        destination: "internal.egress.v1",
        delivered_at: Timestamp::from_millis(NOW + 50),
        status,
        provider_message_id: Some("p-1"),
        error: None,
        attempts: &[],
        candidates: None,
        annotations: None,
    };
    record(Topic::finalizer(), finalize.message_id().as_str(), 51, finalize.body())
}
