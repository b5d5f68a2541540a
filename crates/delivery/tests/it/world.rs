//! A bus, a platform and an engine, and what can be seen of them from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_bus::{
    Bus, EventDeadLetters, MemoryBus, MemoryConfig, MemoryStore, Message, Record, Scan, ScanFrom, ScanTopics,
};
use chatbus_connector::Sink;
use chatbus_delivery::{Ended, Engine, EngineConfig, EngineState, Platform, PlatformTable, Policy, Reach};
use chatbus_event::{Attributes, Clock, Family, InstanceId, MessageId, Timestamp, Topic};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_telemetry::Metrics;
use chatbus_testkit::test_runtime;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::sink::FakeSink;

/// Everything around an engine.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) brook: Arc<FakeSink>,
    pub(crate) metrics: Metrics,
    pub(crate) config: EngineConfig,
    pub(crate) runtime: Runtime,
    others: Vec<Arc<dyn Sink>>,
    sent: std::sync::atomic::AtomicUsize,
    /// When each text was published.
    said_at: std::sync::Mutex<BTreeMap<String, Timestamp>>,
    pub(crate) policy: Option<Arc<dyn Policy>>,
}

/// A running engine.
pub(crate) struct Running {
    pub(crate) task: JoinHandle<Ended>,
    pub(crate) stop: CancellationToken,
    pub(crate) state: tokio::sync::watch::Receiver<EngineState>,
}

/// Both clocks follow the paused time of the executor.
#[derive(Debug)]
struct PausedClock {
    start: Instant,
    wall: Timestamp,
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        self.wall.plus(self.instant() - self.start)
    }

    #[expect(clippy::disallowed_methods, reason = "the executor's paused time is the clock of these tests")]
    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

pub(crate) fn instance() -> InstanceId {
    InstanceId::parse("me").unwrap()
}

pub(crate) fn table() -> PlatformTable {
    let platform = |name, aliases, reach| Platform { name, aliases, reach };
    PlatformTable::new([
        platform("brook", &[], Reach::Public),
        platform("delta", &[], Reach::Public),
        platform("socket", &["hall-gateway"], Reach::Gateway),
    ])
}

impl World {
    pub(crate) fn new() -> Self {
        let mut runtime = test_runtime(7);
        #[expect(
            clippy::disallowed_methods,
            reason = "the executor's paused time is the clock of these tests"
        )]
        let start = tokio::time::Instant::now().into_std();
        let wall = Timestamp::parse("2025-01-01T00:00:00Z").unwrap();
        runtime.clock = Arc::new(PausedClock { start, wall });
        let store = MemoryStore::new();
        let bus = connect(&store, &runtime);
        Self {
            brook: FakeSink::new("brook", runtime.clock.clone()),
            store,
            bus,
            metrics: Metrics::new(),
            config: EngineConfig::new(instance()),
            runtime,
            others: Vec::new(),
            policy: None,
            sent: std::sync::atomic::AtomicUsize::new(0),
            said_at: std::sync::Mutex::default(),
        }
    }

    pub(crate) fn also_serve(&mut self, sink: Arc<dyn Sink>) {
        self.others.push(sink);
    }

    /// Starts an engine, as a new process would: on a connection of its own.
    pub(crate) fn start(&self) -> Running {
        let mut runtime = self.runtime.clone();
        runtime.stop = CancellationToken::new();
        let stop = runtime.stop.clone();
        let brook: Arc<dyn Sink> = self.brook.clone();
        let sinks = std::iter::once(brook).chain(self.others.iter().cloned()).collect();
        let bus = connect(&self.store, &runtime);
        let mut engine = Engine::new(self.config.clone(), bus, sinks, table(), self.metrics.clone(), runtime);
        if let Some(policy) = &self.policy {
            engine = engine.with_policy(policy.clone());
        }
        let state = engine.state();
        #[expect(clippy::disallowed_methods, reason = "the test owns this task, and aborts it")]
        let task = tokio::spawn(engine.run());
        Running { task, stop, state }
    }

    /// Starts an engine and waits until it reads.
    pub(crate) async fn running(&self) -> Running {
        let mut running = self.start();
        running.state.wait_for(|state| *state == EngineState::Running).await.unwrap();
        running
    }

    pub(crate) async fn publish(
        &self,
        topic: &Topic,
        attributes: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) {
        let n = self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let attributes: Attributes = attributes.iter().map(|&(name, value)| (name, value)).collect();
        let message = Message::new(MessageId::new(&format!("m-{n}")), attributes, body.into());
        self.bus.publish(topic, message).await.unwrap();
    }

    /// Asks on the generic topic to say `text` in `channel`; its correlation id is the text.
    pub(crate) async fn say(&self, channel: &str, text: &str) {
        self.say_with(channel, text, json!({})).await;
    }

    /// The same with other members.
    pub(crate) async fn say_with(&self, channel: &str, text: &str, more: Value) {
        self.said_at.lock().unwrap().insert(text.to_owned(), self.runtime.clock.now());
        self.publish(&Topic::egress(), &[], event(channel, text, more)).await;
    }

    /// When this text was published.
    pub(crate) fn published_at(&self, text: &str) -> Timestamp {
        self.said_at.lock().unwrap()[text]
    }

    pub(crate) fn now(&self) -> Instant {
        self.runtime.clock.instant()
    }

    pub(crate) async fn records(&self, topics: ScanTopics) -> Vec<Record> {
        let scan = Scan { topics, from: ScanFrom::Oldest, follow: false };
        let mut records = self.bus.scan(scan).await.unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            all.push(record.unwrap());
        }
        all
    }

    pub(crate) async fn finalized(&self) -> Vec<Value> {
        let records = self.records(ScanTopics::Family(Family::Finalizer)).await;
        records.iter().map(|record| serde_json::from_slice(&record.message.body).unwrap()).collect()
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Value> {
        let records = self.records(ScanTopics::One(Topic::dead_letter())).await;
        records.iter().map(|record| serde_json::from_slice(&record.message.body).unwrap()).collect()
    }

    pub(crate) async fn in_lane(&self) -> usize {
        self.in_lane_of(instance().as_str()).await
    }

    pub(crate) async fn in_lane_of(&self, name: &str) -> usize {
        let instance = InstanceId::parse(name).unwrap();
        self.records(ScanTopics::One(Topic::lane_of(&instance))).await.len()
    }

    /// Deliveries that somebody holds, and messages nobody has settled, on the egress topics.
    pub(crate) async fn held_and_pending(&self) -> (u64, u64) {
        let lags = self.bus.lag().await.unwrap();
        let egress = lags.iter().filter(|lag| lag.family.is_egress());
        egress.fold((0, 0), |sum, lag| (sum.0 + lag.in_flight, sum.1 + lag.pending))
    }

    /// Waits until so many outcomes are published.
    pub(crate) async fn until_finalized(&self, n: usize) {
        let topics = ScanTopics::Family(Family::Finalizer);
        let scan = Scan { topics, from: ScanFrom::Oldest, follow: true };
        let mut records = self.bus.scan(scan).await.unwrap();
        let all = async {
            for _ in 0..n {
                records.next().await.unwrap().unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(4_000), all).await.expect("so many outcomes in time");
    }

    /// Waits for a condition, looking every millisecond of paused time.
    pub(crate) async fn until(&self, at_most: Duration, condition: impl AsyncFn() -> bool) {
        let end = self.now() + at_most;
        while !condition().await {
            assert!(self.now() < end, "not within {at_most:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Each of these has exactly one outcome, each FAILED exactly one dead letter, and nothing is left
    /// on an egress topic or in the lane. Gives status or reason by correlation id.
    pub(crate) async fn one_outcome_each(&self, n: usize) -> BTreeMap<String, String> {
        self.until(Duration::from_secs(60), async || {
            self.held_and_pending().await == (0, 0) && self.in_lane().await == 0
        })
        .await;
        let mut outcomes = BTreeMap::new();
        let mut failed = 0;
        for finalize in self.finalized().await {
            let id = finalize["correlationId"].as_str().unwrap().to_owned();
            let status = finalize["status"].as_str().unwrap().to_owned();
            failed += usize::from(status == "FAILED");
            assert!(outcomes.insert(id.clone(), status).is_none(), "{id} has two outcomes");
        }
        let letters = self.dead_letters().await;
        assert_eq!(letters.len(), failed, "one dead letter for each failure");
        for letter in letters {
            let id = letter["correlationId"].as_str().unwrap().to_owned();
            let reason = letter["payload"]["reason"].as_str().unwrap().to_owned();
            assert_eq!(outcomes.insert(id.clone(), reason).as_deref(), Some("FAILED"), "{id}");
        }
        assert_eq!(outcomes.len(), n, "{outcomes:?}");
        outcomes
    }
}

impl Running {
    /// As a process that dies: the future is dropped where it stands.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// As SIGTERM.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        assert_eq!(*self.state.borrow(), EngineState::Stopped);
    }
}

pub(crate) fn connect(store: &MemoryStore, runtime: &Runtime) -> Arc<dyn Bus> {
    let letters = Arc::new(EventDeadLetters::new("test", runtime.clone()));
    let bus: Arc<dyn Bus> =
        Arc::new(MemoryBus::new(store, MemoryConfig::default(), letters.clone(), runtime.clone()));
    letters.attach(&bus);
    bus
}

/// An event that asks to say `text` in `channel`.
pub(crate) fn event(channel: &str, text: &str, more: Value) -> String {
    let mut event = json!({
        "v": "1", "type": "chat.message.v1", "source": "bot", "correlationId": text,
        "egress": {"destination": "brook", "type": "chat"}, "channel": channel,
        "message": {"role": "assistant", "text": text},
    });
    if let Value::Object(members) = more {
        for (key, value) in members {
            event[key] = value;
        }
    }
    event.to_string()
}
