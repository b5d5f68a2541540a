//! A process among the others, again: after its lease was lost, and with two roles side by side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_delivery::{Alone, Applicant, Membership, Process, Role};
use chatbus_event::InstanceId;
use chatbus_runtime::CancellationToken;
use chatbus_state::{
    Changes, Entry, Expected, Key, LeaseTimes, MemoryStateStore, Revision, Space, State, StateError,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::nodes::LEASE;
use crate::world::World;

/// A state behind a wire: who asks it at the same time as another hears the same.
struct Far(Arc<dyn State>);

const WAY: Duration = Duration::from_millis(5);

#[async_trait]
impl State for Far {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        let found = self.0.get(space, key).await;
        tokio::time::sleep(WAY).await;
        found
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        tokio::time::sleep(WAY).await;
        self.0.put(space, key, value, expected).await
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        self.0.remove(space, key, expected).await
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        self.0.list(space, prefix).await
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        self.0.watch(space).await
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.0.connected()
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

fn applicant(world: &World, store: &MemoryStateStore, role: Role, epoch: &str, pid: u32) -> Applicant {
    Applicant {
        state: Arc::new(Far(store.open())),
        runtime: world.runtime.clone(),
        role,
        instance: InstanceId::parse("a").unwrap(),
        epoch: epoch.into(),
        process: Process { boot: "machine".into(), pid, started: 0 },
        times: LeaseTimes::INSTANCE,
        dispatcher: LeaseTimes::DISPATCHER,
    }
}

async fn join(applicant: Applicant) -> Membership {
    applicant.join(Arc::new(Alone), Vec::new(), |_| false).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_process_takes_its_own_dead_lease_at_once_and_waits_out_anothers() {
    for (epoch, pid, at_once) in [("one", 1, true), ("two", 1, false), ("one", 2, false)] {
        let world = World::new();
        let store = MemoryStateStore::new(world.runtime.clock.clone());
        // Held, and never renewed.
        let first = join(applicant(&world, &store, Role::IngressEgress, "one", 1)).await;
        tokio::time::sleep(LEASE * 2).await;
        assert!(!first.cluster.fence.is_held(world.now()));
        let began = world.now();
        let second = join(applicant(&world, &store, Role::IngressEgress, epoch, pid)).await;
        let waited = world.now() - began;
        assert_eq!(waited < Duration::from_secs(1), at_once, "{epoch} {pid}: {waited:?}");
        assert_eq!(waited >= LEASE, !at_once, "{epoch} {pid}: {waited:?}");
        assert!(second.cluster.fence.is_held(world.now()));
        assert!(!first.cluster.fence.is_held(world.now()), "what was claimed under the first stays over");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_roles_of_one_process_one_dispatches() {
    let world = World::new();
    let store = MemoryStateStore::new(world.runtime.clock.clone());
    let leave = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut dispatch = Vec::new();
    let mut members = Vec::new();
    for role in Role::ALL {
        members.push(join(applicant(&world, &store, role, "one", 1)).await);
    }
    for member in members {
        dispatch.push(member.cluster.dispatch.clone());
        let (serves, served) = watch::channel(Vec::new());
        let leave = leave.clone();
        tasks.spawn(async move {
            let _serves = serves;
            member.keep(served, leave).await;
        });
    }
    let holding = || {
        let now = world.now();
        dispatch.iter().filter(|held| held.borrow().as_ref().is_some_and(|fence| fence.is_held(now))).count()
    };
    world.until(LEASE, async || holding() == 1).await;
    let end = world.now() + LEASE * 4;
    while world.now() < end {
        assert_eq!(holding(), 1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    leave.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(holding(), 0);
}
