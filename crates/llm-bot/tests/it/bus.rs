//! The service on a bus: what is published, and that nothing is lost or said twice.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{
    Bus, EventDeadLetters, Group, Handler, HandlerLoop, HandlerPolicy, MemoryBus, MemoryConfig, MemoryStore,
    Message, Record, Scan, ScanFrom, ScanTopics, Subscription,
};
use chatbus_event::{Attributes, MessageId, Topic, names};
use chatbus_llm_bot::LlmConfig;
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_sandbox::model::ModelFault;
use serde_json::Value;

use crate::rig::{Rig, config, says, until};

struct Fixture {
    bus: Arc<dyn Bus>,
    runtime: Runtime,
}

impl Fixture {
    /// A bus that outlives the service.
    async fn new(rig: &Rig) -> Self {
        let runtime = Runtime { stop: CancellationToken::new(), ..rig.runtime.clone() };
        let letters = Arc::new(EventDeadLetters::new("llm-bot.one", runtime.clone()));
        let store = MemoryStore::new();
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new(
            &store,
            MemoryConfig::default(),
            Arc::clone(&letters) as _,
            runtime.clone(),
        ));
        letters.attach(&bus);
        bus.declare(&[subscription()]).await.unwrap();
        Self { bus, runtime }
    }

    fn run(&self, rig: &Rig) {
        let handler: Arc<dyn Handler> = Arc::clone(&rig.bot) as _;
        let policy = HandlerPolicy { first_retry: Duration::from_millis(1), ..HandlerPolicy::default() };
        let handlers = HandlerLoop::new(Arc::clone(&self.bus), handler, rig.runtime.clone(), policy);
        self.runtime.spawn("test.llm-bot", handlers.run(subscription()));
    }

    async fn put(&self, id: &str, event: &Value) {
        let mut attributes = Attributes::new();
        attributes.set(names::CHANNEL, event["userId"].as_str().unwrap());
        let message = Message::new(MessageId::new(id), attributes, event.to_string());
        self.bus.publish(&Topic::llmbot(), message).await.unwrap();
    }

    async fn kept(&self, topic: &str) -> Vec<Record> {
        let topic = Topic::parse(topic).unwrap();
        let scan = Scan { topics: ScanTopics::One(topic), from: ScanFrom::Oldest, follow: false };
        let mut records = self.bus.scan(scan).await.unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            all.push(record.unwrap());
        }
        all
    }

    async fn settled(&self) {
        let settled = async {
            while self.bus.lag().await.unwrap().iter().any(|lag| lag.pending > 0) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), settled).await.expect("everything is settled");
    }
}

fn subscription() -> Subscription {
    Subscription::new(Topic::llmbot(), Group::parse("llm-bot").unwrap())
}

fn text(record: &Record) -> String {
    let event: Value = serde_json::from_slice(&record.message.body).unwrap();
    event["candidates"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_event_comes_to_one_end_on_the_bus() {
    let rig = Rig::with(LlmConfig { retries: 0, ..config() }).await;
    let bus = Fixture::new(&rig).await;
    rig.faults([ModelFault::Lost]);
    bus.put("failed", &says("ann", "hi")).await;
    bus.run(&rig);
    bus.settled().await;
    bus.put("answered", &says("bob", "hi")).await;
    bus.put("silent", &says("cat", " ")).await;
    bus.settled().await;
    let said = bus.kept("internal.egress.v1.one").await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].message.id.as_str(), "answered/egress");
    assert_eq!(said[0].message.attributes.get(names::SOURCE), Some("llm-bot"));
    assert!(text(&said[0]).starts_with("You asked about"));
    assert_eq!(bus.kept("internal.finalizer.v1").await.len(), 1);
    assert_eq!(bus.kept("internal.deadletter.v1").await.len(), 1);
}

#[tokio::test]
async fn what_the_stop_interrupts_is_answered_by_the_next_instance_and_once() {
    let stopped = Rig::with(LlmConfig { stop_grace: Duration::from_millis(20), ..config() }).await;
    let bus = Fixture::new(&stopped).await;
    stopped.faults([ModelFault::Late(Duration::from_secs(60))]);
    bus.put("m-1", &says("ann", "hi")).await;
    bus.run(&stopped);
    until("it is asked", || stopped.model().asked() == 1).await;
    stopped.runtime.stop.cancel();
    until("it is given back", || stopped.bot.counts().given_back == 1).await;
    let next = Rig::start().await;
    bus.run(&next);
    bus.settled().await;
    let said = bus.kept("internal.egress.v1.one").await;
    assert_eq!((said.len(), next.model().asked()), (1, 1));
}
