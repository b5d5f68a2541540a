//! The loop of batches: what is handled together, what is published when, and what becomes of each input.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::{
    BatchHandler, BatchLoop, Failure, HandlerError, HandlerPolicy, MemoryStore, Outgoing, Record,
};
use chatbus_event::{Reason, Topic};
use chatbus_runtime::Runtime;
use tokio::sync::Semaphore;

use crate::fixture::{Fixture, ids, letters, to};

type Answers = Vec<Result<Vec<Outgoing>, HandlerError>>;

fn names(inputs: &[&Record]) -> Vec<String> {
    inputs.iter().map(|input| input.message.id.to_string()).collect()
}

/// Holds batches until it is told; notes which it began.
struct Held {
    begun: Mutex<Vec<Vec<String>>>,
    pass: Semaphore,
    /// Whether it leads to nothing, and whether it says that it wrote that down.
    silent: bool,
    recorded: bool,
}

impl Held {
    fn new() -> Self {
        Self { begun: Mutex::default(), pass: Semaphore::new(0), silent: false, recorded: false }
    }

    fn begun(&self) -> Vec<Vec<String>> {
        self.begun.lock().unwrap().clone()
    }
}

#[async_trait]
impl BatchHandler for Held {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, inputs: &[&Record]) -> Answers {
        self.begun.lock().unwrap().push(names(inputs));
        self.pass.acquire().await.unwrap().forget();
        let output = |_| if self.silent { Vec::new() } else { vec![to(Topic::enriched(), "out")] };
        inputs.iter().map(output).map(Ok).collect()
    }

    fn is_recorded(&self) -> bool {
        self.recorded
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_together_is_handled_together_and_published_in_order() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 1024).await;
    f.put(&topic, "first", "#a").await;
    f.until("the first is begun", async || handler.begun().len() == 1).await;
    let expected: Vec<String> = (0..300).map(|n| format!("m{n}")).collect();
    for (n, id) in expected.iter().enumerate() {
        f.put(&topic, id, if n % 2 == 0 { "#a" } else { "#b" }).await;
    }
    handler.pass.add_permits(100);
    f.settled().await;
    let begun = handler.begun();
    assert_eq!(begun[0], ["first"], "one that came alone waits for no other");
    assert_eq!(begun[1], expected[..BatchLoop::MAX_BATCH]);
    assert_eq!(begun[2], expected[BatchLoop::MAX_BATCH..]);
    let enriched = f.kept(&Topic::enriched()).await;
    let outputs: Vec<String> = begun.concat().iter().map(|id| format!("{id}/out")).collect();
    assert_eq!(ids(&enriched), outputs);
    assert_eq!(enriched[0].message.attributes.get("messageId"), Some("first/out"));
    f.end().await;
}

/// Publishes for each input; the bus goes away just before the first time.
struct CutOff {
    store: MemoryStore,
    calls: AtomicU32,
}

#[async_trait]
impl BatchHandler for CutOff {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, inputs: &[&Record]) -> Answers {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.store.disconnect();
        }
        let outputs = || vec![to(Topic::enriched(), "one"), to(Topic::finalizer(), "two")];
        inputs.iter().map(|_| Ok(outputs())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_are_on_the_bus_in_order_before_their_inputs_are_acknowledged() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    for id in ["a", "b", "c"] {
        f.put(&topic, id, "#a").await;
    }
    let handler = Arc::new(CutOff { store: f.store.clone(), calls: AtomicU32::new(0) });
    f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 64).await;
    for id in ["a", "b", "c"] {
        f.put(&topic, &format!("{id}2"), "#a").await;
    }
    f.until("the handler was called", async || handler.calls.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    f.store.connect();
    let lag = f.bus.lag().await.unwrap();
    assert_eq!(lag[0].pending, 3, "acknowledged before its outputs were published");
    f.settled().await;
    assert_eq!(ids(&f.kept(&Topic::enriched()).await), ["a2/one", "b2/one", "c2/one"]);
    assert_eq!(ids(&f.kept(&Topic::finalizer()).await), ["a2/two", "b2/two", "c2/two"]);
    assert_eq!(handler.calls.load(Ordering::SeqCst), 1, "called again although only publishing failed");
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_is_handled_while_one_waits_for_the_bus_and_published_after_it() {
    let mut f = Fixture::new();
    let gate = f.gate();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 64).await;
    f.put_quietly(&topic, "a");
    f.until("the first is begun", async || handler.begun().len() == 1).await;
    f.put_quietly(&topic, "b");
    handler.pass.add_permits(1);
    f.until("the second is begun", async || handler.begun().len() == 2).await;
    assert_eq!(f.bus.lag().await.unwrap()[0].pending, 2, "acknowledged before the bus had its output");
    handler.pass.add_permits(1);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        ids(&f.kept(&Topic::enriched()).await),
        ["a/out"],
        "published before the one before was stored"
    );
    gate.passes.add_permits(1);
    f.until("the second is published", async || f.kept(&Topic::enriched()).await.len() == 2).await;
    gate.passes.add_permits(1);
    f.settled().await;
    assert_eq!(ids(&f.kept(&Topic::enriched()).await), ["a/out", "b/out"]);
    f.end().await;
}

/// Fails, each message in the way its id says; notes each call.
struct Fails {
    runtime: Runtime,
    calls: Mutex<Vec<(Instant, Vec<String>)>>,
}

impl Fails {
    fn of(f: &Fixture) -> Arc<Self> {
        Arc::new(Self { runtime: f.runtime.clone(), calls: Mutex::default() })
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap().iter().map(|(_, ids)| ids.clone()).collect()
    }

    fn times(&self, id: &str) -> Vec<Instant> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, ids)| ids == &[id]).map(|(at, _)| *at).collect()
    }
}

#[async_trait]
impl BatchHandler for Fails {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, inputs: &[&Record]) -> Answers {
        let ids = names(inputs);
        self.calls.lock().unwrap().push((self.runtime.clock.instant(), ids.clone()));
        assert!(!ids.iter().any(|id| id == "panics"), "a handler's own bug");
        if ids.iter().any(|id| id == "short") {
            return Vec::new();
        }
        let answer = |id: &String| match id.as_str() {
            "fails" => Err(HandlerError::Retry("down".into())),
            "gives-up" => Err(HandlerError::GiveUp(Failure {
                reason: Reason::Denied,
                code: "policy".into(),
                message: "not allowed".into(),
            })),
            "too-large" => {
                let body = Bytes::from(vec![b'x'; 2 * 1024 * 1024]);
                let large = Outgoing { body, ..to(Topic::enriched(), "large") };
                Ok(vec![large, to(Topic::enriched(), "never")])
            }
            _ => Ok(vec![to(Topic::enriched(), "out")]),
        };
        ids.iter().map(answer).collect()
    }
}

/// Puts them on the bus before the loop begins, so that they come together.
async fn together(
    f: &Fixture,
    topic: &Topic,
    handler: Arc<dyn BatchHandler>,
    policy: HandlerPolicy,
    ids: &[&str],
) {
    f.declare(topic).await;
    for id in ids {
        f.put(topic, id, "#a").await;
    }
    f.run_batches(topic, handler, policy, 64).await;
}

#[tokio::test(start_paused = true)]
async fn one_poison_message_costs_the_others_of_its_batch_nothing() {
    for poison in ["panics", "short"] {
        let f = Fixture::new();
        let topic = Topic::ingress();
        let handler = Fails::of(&f);
        let policy = HandlerPolicy { max_deliveries: 3, ..HandlerPolicy::default() };
        together(&f, &topic, handler.clone(), policy, &["a", poison, "b"]).await;
        f.settled().await;
        assert_eq!(handler.calls()[..4], [vec!["a", poison, "b"], vec!["a"], vec![poison], vec!["b"]]);
        assert_eq!(handler.times(poison).len(), 3, "not as often as MAX_DELIVERIES says");
        assert_eq!(handler.times("b").len(), 1);
        assert_eq!(ids(&f.kept(&Topic::enriched()).await), ["a/out", "b/out"]);
        let expected = ("max_deliveries".into(), "max_deliveries".into(), poison.into());
        assert_eq!(letters(&f).await, [expected]);
        f.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_batch_ends_in_its_own_way() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Fails::of(&f);
    let policy = HandlerPolicy { max_deliveries: 2, ..HandlerPolicy::default() };
    together(&f, &topic, handler.clone(), policy, &["gives-up", "a", "too-large", "fails", "b"]).await;
    f.settled().await;
    let triple = |reason: &str, code: &str, text: &str| (reason.to_owned(), code.to_owned(), text.to_owned());
    assert_eq!(
        letters(&f).await,
        [
            triple("denied", "policy", "gives-up"),
            triple("max_deliveries", "bus_too_large", "too-large"),
            triple("max_deliveries", "max_deliveries", "fails"),
        ]
    );
    let enriched = f.kept(&Topic::enriched()).await;
    assert_eq!(ids(&enriched)[..2], ["a/out", "b/out"]);
    assert_eq!(handler.calls().len(), 2, "what passed was handled again");
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_batch_wait_longer_each_time_and_do_not_hold_up_what_follows() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Fails::of(&f);
    f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 64).await;
    f.put(&topic, "fails", "#a").await;
    f.until("it was tried", async || handler.times("fails").len() == 1).await;
    f.put(&topic, "passes", "#a").await;
    f.until("the next one passes", async || handler.times("passes").len() == 1).await;
    assert_eq!(handler.times("fails").len(), 1, "a failed message holds back what follows");
    f.settled().await;
    let times = handler.times("fails");
    assert_eq!(times.len(), 5);
    for (pair, ceiling) in times.windows(2).zip([200, 800, 3_200, 12_800]) {
        let (waited, slack) = (pair[1] - pair[0], Duration::from_millis(5));
        let (least, most) = (Duration::from_millis(ceiling / 2), Duration::from_millis(ceiling));
        assert!(
            waited + slack >= least && waited <= most + slack,
            "waited {waited:?} where {most:?} are most"
        );
    }
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_a_batch_in_hand_is_finished_and_the_rest_given_back() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 64).await;
    f.put(&topic, "a", "#a").await;
    f.until("the first is begun", async || handler.begun().len() == 1).await;
    f.put(&topic, "b", "#a").await;
    f.stop.cancel();
    handler.pass.add_permits(100);
    f.end().await;
    assert_eq!(handler.begun(), [["a"]]);
    assert_eq!(ids(&f.kept(&Topic::enriched()).await), ["a/out"]);
    let left = f.left(&topic, 1).await;
    assert_eq!(left[0].record().message.id.as_str(), "b");
    assert_eq!(left[0].failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_finish_in_its_grace_is_given_back() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(Held::new());
    let policy = HandlerPolicy { grace: Duration::from_secs(3), ..HandlerPolicy::default() };
    f.run_batches(&topic, handler.clone(), policy, 64).await;
    f.put(&topic, "slow", "#a").await;
    f.until("it is begun", async || handler.begun().len() == 1).await;
    let stopped = f.runtime.clock.instant();
    f.end().await;
    let took = f.runtime.clock.instant() - stopped;
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "ended after {took:?}");
    let left = f.left(&topic, 1).await;
    assert_eq!((left[0].record().message.id.as_str(), left[0].failures()), ("slow", 0));
}

/// Gives everything back as long as the bus is cut off, as at a stop.
struct GivesBack(AtomicU32);

#[async_trait]
impl BatchHandler for GivesBack {
    fn name(&self) -> &'static str {
        "service"
    }

    async fn handle(&self, inputs: &[&Record]) -> Answers {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0..30 => inputs.iter().map(|_| Err(HandlerError::GiveBack("stopping".into()))).collect(),
            _ => inputs.iter().map(|_| Ok(Vec::new())).collect(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_gives_back_counts_as_no_failure() {
    let f = Fixture::new();
    let topic = Topic::ingress();
    let handler = Arc::new(GivesBack(AtomicU32::new(20)));
    f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 64).await;
    f.put(&topic, "m", "#a").await;
    f.settled().await;
    assert_eq!(handler.0.load(Ordering::SeqCst), 31, "10 times given back, then handled");
    assert!(letters(&f).await.is_empty());
    f.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_under_its_own_id_needs_no_word_of_the_bus() {
    for (silent, recorded, confirmed, unconfirmed) in
        [(true, true, 0, 1), (true, false, 1, 0), (false, true, 1, 0)]
    {
        let mut f = Fixture::new();
        let gate = f.gate();
        gate.passes.add_permits(10);
        let topic = Topic::ingress();
        let handler = Arc::new(Held { silent, recorded, ..Held::new() });
        f.run_batches(&topic, handler.clone(), HandlerPolicy::default(), 64).await;
        f.put(&topic, "m", "#a").await;
        handler.pass.add_permits(1);
        f.settled().await;
        assert_eq!(gate.counts.confirmed.load(Ordering::SeqCst), confirmed);
        assert_eq!(gate.counts.unconfirmed.load(Ordering::SeqCst), unconfirmed);
        f.end().await;
    }
}
