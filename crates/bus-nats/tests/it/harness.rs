//! One nats-server, buses on it that can be killed, and the few calls every test makes.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::conformance::{Capabilities, Harness, OpenOptions, Outage, ThirdParty};
use chatbus_bus::{
    Bus, Consumer, Delivery, Group, Message, Publish as _, Record, Scan, ScanFrom, ScanTopics, Settlement,
    Stored, Subscription,
};
use chatbus_bus_nats::{NatsBus, NatsConfig};
use chatbus_event::{Attributes, MessageId, Topic};
use chatbus_runtime::{Runtime, Spawner, Task};
use chatbus_testkit::NatsServer;
use chatbus_testkit::test_runtime;
use tokio::task::JoinHandle;

pub(crate) const ACK_WAIT: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);

/// A server of its own, and every bus that was opened on it.
pub(crate) struct NatsHarness {
    pub(crate) server: NatsServer,
    opened: Mutex<Vec<Opened>>,
}

/// A bus, and what ends it.
type Opened = (Arc<dyn Bus>, Arc<KillSwitch>);

/// Spawns on the test's executor, and can end all it spawned as a killed process would.
#[derive(Debug, Default)]
pub(crate) struct KillSwitch(Mutex<Vec<(&'static str, JoinHandle<()>)>>);

// === impl KillSwitch ===

impl Spawner for KillSwitch {
    #[expect(clippy::disallowed_methods, reason = "the test's executor is the owner of its tasks")]
    fn spawn(&self, name: &'static str, task: Task) {
        self.0.lock().expect("the lock of a test").push((name, tokio::spawn(task)));
    }
}

impl KillSwitch {
    async fn kill(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().expect("the lock of a test"));
        // Nothing leaves the process but through the writer: once it is gone, the others' last
        // words reach nobody.
        tasks.sort_by_key(|(name, _)| *name != "nats.write");
        for (_, task) in tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

// === impl NatsHarness ===

impl NatsHarness {
    pub(crate) async fn new() -> Self {
        // Room for the reservations of two prefixes, whatever disk the tests run on.
        let settings = chatbus_testkit::NatsConfig { max_file_store: Some(1 << 40), ..Default::default() };
        Self { server: settings.start().await, opened: Mutex::default() }
    }

    fn runtime_with(switch: &Arc<KillSwitch>) -> Runtime {
        Runtime { spawner: switch.clone(), ..test_runtime(7) }
    }
}

#[async_trait]
impl Harness for NatsHarness {
    fn runtime(&self) -> Runtime {
        test_runtime(3)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { concurrent: true, ack_wait: ACK_WAIT }
    }

    async fn open_with(&self, options: OpenOptions) -> Arc<dyn Bus> {
        let config = NatsConfig {
            prefix: options.prefix,
            dedupe_window: options.dedupe_window,
            max_message_bytes: options.max_message_bytes,
            queue_bytes: options.queue_bytes,
            retention_bytes: options.retention_bytes,
            dead_lettering: options.dead_lettering,
            ack_wait: ACK_WAIT,
            ..NatsConfig::default().with_urls(&self.server.url())
        };
        let switch = Arc::new(KillSwitch::default());
        let bus = NatsBus::connect(config, Self::runtime_with(&switch)).expect("the settings are right");
        connected(&*bus).await;
        let bus: Arc<dyn Bus> = bus;
        self.opened.lock().expect("the lock of a test").push((bus.clone(), switch));
        bus
    }

    async fn crash(&self, bus: Arc<dyn Bus>) {
        let switch = {
            let mut opened = self.opened.lock().expect("the lock of a test");
            let at =
                opened.iter().position(|(open, _)| Arc::ptr_eq(open, &bus)).expect("a bus of this harness");
            opened.remove(at).1
        };
        switch.kill().await;
    }
}

#[async_trait]
impl Outage for NatsHarness {
    async fn outage(&self) {
        self.server.kill();
    }

    async fn restore(&self) {
        self.server.restart().await;
    }
}

#[async_trait]
impl ThirdParty for NatsHarness {
    async fn publish_raw(&self, topic: &Topic, attributes: &Attributes, body: &[u8]) {
        let client = async_nats::connect(self.server.url()).await.expect("a third party connects");
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in attributes.iter() {
            headers.insert(name, value);
        }
        let stream = async_nats::jetstream::new(client);
        let ack = stream
            .publish_with_headers(topic.to_string(), headers, Bytes::copy_from_slice(body))
            .await
            .expect("a third party publishes");
        ack.await.expect("a third party's message is stored");
    }
}

/// Settings for a server.
pub(crate) fn config(server: &NatsServer) -> NatsConfig {
    NatsConfig { ack_wait: ACK_WAIT, ..NatsConfig::default().with_urls(&server.url()) }
}

/// A bus that is connected.
pub(crate) async fn open(config: NatsConfig) -> Arc<NatsBus> {
    // Clients of one server are told apart by what they draw, so no two draw the same.
    static SEED: AtomicU64 = AtomicU64::new(1);
    let runtime = test_runtime(SEED.fetch_add(1, Ordering::Relaxed));
    let bus = NatsBus::connect(config, runtime).expect("the settings are right");
    connected(&*bus).await;
    bus
}

pub(crate) async fn connected(bus: &dyn Bus) {
    let mut status = bus.status();
    let seen = tokio::time::timeout(DEADLINE, status.wait_for(|status| status.connected)).await;
    assert!(seen.is_ok(), "not connected: {:?}", bus.status().borrow().reason);
}

pub(crate) async fn disconnected(bus: &dyn Bus) {
    let mut status = bus.status();
    let seen = tokio::time::timeout(DEADLINE, status.wait_for(|status| !status.connected)).await;
    assert!(seen.is_ok(), "still connected");
}

#[expect(clippy::panic, reason = "a test that waits for nothing fails")]
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("took too long: {what}"))
}

pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    within(what, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

pub(crate) fn message(id: &str) -> Message {
    Message::new(MessageId::new(id), Attributes::new(), id.to_owned())
}

pub(crate) async fn put(bus: &NatsBus, topic: &Topic, id: &str) -> Stored {
    within("a receipt", bus.publish(topic, message(id))).await.expect("it is stored")
}

pub(crate) async fn join(bus: &NatsBus, topic: &Topic, group: &str, max: usize) -> Box<dyn Consumer> {
    let subscription =
        Subscription::new(topic.clone(), Group::parse(group).expect("it works")).max_in_flight(max);
    within("subscribe", bus.subscribe(subscription)).await.expect("a member joins")
}

pub(crate) async fn next(member: &mut Box<dyn Consumer>) -> Delivery {
    within("a delivery", member.next()).await.expect("the bus is open")
}

pub(crate) async fn take(member: &mut Box<dyn Consumer>) -> String {
    let delivery = next(member).await;
    let id = delivery.record().message.id.to_string();
    within("settle", delivery.settle(Settlement::Ack)).await.expect("it is settled");
    id
}

pub(crate) async fn kept(bus: &dyn Bus, topic: &Topic) -> Vec<Record> {
    let scan = Scan { topics: ScanTopics::One(topic.clone()), from: ScanFrom::Oldest, follow: false };
    let mut records = bus.scan(scan).await.expect("the bus scans");
    let mut all = Vec::new();
    while let Some(record) = within("a record", records.next()).await {
        all.push(record.expect("it reads"));
    }
    all
}

pub(crate) async fn kept_ids(bus: &dyn Bus, topic: &Topic) -> Vec<String> {
    kept(bus, topic).await.into_iter().map(|record| record.message.id.to_string()).collect()
}
