//! The handler loop: what it publishes, in which order, and what becomes of its input.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::{
    DeadLettering, Failure, Group, Handler, HandlerError, HandlerPolicy, MemoryStore, Outgoing, Record,
    Settlement, Subscription,
};
use chatbus_event::{Reason, Topic};
use chatbus_runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::fixture::{DEADLINE, Fixture, ids, letters, to};

/// Publishes two messages; the bus goes away just before.
struct CutOff {
    store: MemoryStore,
    calls: AtomicU32,
}

#[async_trait]
impl Handler for CutOff {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, _input: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.store.disconnect();
        Ok(vec![to(Topic::enriched(), "one"), to(Topic::finalizer(), "two"), to(Topic::enriched(), "three")])
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_are_on_the_bus_in_order_before_their_input_is_acknowledged() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(CutOff { store: f.store.clone(), calls: AtomicU32::new(0) });
    f.run(&topic, handler.clone(), HandlerPolicy::default()).await;
    f.put(&topic, "m", "#a").await;
    f.until("the handler was called", async || handler.calls.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    f.store.connect();
    let lag = f.bus.lag().await.unwrap();
    assert_eq!(lag[0].pending, 1, "acknowledged before its outputs were published");

    f.settled().await;
    let enriched = f.kept(&Topic::enriched()).await;
    assert_eq!(ids(&enriched), ["m/one", "m/three"]);
    assert_eq!(enriched[0].message.attributes.get("messageId"), Some("m/one"));
    assert_eq!(ids(&f.kept(&Topic::finalizer()).await), ["m/two"]);
    assert_eq!(handler.calls.load(Ordering::SeqCst), 1, "called again although only publishing failed");
    f.end().await;
}

/// Holds messages until it is told; notes what it began and ended.
struct Held {
    begun: Mutex<Vec<String>>,
    ended: Mutex<Vec<String>>,
    pass: Semaphore,
}

impl Held {
    fn new() -> Self {
        Self { begun: Mutex::default(), ended: Mutex::default(), pass: Semaphore::new(0) }
    }

    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().clone()
    }

    fn ended(&self) -> Vec<String> {
        self.ended.lock().unwrap().clone()
    }
}

#[async_trait]
impl Handler for Held {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, input: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        let id = input.message.id.to_string();
        self.begun.lock().unwrap().push(id.clone());
        self.pass.acquire().await.unwrap().forget();
        self.ended.lock().unwrap().push(id);
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_keeps_its_order_and_does_not_hold_back_others() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    f.run(&topic, handler.clone(), HandlerPolicy { concurrency: 3, ..HandlerPolicy::default() }).await;
    for (id, channel) in [("a1", "#a"), ("a2", "#a"), ("b1", "#b"), ("c1", "#c"), ("d1", "#d")] {
        f.put(&topic, id, channel).await;
    }
    f.until("three are begun", async || handler.begun().len() == 3).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(handler.begun(), ["a1", "b1", "c1"], "not one of each conversation, three at once");
    handler.pass.add_permits(100);
    f.settled().await;
    let a: Vec<String> = handler.ended().into_iter().filter(|id| id.starts_with('a')).collect();
    assert_eq!(a, ["a1", "a2"]);
    assert_eq!(handler.ended().len(), 5);
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_what_is_in_hand_is_finished_and_the_rest_given_back() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    f.run(&topic, handler.clone(), HandlerPolicy { concurrency: 2, ..HandlerPolicy::default() }).await;
    for (id, channel) in [("a1", "#a"), ("a2", "#a"), ("b1", "#b"), ("c1", "#c")] {
        f.put(&topic, id, channel).await;
    }
    f.until("two are begun", async || handler.begun().len() == 2).await;
    f.until("all are in hand", async || f.bus.lag().await.unwrap()[0].in_flight == 4).await;
    f.stop.cancel();
    f.until("the rest is given back", async || f.bus.lag().await.unwrap()[0].in_flight == 2).await;
    handler.pass.add_permits(100);
    f.end().await;
    assert_eq!(handler.ended(), ["a1", "b1"]);
    let left = f.left(&topic, 2).await;
    let ids: Vec<&str> = left.iter().map(|delivery| delivery.record().message.id.as_str()).collect();
    assert_eq!(ids, ["a2", "c1"]);
    assert!(left.iter().all(|delivery| delivery.failures() == 0));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_in_its_grace_is_given_back() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    let policy = HandlerPolicy { grace: Duration::from_secs(3), ..HandlerPolicy::default() };
    f.run(&topic, handler.clone(), policy).await;
    f.put(&topic, "slow", "#a").await;
    f.until("it is begun", async || handler.begun().len() == 1).await;
    let stopped = f.runtime.clock.instant();
    f.end().await;
    let took = f.runtime.clock.instant() - stopped;
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "ended after {took:?}");
    assert_eq!(f.left(&topic, 1).await[0].record().message.id.as_str(), "slow");
}

/// Fails, each in the way its id says; notes when it was called.
struct Fails {
    runtime: Runtime,
    calls: Mutex<Vec<(String, Instant)>>,
}

impl Fails {
    fn of(&self, id: &str) -> Vec<Instant> {
        self.calls.lock().unwrap().iter().filter(|(called, _)| called == id).map(|(_, at)| *at).collect()
    }
}

#[async_trait]
impl Handler for Fails {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, input: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        let id = input.message.id.to_string();
        self.calls.lock().unwrap().push((id.clone(), self.runtime.clock.instant()));
        match id.as_str() {
            "fails" => Err(HandlerError::Retry("down".into())),
            "panics" => panic!("a handler's own bug"),
            "gives-up" => Err(HandlerError::GiveUp(Failure {
                reason: Reason::Denied,
                code: "policy".into(),
                message: "not allowed".into(),
            })),
            "too-large" => {
                let body = Bytes::from(vec![b'x'; 2 * 1024 * 1024]);
                Ok(vec![Outgoing { body, ..to(Topic::enriched(), "out") }])
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn fails(f: &Fixture) -> Arc<Fails> {
    Arc::new(Fails { runtime: f.runtime.clone(), calls: Mutex::default() })
}

#[tokio::test(start_paused = true)]
async fn retries_wait_four_times_as_long_each_time_and_end_in_a_dead_letter() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = fails(&f);
    f.run(&topic, handler.clone(), HandlerPolicy::default()).await;
    f.put(&topic, "fails", "#a").await;
    f.put(&topic, "passes", "#a").await;
    f.until("the next one passes", async || handler.of("passes").len() == 1).await;
    assert_eq!(handler.of("fails").len(), 1, "a failed message holds back its conversation");
    f.settled().await;
    let calls = handler.of("fails");
    assert_eq!(calls.len(), 5, "not as often as MAX_DELIVERIES says");
    for (pair, ceiling) in calls.windows(2).zip([200, 800, 3_200, 12_800]) {
        let waited = pair[1] - pair[0];
        let slack = Duration::from_millis(5);
        assert!(
            waited + slack >= Duration::from_millis(ceiling / 2)
                && waited <= Duration::from_millis(ceiling) + slack,
            "waited {waited:?} where {ceiling} ms are the most"
        );
    }
    assert_eq!(letters(&f).await, [("max_deliveries".into(), "max_deliveries".into(), "fails".into())]);
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn each_way_of_failing_for_good_is_a_dead_letter_and_stops_nothing() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = fails(&f);
    f.run(&topic, handler.clone(), HandlerPolicy { max_deliveries: 2, ..HandlerPolicy::default() }).await;
    for id in ["gives-up", "too-large", "panics", "passes"] {
        f.put(&topic, id, "#a").await;
    }
    f.settled().await;
    let triple = |reason: &str, code: &str, text: &str| (reason.to_owned(), code.to_owned(), text.to_owned());
    assert_eq!(
        letters(&f).await,
        [
            triple("denied", "policy", "gives-up"),
            triple("max_deliveries", "bus_too_large", "too-large"),
            triple("max_deliveries", "max_deliveries", "panics"),
        ]
    );
    assert_eq!((handler.of("gives-up").len(), handler.of("panics").len()), (1, 2));
    assert_eq!(handler.of("passes").len(), 1);
    assert_eq!(ids(&f.kept(&Topic::enriched()).await), Vec::<&str>::new());
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_message_on_a_dead_letter_or_finalizer_topic_makes_no_dead_letter() {
    for topic in [Topic::dead_letter(), Topic::router_dlq(), Topic::finalizer()] {
        let f = Fixture::new();
        let handler = fails(&f);
        f.run(&topic, handler.clone(), HandlerPolicy::default()).await;
        f.put(&topic, "gives-up", "").await;
        f.until("it is handled", async || handler.of("gives-up").len() == 1).await;
        f.settled().await;
        assert_eq!(f.dead_letters.without_letter(), 1, "on {topic}");
        let kept = if topic == Topic::dead_letter() { 1 } else { 0 };
        assert_eq!(f.kept(&Topic::dead_letter()).await.len(), kept, "on {topic}");
        f.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_waits_for_the_bus_and_is_one_however_often_it_is_tried() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let subscription = Subscription::new(topic.clone(), Group::parse("service").unwrap());
    let mut member = f.bus.subscribe(subscription).await.unwrap();
    f.put(&topic, "bad", "").await;
    let failure = Failure { reason: Reason::InvalidEvent, code: "x".into(), message: "y".into() };
    for _ in 0..2 {
        let delivery = timeout(DEADLINE, member.next()).await.expect("it comes again").unwrap();
        f.store.disconnect();
        let settle = delivery.settle(Settlement::DeadLetter(failure.clone()));
        let too_late = timeout(DEADLINE, settle).await.expect("it gives up some time");
        assert!(too_late.is_err(), "settled without a store");
        f.store.connect();
    }
    let delivery = timeout(DEADLINE, member.next()).await.expect("it comes again").unwrap();
    f.store.disconnect();
    let (settled, ()) = futures::join!(delivery.settle(Settlement::DeadLetter(failure.clone())), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        f.store.connect();
    });
    settled.unwrap();
    let record = f.kept(&topic).await.remove(0);
    f.dead_letters.dead_letter(&record, &failure).await.unwrap();
    assert_eq!(f.kept(&Topic::dead_letter()).await.len(), 1);
    f.settled().await;
}
