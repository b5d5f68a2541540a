//! Dead letters: published before the acknowledgement, with the original bytes, and blocking nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{Reason, Topic, names};
use chatbus_runtime::CancellationToken;

use super::check::{
    QUIET, eventually, id_of, join, kept, kept_ids, message, next, nothing_comes, put, put_message, settle,
    within,
};
use super::harness::{Harness, HarnessExt};
use crate::{
    Bus, Failure, Handler, HandlerError, HandlerLoop, HandlerPolicy, Outgoing, Record, ScanFrom, ScanTopics,
    Settlement, Subscription,
};

/// A handler that fails each time gets the message MAX_DELIVERIES times; then it is a dead letter with
/// its own bytes, and never comes again. Others pass meanwhile.
pub async fn a_message_that_fails_each_time_becomes_a_dead_letter<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let handler = Arc::new(FailsOn::default());
    let stop = run(harness, &bus, &topic, handler.clone()).await;
    let body = " {\"type\": \"fails\"} ";
    put_message(&bus, &topic, message("fails", body)).await;
    put(&bus, &topic, "passes").await;

    let dead = dead_letters(&bus, 1).await;
    assert_eq!(dead[0].message.body, body);
    assert_eq!(dead[0].message.attributes.get(names::TYPE), Some(Reason::MaxDeliveries.as_str()));
    settled(&bus, &topic).await;
    assert_eq!(handler.failed.load(Ordering::SeqCst), 3, "not as often as MAX_DELIVERIES says");
    assert_eq!(handler.passed.load(Ordering::SeqCst), 1);
    assert_eq!(dead_letters(&bus, 1).await.len(), 1);
    stop.cancel();
    bus.close().await;
}

/// Until its dead letter is on the bus a message is not acknowledged.
pub async fn a_message_waits_until_its_dead_letter_is_stored<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open_refusing_dead_letters(1).await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    put_message(&bus, &topic, message("bad", vec![0xff, 0xfe])).await;
    let failure = Failure { reason: Reason::InvalidEvent, code: "not_json".into(), message: "bad".into() };
    let delivery = next(&mut member).await;
    let refused = within("settle", delivery.settle(Settlement::DeadLetter(failure.clone()))).await;
    assert!(refused.is_err(), "the dead letter was refused, and the message settled");
    assert_eq!(kept_ids(&bus, &Topic::dead_letter()).await, Vec::<String>::new());

    let again = next(&mut member).await;
    assert_eq!(id_of(&again), "bad", "it did not come again");
    settle(again, Settlement::DeadLetter(failure)).await;
    let dead = kept(&bus, ScanTopics::One(Topic::dead_letter()), ScanFrom::Oldest).await;
    assert_eq!(dead.len(), 1, "settled before the dead letter was there");
    assert_eq!(dead[0].message.body, &[0xff, 0xfe][..]);
    let quiet = harness.capabilities().ack_wait.mul_f64(1.5).max(QUIET);
    nothing_comes(&mut member, quiet, "it is settled").await;
    bus.close().await;
}

/// Bytes that are no event are given up at once and hold nothing back.
pub async fn bad_bytes_block_nothing_behind_them<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let handler = Arc::new(FailsOn::default());
    let stop = run(harness, &bus, &topic, handler.clone()).await;
    let poison: [&[u8]; 4] = [b"", b"{", &[0xff, 0x00, 0xfe], b"\x00\x00"];
    for (i, bytes) in poison.iter().enumerate() {
        put_message(&bus, &topic, message(&format!("poison-{i}"), bytes.to_vec())).await;
    }
    put(&bus, &topic, "passes").await;
    let dead = dead_letters(&bus, poison.len()).await;
    let mut bodies: Vec<_> = dead.iter().map(|record| record.message.body.to_vec()).collect();
    let mut expected: Vec<_> = poison.iter().map(|bytes| bytes.to_vec()).collect();
    bodies.sort();
    expected.sort();
    assert_eq!(bodies, expected);
    settled(&bus, &topic).await;
    assert_eq!(handler.passed.load(Ordering::SeqCst), 1);
    assert_eq!(handler.failed.load(Ordering::SeqCst), 0, "bad bytes were retried");
    stop.cancel();
    bus.close().await;
}

/// A message that kills the process each time is given up after a bound of its own.
pub async fn a_message_that_kills_each_time_is_given_up<H: Harness + ?Sized>(harness: &H) {
    let topic = Topic::ingress();
    let mut bus = harness.open().await;
    let mut member = join(&bus, &topic, "service", 8).await;
    put_message(&bus, &topic, message("kills", "{\"kills\":true}")).await;
    // As often as the policy below allows: three deliveries and two kills.
    for _ in 0..5 {
        let held = next(&mut member).await;
        assert_eq!(id_of(&held), "kills");
        harness.crash(bus).await;
        drop((held, member));
        bus = harness.open().await;
        member = join(&bus, &topic, "service", 8).await;
    }
    drop(member);
    let handler = Arc::new(FailsOn::default());
    let stop = run(harness, &bus, &topic, handler.clone()).await;
    let dead = dead_letters(&bus, 1).await;
    assert_eq!(dead[0].message.body, "{\"kills\":true}");
    assert_eq!(dead[0].message.attributes.get(names::TYPE), Some(Reason::MaxDeliveries.as_str()));
    settled(&bus, &topic).await;
    assert_eq!(handler.calls(), 0, "the handler was given it once more");
    stop.cancel();
    bus.close().await;
}

/// Fails on `fails`, gives up what is not JSON, takes the rest.
#[derive(Default)]
struct FailsOn {
    failed: AtomicU32,
    gave_up: AtomicU32,
    passed: AtomicU32,
}

// === impl FailsOn ===

impl FailsOn {
    fn calls(&self) -> u32 {
        [&self.failed, &self.gave_up, &self.passed].iter().map(|n| n.load(Ordering::SeqCst)).sum()
    }
}

#[async_trait]
impl Handler for FailsOn {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, input: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        let body = &input.message.body;
        if body.windows(5).any(|word| word == b"fails") {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Err(HandlerError::Retry("it fails".into()));
        }
        if body.as_ref() != b"passes" && serde_json::from_slice::<serde_json::Value>(body).is_err() {
            self.gave_up.fetch_add(1, Ordering::SeqCst);
            let failure =
                Failure { reason: Reason::InvalidEvent, code: "not_json".into(), message: "no JSON".into() };
            return Err(HandlerError::GiveUp(failure));
        }
        self.passed.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    }
}

async fn run<H: Harness + ?Sized>(
    harness: &H,
    bus: &Arc<dyn Bus>,
    topic: &Topic,
    handler: Arc<dyn Handler>,
) -> CancellationToken {
    let policy = HandlerPolicy {
        max_deliveries: 3,
        max_crash_redeliveries: 2,
        first_retry: Duration::from_millis(20),
        max_retry: Duration::from_millis(200),
        ..HandlerPolicy::default()
    };
    let mut runtime = harness.runtime();
    runtime.stop = runtime.stop.child_token();
    let stop = runtime.stop.clone();
    let subscription = Subscription::new(topic.clone(), super::check::group(handler.name()));
    bus.declare(std::slice::from_ref(&subscription)).await.expect("the bus declares a group");
    let handlers = HandlerLoop::new(Arc::clone(bus), handler, runtime.clone(), policy);
    runtime.spawn("conformance.handler", handlers.run(subscription));
    stop
}

/// Waits until there are `n` dead letters; gives all there are.
async fn dead_letters(bus: &Arc<dyn Bus>, n: usize) -> Vec<Record> {
    eventually("the dead letters are on the bus", || async {
        let dead = kept(bus, ScanTopics::One(Topic::dead_letter()), ScanFrom::Oldest).await;
        (dead.len() >= n).then_some(dead)
    })
    .await
}

/// Waits until the group has settled everything.
async fn settled(bus: &Arc<dyn Bus>, topic: &Topic) {
    eventually("everything is settled", || async {
        let lags = bus.lag().await.expect("the bus tells its lag");
        lags.iter().find(|lag| lag.topic == *topic && lag.pending == 0).map(|_| ())
    })
    .await;
}
