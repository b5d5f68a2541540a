//! A bus, loops on it, and what the tests of both loops ask of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::{
    BatchHandler, BatchLoop, Bus, Delivery, EventDeadLetters, Group, Handler, HandlerLoop, HandlerPolicy,
    MemoryBus, MemoryConfig, MemoryStore, Message, Outgoing, Record, Scan, ScanFrom, ScanTopics,
    Subscription,
};
use chatbus_event::{Attributes, MessageId, Topic};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_testkit::test_runtime;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::gate::Gate;

pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A bus, and loops on it. Time is paused, so waits cost nothing.
pub(crate) struct Fixture {
    pub(crate) store: MemoryStore,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) dead_letters: Arc<EventDeadLetters>,
    pub(crate) runtime: Runtime,
    pub(crate) stop: CancellationToken,
    ended: Arc<Notify>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let runtime = test_runtime(7);
        let store = MemoryStore::new();
        let dead_letters = Arc::new(EventDeadLetters::new("service.i-1", runtime.clone()));
        let config = MemoryConfig::default();
        let bus: Arc<dyn Bus> =
            Arc::new(MemoryBus::new(&store, config, dead_letters.clone(), runtime.clone()));
        dead_letters.attach(&bus);
        let (stop, ended) = (CancellationToken::new(), Arc::new(Notify::new()));
        Self { store, bus, dead_letters, runtime, stop, ended }
    }

    pub(crate) async fn run(&self, topic: &Topic, handler: Arc<dyn Handler>, policy: HandlerPolicy) {
        let subscription = Subscription::new(topic.clone(), Group::parse("service").unwrap());
        self.bus.declare(std::slice::from_ref(&subscription)).await.unwrap();
        let runtime = Runtime { stop: self.stop.clone(), ..self.runtime.clone() };
        let handlers = HandlerLoop::new(Arc::clone(&self.bus), handler, runtime, policy);
        let ended = Arc::clone(&self.ended);
        self.runtime.spawn("test.handler", async move {
            handlers.run(subscription).await;
            ended.notify_one();
        });
    }

    /// Puts a bus before this one whose receipts wait until they are let through.
    pub(crate) fn gate(&mut self) -> Arc<Gate> {
        let gate = Arc::new(Gate::new(Arc::clone(&self.bus), self.dead_letters.clone()));
        self.bus = gate.clone();
        gate
    }

    /// Puts a message there without waiting for the bus's word.
    pub(crate) fn put_quietly(&self, topic: &Topic, id: &str) {
        drop(self.bus.publish(topic, Message::new(MessageId::new(id), Attributes::new(), "{}")));
    }

    /// Declares the group, so that what is put before the loop begins is there for it.
    pub(crate) async fn declare(&self, topic: &Topic) {
        let subscription = Subscription::new(topic.clone(), Group::parse("service").unwrap());
        self.bus.declare(&[subscription]).await.unwrap();
    }

    pub(crate) async fn run_batches(
        &self,
        topic: &Topic,
        handler: Arc<dyn BatchHandler>,
        policy: HandlerPolicy,
        max_in_flight: usize,
    ) {
        let subscription = Subscription::new(topic.clone(), Group::parse("service").unwrap());
        let subscription = subscription.max_in_flight(max_in_flight);
        self.bus.declare(std::slice::from_ref(&subscription)).await.unwrap();
        let runtime = Runtime { stop: self.stop.clone(), ..self.runtime.clone() };
        let handlers = BatchLoop::new(Arc::clone(&self.bus), handler, runtime, policy);
        let ended = Arc::clone(&self.ended);
        self.runtime.spawn("test.handler", async move {
            handlers.run(subscription).await;
            ended.notify_one();
        });
    }

    pub(crate) async fn put(&self, topic: &Topic, id: &str, channel: &str) {
        let mut attributes = Attributes::new();
        if !channel.is_empty() {
            attributes.set("channel", channel);
        }
        let body = format!(r#"{{"type":"chat.message.v1","source":"test","text":"{id}"}}"#);
        let message = Message::new(MessageId::new(id), attributes, body);
        self.bus.publish(topic, message).await.unwrap();
    }

    pub(crate) async fn kept(&self, topic: &Topic) -> Vec<Record> {
        let scan = Scan { topics: ScanTopics::One(topic.clone()), from: ScanFrom::Oldest, follow: false };
        let mut records = self.bus.scan(scan).await.unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            all.push(record.unwrap());
        }
        all
    }

    /// Waits until the group has settled everything.
    pub(crate) async fn settled(&self) {
        self.until("everything is settled", async || {
            self.bus.lag().await.unwrap().iter().all(|lag| lag.pending == 0)
        })
        .await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let reached = timeout(DEADLINE, async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(reached.await.is_ok(), "never came to pass: {what}");
    }

    pub(crate) async fn end(&self) {
        self.stop.cancel();
        assert!(timeout(DEADLINE, self.ended.notified()).await.is_ok(), "the loop did not end");
    }

    /// What waits for the next member of the group.
    pub(crate) async fn left(&self, topic: &Topic, n: usize) -> Vec<Delivery> {
        let subscription = Subscription::new(topic.clone(), Group::parse("service").unwrap());
        let mut member = self.bus.subscribe(subscription).await.unwrap();
        let mut left = Vec::new();
        for _ in 0..n {
            left.push(timeout(DEADLINE, member.next()).await.expect("it is given back").unwrap());
        }
        assert!(timeout(DEADLINE, member.next()).await.is_err(), "more is left than {n}");
        left
    }
}

pub(crate) fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.message.id.as_str()).collect()
}

pub(crate) fn to(topic: Topic, step: &str) -> Outgoing {
    Outgoing { topic, step: step.into(), attributes: Attributes::new(), body: Bytes::from_static(b"{}") }
}

/// Reason, code and the original's text of each dead letter.
pub(crate) async fn letters(f: &Fixture) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let read = |record: &Record| {
        let value: serde_json::Value = serde_json::from_slice(&record.message.body).unwrap();
        let payload = &value["payload"];
        assert_eq!(value["type"], "router.deadletter.v1");
        assert_eq!(value["source"], "service.i-1");
        (text(&payload["reason"]), text(&payload["error"]["code"]), text(&payload["original"]["text"]))
    };
    f.kept(&Topic::dead_letter()).await.iter().map(read).collect()
}
