//! A store that is out of reach loses nothing and uses up no delivery.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{
    BatchLoop, Bus, EventDeadLetters, Group, HandlerError, HandlerPolicy, MemoryBus, MemoryConfig, Message,
    Record, Scan, ScanFrom, ScanTopics, Subscription,
};
use chatbus_event::{MessageId, Topic};
use tokio::time::timeout;

use crate::fixture::{Fixture, chat};

/// A bus with auth on it.
async fn bus(f: &Fixture) -> Arc<dyn Bus> {
    let letters = Arc::new(EventDeadLetters::new("auth.i", f.runtime.clone()));
    let kept = chatbus_bus::MemoryStore::new();
    let bus: Arc<dyn Bus> =
        Arc::new(MemoryBus::new(&kept, MemoryConfig::default(), letters.clone(), f.runtime.clone()));
    letters.attach(&bus);
    let subscription = Subscription::new(Topic::ingress(), Group::parse("auth").unwrap());
    bus.declare(std::slice::from_ref(&subscription)).await.unwrap();
    let handlers =
        BatchLoop::new(Arc::clone(&bus), f.auth.clone(), f.runtime.clone(), HandlerPolicy::default());
    f.runtime.spawn("test.auth", handlers.run(subscription));
    bus
}

async fn kept(bus: &Arc<dyn Bus>, topic: Topic) -> Vec<Record> {
    let scan = Scan { topics: ScanTopics::One(topic), from: ScanFrom::Oldest, follow: false };
    let mut records = bus.scan(scan).await.unwrap();
    let mut all = Vec::new();
    while let Some(record) = records.next().await {
        all.push(record.unwrap());
    }
    all
}

async fn put(bus: &Arc<dyn Bus>, id: &str) {
    let record = chat(id, 0, "1", &[]);
    bus.publish(
        &Topic::ingress(),
        Message::new(MessageId::new(id), record.message.attributes, record.message.body),
    )
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_hours_loses_nothing_and_makes_no_dead_letter() {
    let f = Fixture::new();
    let bus = bus(&f).await;
    f.store.set_available(false);
    for id in ["a", "b", "c"] {
        put(&bus, id).await;
    }
    tokio::time::sleep(Duration::from_secs(3 * 60 * 60)).await;
    assert!(kept(&bus, Topic::enriched()).await.is_empty());
    f.store.set_available(true);
    let come = timeout(Duration::from_secs(60), async {
        while kept(&bus, Topic::enriched()).await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    come.await.expect("they go on once the store is back");
    let enriched = kept(&bus, Topic::enriched()).await;
    let ids: Vec<&str> = enriched.iter().map(|record| record.message.id.as_str()).collect();
    assert_eq!(ids, ["a/enriched", "b/enriched", "c/enriched"]);
    assert!(kept(&bus, Topic::dead_letter()).await.is_empty());
    f.runtime.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_what_waits_for_the_store_is_given_back() {
    let f = Fixture::new();
    f.store.set_available(false);
    let inputs = [chat("m", 0, "1", &[])];
    let (answers, ()) = tokio::join!(f.handle(&inputs), async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        f.runtime.stop.cancel();
    });
    assert!(matches!(answers[0], Err(HandlerError::GiveBack(_))), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_user_that_can_never_be_written_keeps_nobody_elses_event() {
    let f = Fixture::new();
    f.store.refuse("bad");
    let answers = f.handle(&[chat("a", 0, "1", &[]), chat("bad", 0, "2", &[]), chat("b", 0, "3", &[])]).await;
    let matched = |at: usize| {
        let outputs = answers[at].as_ref().unwrap();
        let event: serde_json::Value = serde_json::from_slice(&outputs[0].body).unwrap();
        event["auth"]["matched"].as_bool().unwrap()
    };
    assert_eq!([matched(0), matched(1), matched(2)], [true, false, true]);
    assert_eq!(f.auth.counters().totals().refused, 1);
}
