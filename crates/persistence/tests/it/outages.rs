//! A store that is out of reach, or that refuses a record.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{
    BatchLoop, Bus, EventDeadLetters, Group, HandlerError, HandlerPolicy, MemoryBus, MemoryConfig, Message,
    Scan, ScanFrom, ScanTopics, Subscription,
};
use chatbus_event::{Status, Topic};
use chatbus_store::Events;
use serde_json::json;
use tokio::time::timeout;

use crate::fixture::{Fixture, chat, ingress, outcome, record};

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_hours_loses_nothing_and_makes_no_dead_letter() {
    let f = Fixture::new();
    let letters = Arc::new(EventDeadLetters::new("persistence.i", f.runtime.clone()));
    let kept = chatbus_bus::MemoryStore::new();
    let bus: Arc<dyn Bus> =
        Arc::new(MemoryBus::new(&kept, MemoryConfig::default(), letters.clone(), f.runtime.clone()));
    letters.attach(&bus);
    let subscription = Subscription::new(Topic::ingress(), Group::parse("persistence").unwrap());
    bus.declare(std::slice::from_ref(&subscription)).await.unwrap();
    let handlers =
        BatchLoop::new(Arc::clone(&bus), f.persistence.clone(), f.runtime.clone(), HandlerPolicy::default());
    f.runtime.spawn("test.persistence", handlers.run(subscription));
    f.store.set_available(false);
    for n in 0..600 {
        let message = ingress(&chat(&format!("c{n}"))).message;
        bus.publish(&Topic::ingress(), Message { ..message }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5 * 60 * 60)).await;
    f.store.set_available(true);
    let written = timeout(Duration::from_secs(60), async {
        while f.counters.totals().steps < 600 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    written.await.expect("they are written once the store is back");
    assert_eq!(f.names("c599").await, ["received"]);
    let scan = Scan { topics: ScanTopics::One(Topic::dead_letter()), from: ScanFrom::Oldest, follow: false };
    assert!(bus.scan(scan).await.unwrap().next().await.is_none(), "dead-lettered because the store was down");
    f.runtime.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_what_waits_for_the_store_is_given_back() {
    for records in [[ingress(&chat("c"))], [outcome("c", "d", Status::Sent)]] {
        let f = Fixture::new();
        f.store.set_available(false);
        let (answers, ()) = tokio::join!(f.handle(&records), async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            f.runtime.stop.cancel();
        });
        assert!(matches!(answers[0], Err(HandlerError::GiveBack(_))), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_the_store_refuses_is_kept_raw_and_the_others_are_written() {
    let f = Fixture::new();
    let records: Vec<_> = (0..5).map(|n| ingress(&chat(&format!("c{n}")))).collect();
    // What is kept raw has the same key here, so the second one is not even kept so.
    f.store.refuse("internal.ingress.v1/c3/in");
    f.keep(&records).await;
    let totals = f.counters.totals();
    assert_eq!((totals.steps, totals.refused, totals.lost), (4, 1, 1));
    assert!(f.store.event("c3").await.unwrap().is_none());
    assert_eq!(f.names("c4").await, ["received"]);
}

#[tokio::test]
async fn a_letter_that_the_store_refuses_is_kept_raw() {
    let f = Fixture::new();
    let letter = |id: &str| {
        let body =
            json!({"type": "router.deadletter.v1", "correlationId": id, "payload": {"reason": "expired"}});
        record(Topic::dead_letter(), id, 0, body.to_string())
    };
    f.store.refuse("bad");
    f.keep(&[letter("a"), letter("bad"), letter("b")]).await;
    let totals = f.counters.totals();
    assert_eq!((totals.letters, totals.steps, totals.raw, totals.refused, totals.lost), (2, 2, 1, 1, 0));
}
