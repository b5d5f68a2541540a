//! Waiting for a condition with a deadline, and the few calls every test makes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_event::{Attributes, MessageId, Topic};
use tokio::time::{sleep, timeout};

use crate::{
    Bus, BusError, Consumer, Delivery, Group, Message, Receipt, Record, Scan, ScanFrom, ScanTopics,
    Settlement, Stored, Subscription,
};

/// How long a condition may take: far longer than any driver needs on a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// How long nothing must come, where nothing may. Longer than any driver's fetch or poll interval.
pub(super) const QUIET: Duration = Duration::from_millis(700);

/// How long one test may take in all: a call that never returns fails it instead of hanging it.
const TEST_DEADLINE: Duration = Duration::from_secs(180);

/// One whole test, within its deadline.
pub async fn bounded(promise: impl Future<Output = ()>) {
    assert!(timeout(TEST_DEADLINE, promise).await.is_ok(), "the test took longer than {TEST_DEADLINE:?}");
}

/// Polls until `probe` gives something; fails with `what` at the deadline.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let found = timeout(DEADLINE, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    found.unwrap_or_else(|_| fail(&format!("never came to pass: {what}")))
}

/// Fails the test.
pub(super) fn fail<T>(why: &str) -> T {
    assert!(why.is_empty(), "{why}");
    unreachable!("an empty reason to fail")
}

/// `future`'s value, within the deadline.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| fail(&format!("took too long: {what}")))
}

/// A group.
pub(super) fn group(name: &str) -> Group {
    Group::parse(name).expect("the suite's groups are valid")
}

/// A topic.
pub(super) fn topic(name: &str) -> Topic {
    Topic::parse(name).expect("the suite's topics are valid")
}

/// A message with this id and body and no attributes.
pub(super) fn message(id: &str, body: impl Into<Bytes>) -> Message {
    Message::new(MessageId::new(id), Attributes::new(), body)
}

/// Joins a group.
pub(super) async fn join(bus: &Arc<dyn Bus>, topic: &Topic, name: &str, max: usize) -> Box<dyn Consumer> {
    let subscription = Subscription::new(topic.clone(), group(name)).max_in_flight(max);
    within("subscribe", bus.subscribe(subscription)).await.expect("the bus lets a member join")
}

/// Declares a group without joining it.
pub(super) async fn declare(bus: &Arc<dyn Bus>, topic: &Topic, name: &str) {
    let subscription = Subscription::new(topic.clone(), group(name));
    within("declare", bus.declare(&[subscription])).await.expect("the bus declares a group");
}

/// What a receipt says, within the deadline.
pub(super) async fn answer(receipt: Receipt) -> Result<Stored, BusError> {
    within("a receipt", receipt).await
}

/// Publishes and waits until it is stored; the body is the id.
pub(super) async fn put(bus: &Arc<dyn Bus>, topic: &Topic, id: &str) -> Stored {
    put_message(bus, topic, message(id, id.to_owned())).await
}

/// Publishes and waits until it is stored.
pub(super) async fn put_message(bus: &Arc<dyn Bus>, topic: &Topic, message: Message) -> Stored {
    answer(bus.publish(topic, message)).await.expect("the bus stores a message")
}

/// Publishes `from..to` in order under `prefix-NNNN` and waits for all.
pub(super) async fn put_many(bus: &Arc<dyn Bus>, topic: &Topic, prefix: &str, n: usize) -> Vec<String> {
    let ids: Vec<String> = (0..n).map(|i| format!("{prefix}-{i:04}")).collect();
    let receipts: Vec<Receipt> = ids.iter().map(|id| bus.publish(topic, message(id, id.clone()))).collect();
    for receipt in receipts {
        answer(receipt).await.expect("the bus stores each message");
    }
    ids
}

/// The next delivery, within the deadline.
pub(super) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within("a delivery", consumer.next()).await.expect("the bus is open")
}

/// The next `n` deliveries, held unsettled.
pub(super) async fn next_n(consumer: &mut Box<dyn Consumer>, n: usize) -> Vec<Delivery> {
    let mut held = Vec::with_capacity(n);
    for _ in 0..n {
        held.push(next(consumer).await);
    }
    held
}

/// The next delivery's id; acknowledges it.
pub(super) async fn take(consumer: &mut Box<dyn Consumer>) -> String {
    let delivery = next(consumer).await;
    let id = id_of(&delivery);
    settle(delivery, Settlement::Ack).await;
    id
}

/// The next `n` ids, acknowledged.
pub(super) async fn take_n(consumer: &mut Box<dyn Consumer>, n: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(n);
    for _ in 0..n {
        ids.push(take(consumer).await);
    }
    ids
}

/// Settles, within the deadline.
pub(super) async fn settle(delivery: Delivery, settlement: Settlement) {
    within("a settlement", delivery.settle(settlement)).await.expect("the bus takes a settlement");
}

/// The id of a delivery's message.
pub(super) fn id_of(delivery: &Delivery) -> String {
    delivery.record().message.id.to_string()
}

/// Fails when anything comes within `time`.
pub(super) async fn nothing_comes(consumer: &mut Box<dyn Consumer>, time: Duration, why: &str) {
    if let Ok(Some(delivery)) = timeout(time, consumer.next()).await {
        fail::<()>(&format!("{why}, but {} came", id_of(&delivery)));
    }
}

/// Everything kept on these topics.
pub(super) async fn kept(bus: &Arc<dyn Bus>, topics: ScanTopics, from: ScanFrom) -> Vec<Record> {
    let scan = Scan { topics, from, follow: false };
    let mut records = within("scan", bus.scan(scan)).await.expect("the bus scans");
    let mut all = Vec::new();
    while let Some(record) = within("a record", records.next()).await {
        all.push(record.expect("a scan reads"));
    }
    all
}

/// The ids kept on a topic, oldest first.
pub(super) async fn kept_ids(bus: &Arc<dyn Bus>, topic: &Topic) -> Vec<String> {
    ids(&kept(bus, ScanTopics::One(topic.clone()), ScanFrom::Oldest).await)
}

/// The ids of some records.
pub(super) fn ids(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.message.id.to_string()).collect()
}
