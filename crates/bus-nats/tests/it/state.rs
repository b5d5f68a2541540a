//! The shared state: the suite that every driver passes, and what only this one does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::kv::{Operation, Store};
use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::Bus as _;
use chatbus_bus_nats::{NatsBus, NatsConfig};
use chatbus_runtime::Runtime;
use chatbus_state::conformance::{Harness, OpenOptions, Outage};
use chatbus_state::{Change, Expected, Key, Space, State, StateErrorKind};
use chatbus_testkit::{NatsConfig as ServerConfig, NatsServer, test_runtime};

use crate::harness::{config, connected, eventually, open, within};

/// A server of its own, and the buses over which its state is reached.
struct StateHarness {
    server: NatsServer,
    buses: Mutex<Vec<Arc<NatsBus>>>,
}

// === impl StateHarness ===

impl StateHarness {
    async fn new() -> Self {
        // Room for the reservations of three prefixes, whatever disk the tests run on.
        let settings = ServerConfig { max_file_store: Some(1 << 40), ..ServerConfig::default() };
        Self { server: settings.start().await, buses: Mutex::default() }
    }
}

#[async_trait]
impl Harness for StateHarness {
    fn runtime(&self) -> Runtime {
        test_runtime(3)
    }

    async fn open_with(&self, options: OpenOptions) -> Arc<dyn State> {
        let config = NatsConfig { prefix: options.prefix, state_ttl: options.ttl, ..config(&self.server) };
        let bus = open(config).await;
        let state = bus.state();
        self.buses.lock().expect("the lock of a test").push(bus);
        state
    }

    async fn crash(&self) {
        self.buses.lock().expect("the lock of a test").clear();
        self.server.kill();
        self.server.restart().await;
    }
}

#[async_trait]
impl Outage for StateHarness {
    async fn outage(&self) {
        self.server.kill();
    }

    async fn restore(&self) {
        self.server.restart().await;
    }
}

mod suite {
    use super::StateHarness;

    chatbus_state::conformance_tests!(StateHarness::new().await, prefix, durable, outage);
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

async fn bucket(server: &NatsServer, name: &str) -> Store {
    let client = async_nats::connect(server.url()).await.expect("a third party connects");
    jetstream::new(client).get_key_value(name).await.expect("a bucket")
}

async fn put(state: &Arc<dyn State>, space: Space, at: &str, value: &'static str) {
    let at = key(at);
    let put = state.put(space, &at, Bytes::from_static(value.as_bytes()), Expected::Anything);
    within("put", put).await.expect("it is written");
}

#[tokio::test]
async fn any_key_value_client_can_look_inside_and_write() {
    let server = NatsServer::start().await;
    let bus = open(NatsConfig { prefix: "dev.".into(), ..config(&server) }).await;
    let state = bus.state();
    let theirs = bucket(&server, "dev_-chatbus-leases").await;
    let status = theirs.status().await.expect("it is a bucket");
    assert_eq!((status.history(), status.max_age()), (1, Duration::from_secs(600)));

    put(&state, Space::Leases, "a.b", "ours").await;
    let entry = theirs.entry("a.b").await.expect("it is read").expect("it is there");
    assert_eq!((entry.value, entry.operation), (Bytes::from_static(b"ours"), Operation::Put));
    let revision = theirs.put("a.b", Bytes::from_static(b"theirs")).await.expect("they write");
    let there = state.get(Space::Leases, &key("a.b")).await.expect("it is read").expect("it is there");
    assert_eq!((there.value, there.revision.0), (Bytes::from_static(b"theirs"), revision));

    for removed in ["deleted", "purged"] {
        put(&state, Space::Leases, removed, "x").await;
        let gone = match removed {
            "deleted" => theirs.delete(removed).await.map_err(|e| e.to_string()),
            _ => theirs.purge(removed).await.map_err(|e| e.to_string()),
        };
        gone.expect("they remove");
        assert_eq!(state.get(Space::Leases, &key(removed)).await.expect("it is read"), None);
        let again = state.put(Space::Leases, &key(removed), Bytes::new(), Expected::Absent).await;
        again.expect("what others removed is absent");
    }
    state.remove(Space::Leases, &key("a.b"), Expected::Anything).await.expect("it is removed");
    let entry = theirs.entry("a.b").await.expect("it is read").expect("the marker is there");
    assert_eq!(entry.operation, Operation::Delete);
    bus.close().await;
}

#[tokio::test]
async fn markers_of_removals_are_taken_away_and_what_was_written_since_stays() {
    let server = NatsServer::start().await;
    let life = Duration::from_millis(400);
    let bus = open(NatsConfig { state_marker_life: life, ..config(&server) }).await;
    let state = bus.state();
    let mut changes = state.watch(Space::Presence).await.expect("it is watched");
    for at in ["gone", "back"] {
        put(&state, Space::Presence, at, "1").await;
        state.remove(Space::Presence, &key(at), Expected::Anything).await.expect("it is removed");
    }
    put(&state, Space::Presence, "back", "2").await;
    let left = async |name: &str| {
        let mut stream = bucket(&server, name).await.stream;
        stream.info().await.expect("a stream").state.messages
    };
    assert_eq!(left("chatbus-presence").await, 2, "a marker and an entry");
    let only_one = || async { (left("chatbus-presence").await == 1).then_some(()) };
    eventually("the marker is taken away", only_one).await;
    let there = state.get(Space::Presence, &key("back")).await.expect("it is read");
    assert_eq!(there.map(|entry| entry.value), Some(Bytes::from_static(b"2")));
    let removed = async {
        while let Some(change) = changes.next().await {
            if change == Change::Removed(key("gone")) {
                return;
            }
        }
        unreachable!("the watch ended");
    };
    within("the watcher was told", removed).await;

    // One that was left by a process that ended is taken away by who watches next.
    drop(state);
    let state = bus.state();
    put(&state, Space::Presence, "left", "1").await;
    state.remove(Space::Presence, &key("left"), Expected::Anything).await.expect("it is removed");
    drop(state);
    tokio::time::sleep(life * 2).await;
    assert_eq!(left("chatbus-presence").await, 2, "nobody took it away");
    let state = bus.state();
    let mut changes = state.watch(Space::Presence).await.expect("it is watched");
    while within("a change", changes.next()).await.expect("it goes on") != Change::Current {}
    eventually("the marker is taken away", only_one).await;
    bus.close().await;
}

#[tokio::test]
async fn a_frozen_server_is_given_up_on_before_a_lease_is() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let state = bus.state();
    put(&state, Space::Leases, "a", "1").await;
    let mut changes = state.watch(Space::Leases).await.expect("it is watched");
    server.freeze();
    let bound = Duration::from_secs(5);
    let a = key("a");
    let write = state.put(Space::Leases, &a, Bytes::new(), Expected::Anything);
    let write = tokio::time::timeout(bound, write).await.expect("an answer in time");
    assert_eq!(write.expect_err("nobody answers").kind(), StateErrorKind::Uncertain);
    let read = tokio::time::timeout(bound, state.get(Space::Leases, &key("a"))).await;
    let read = read.expect("an answer in time").expect_err("nobody answers");
    assert_eq!(read.kind(), StateErrorKind::Closed);
    within("the end of the watch", async { while changes.next().await.is_some() {} }).await;
    server.thaw();
    connected(&*bus).await;
    eventually("reading works again", || async { state.get(Space::Leases, &key("a")).await.ok() }).await;
    bus.close().await;
}

#[tokio::test]
async fn a_full_space_refuses_and_disturbs_nothing() {
    // So little that the buckets are small.
    let server = ServerConfig { max_file_store: Some(1 << 30), ..ServerConfig::default() }.start().await;
    let bus = open(config(&server)).await;
    let state = bus.state();
    let value = Bytes::from(vec![b'x'; chatbus_state::MAX_VALUE_BYTES]);
    let mut refused = None;
    for n in 0..20_000 {
        let at = key(&format!("k{n}"));
        if let Err(error) = state.put(Space::Leases, &at, value.clone(), Expected::Absent).await {
            refused = Some((n, error));
            break;
        }
    }
    let (n, error) = refused.expect("it is full at some time");
    assert_eq!(error.kind(), StateErrorKind::Refused, "{error}");
    assert!(n > 10, "{n}");
    assert!(*state.connected().borrow());
    for n in 0..2 {
        let at = key(&format!("k{n}"));
        state.remove(Space::Leases, &at, Expected::Anything).await.expect("removing makes room");
    }
    state.put(Space::Leases, &key("small"), Bytes::new(), Expected::Absent).await.expect("there is room");
    bus.close().await;
}

#[tokio::test]
async fn the_state_ends_with_its_bus_and_not_the_other_way_round() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let (first, second) = (bus.state(), bus.state());
    first.close().await;
    put(&second, Space::Tokens, "a", "1").await;
    let mut seen = second.connected();
    bus.close().await;
    within("the end", seen.wait_for(|connected| !connected)).await.expect("it is told");
    let closed = second.get(Space::Tokens, &key("a")).await.expect_err("the bus is closed");
    assert_eq!(closed.kind(), StateErrorKind::Closed);
}
