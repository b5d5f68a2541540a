//! The shared state: the suite that every driver passes, and what only this one does.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::Bus as _;
use chatbus_bus_embedded::{EmbeddedBus, EmbeddedConfig};
use chatbus_runtime::Runtime;
use chatbus_state::conformance::{Harness, OpenOptions};
use chatbus_state::{Expected, Key, Space, State, StateErrorKind};
use chatbus_testkit::test_runtime;
use tempfile::TempDir;

use crate::harness::open;

/// One DATA_DIR.
struct StateHarness {
    dir: TempDir,
    bus: Mutex<Option<(String, Arc<EmbeddedBus>)>>,
}

// === impl StateHarness ===

impl StateHarness {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), bus: Mutex::default() }
    }
}

#[async_trait]
impl Harness for StateHarness {
    fn runtime(&self) -> Runtime {
        test_runtime(3)
    }

    async fn open_with(&self, options: OpenOptions) -> Arc<dyn State> {
        let mut opened = self.bus.lock().unwrap();
        let (prefix, bus) = opened.get_or_insert_with(|| {
            let mut config = EmbeddedConfig::new(self.dir.path());
            config.prefix = options.prefix.clone().into();
            config.state_ttl = options.ttl;
            (options.prefix.clone(), open(config))
        });
        assert_eq!(*prefix, options.prefix, "one bus of a DATA_DIR is open at a time");
        bus.state()
    }

    async fn crash(&self) {
        let opened = self.bus.lock().unwrap().take();
        opened.expect("a bus is open").1.kill().await;
    }
}

mod suite {
    use super::StateHarness;

    chatbus_state::conformance_tests!(StateHarness::new(), durable);
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

#[tokio::test]
async fn each_prefix_has_a_state_of_its_own_and_only_durable_spaces_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    for prefix in ["", "dev.", "", "dev."] {
        let mut config = EmbeddedConfig::new(dir.path());
        config.prefix = prefix.into();
        let bus = open(config);
        let state = bus.state();
        for space in Space::ALL {
            let there = state.get(space, &key("a")).await.unwrap().map(|entry| entry.value);
            assert!(there.is_none() || space.is_durable() && there == Some(Bytes::from(prefix)), "{space:?}");
            state.put(space, &key("a"), Bytes::from(prefix), Expected::Anything).await.unwrap();
        }
        bus.close().await;
    }
    let mut config = EmbeddedConfig::new(dir.path());
    config.prefix = "dev.".into();
    let bus = open(config);
    let there = bus.state().get(Space::Tokens, &key("a")).await.unwrap().unwrap();
    assert_eq!(there.value, Bytes::from_static(b"dev."));
    bus.close().await;
    for name in ["state.db", "state-dev..db"] {
        assert!(dir.path().join("bus").join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn the_state_ends_with_its_bus_and_not_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(EmbeddedConfig::new(dir.path()));
    let (first, second) = (bus.state(), bus.state());
    first.close().await;
    second.put(Space::Tokens, &key("a"), Bytes::new(), Expected::Absent).await.unwrap();
    let mut changes = second.watch(Space::Tokens).await.unwrap();
    bus.close().await;
    while changes.next().await.is_some() {}
    assert!(!*second.connected().borrow());
    for state in [second, bus.state()] {
        let closed = state.put(Space::Tokens, &key("a"), Bytes::new(), Expected::Anything).await.unwrap_err();
        assert_eq!(closed.kind(), StateErrorKind::Closed);
    }
}

#[tokio::test]
async fn writes_at_one_moment_are_committed_as_a_group_and_each_sees_those_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(EmbeddedConfig::new(dir.path()));
    let state = bus.state();
    let (done, mut answers) = tokio::sync::mpsc::channel(512);
    for n in 0..512 {
        let (state, done) = (Arc::clone(&state), done.clone());
        test_runtime(1).spawn("test.writer", async move {
            let at = key(&format!("k{}", n % 64));
            let written = state.put(Space::Ledger, &at, Bytes::from(n.to_string()), Expected::Absent).await;
            done.send(written.is_ok()).await.unwrap();
        });
    }
    drop(done);
    let mut won = 0;
    while let Some(first) = answers.recv().await {
        won += usize::from(first);
    }
    assert_eq!(won, 64, "one winner a key");
    bus.kill().await;
    drop((state, bus));
    let bus = open(EmbeddedConfig::new(dir.path()));
    assert_eq!(bus.state().list(Space::Ledger, None).await.unwrap().len(), 64);
    bus.close().await;
}
