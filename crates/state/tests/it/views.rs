//! Who lives, as one process sees it, with fake time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_runtime::Runtime;
use chatbus_state::{Expected, Key, LeaseView, Liveness, MemoryState, MemoryStateStore, Space, State as _};
use chatbus_testkit::test_runtime;
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(15);

/// A view over a way that can be cut, and another's way.
struct World {
    view: LeaseView,
    way: Arc<MemoryState>,
    other: Arc<MemoryState>,
    runtime: Runtime,
}

// === impl World ===

impl World {
    /// `before` stands there when the view begins.
    async fn new(before: &[&str]) -> Self {
        let runtime = test_runtime(5);
        let store = MemoryStateStore::new(Arc::clone(&runtime.clock));
        let (way, other) = (store.open(), store.open());
        let view = LeaseView::new(TTL, Arc::clone(&runtime.clock));
        let world = Self { view, way, other, runtime };
        for at in before {
            world.renew(at).await;
        }
        let (view, state, of) = (world.view.clone(), Arc::clone(&world.way), world.runtime.clone());
        world.runtime.spawn("test.view", async move { view.keep(state, of).await });
        sleep(Duration::from_millis(1)).await;
        world
    }

    async fn renew(&self, at: &str) {
        self.other.put(Space::Leases, &key(at), Bytes::new(), Expected::Anything).await.unwrap();
    }

    /// Renews for some seconds, every five.
    async fn renew_for(&self, at: &str, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.renew(at).await;
            sleep(Duration::from_secs(5)).await;
        }
    }

    fn liveness(&self, at: &str) -> Liveness {
        self.view.liveness(&key(at))
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_is_known_to_be_dead_before_one_whole_time_of_watching() {
    let world = World::new(&["i.left"]).await;
    sleep(Duration::from_secs(14)).await;
    assert_eq!(world.liveness("i.left"), Liveness::Lives, "it was seen, and may be renewed yet");
    assert_eq!(world.liveness("i.never"), Liveness::Unknown, "it may have ended a moment before");
    sleep(Duration::from_secs(1)).await;
    assert_eq!([world.liveness("i.left"), world.liveness("i.never")], [Liveness::Dead; 2]);
    world.renew("i.left").await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.liveness("i.left"), Liveness::Lives);
}

#[tokio::test(start_paused = true)]
async fn who_renews_lives_and_who_stops_is_dead_after_its_time() {
    let world = World::new(&["i.a", "i.b", "j.c"]).await;
    world.renew_for("i.a", 60).await;
    assert_eq!(world.liveness("i.a"), Liveness::Lives);
    assert_eq!([world.liveness("i.b"), world.liveness("j.c")], [Liveness::Dead; 2]);
    let living: Vec<_> = world.view.living(&key("i")).into_iter().map(|(key, _)| key).collect();
    assert_eq!(living, [key("i.a")]);
    let death = world.view.next_death().unwrap() - world.runtime.clock.instant();
    // The last renewal was five seconds ago.
    assert!(death > Duration::from_secs(9) && death <= Duration::from_secs(10), "{death:?}");
    sleep(death).await;
    assert_eq!(world.liveness("i.a"), Liveness::Dead);
    assert_eq!(world.view.next_death(), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_break_nobody_is_dead_for_one_whole_time() {
    let world = World::new(&["i.a", "i.gone"]).await;
    world.renew_for("i.a", 20).await;
    assert_eq!([world.liveness("i.gone"), world.liveness("i.never")], [Liveness::Dead; 2]);
    world.way.set_connected(false);
    world.other.remove(Space::Leases, &key("i.gone"), Expected::Anything).await.unwrap();
    sleep(Duration::from_secs(100)).await;
    assert!(!world.view.is_current());
    for at in ["i.a", "i.gone", "i.never"] {
        assert_eq!(world.liveness(at), Liveness::Unknown, "{at} during the break");
    }
    world.way.set_connected(true);
    sleep(Duration::from_secs(2)).await;
    assert!(world.view.is_current());
    sleep(Duration::from_secs(12)).await;
    for at in ["i.a", "i.gone", "i.never"] {
        assert_ne!(world.liveness(at), Liveness::Dead, "{at} after the break");
    }
    sleep(Duration::from_secs(3)).await;
    for at in ["i.a", "i.gone", "i.never"] {
        assert_eq!(world.liveness(at), Liveness::Dead, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_up_during_a_break_does_not_live_on() {
    let world = World::new(&["i.a"]).await;
    sleep(Duration::from_secs(1)).await;
    world.way.set_connected(false);
    world.other.remove(Space::Leases, &key("i.a"), Expected::Anything).await.unwrap();
    world.way.set_connected(true);
    sleep(Duration::from_secs(1)).await;
    assert!(world.view.is_current());
    assert_eq!(world.liveness("i.a"), Liveness::Unknown);
    assert_eq!(world.view.living(&key("i")), []);
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_up_while_watched_is_at_once_no_ones() {
    let world = World::new(&["i.a"]).await;
    world.renew_for("i.a", 20).await;
    assert_eq!(world.liveness("i.a"), Liveness::Lives);
    world.other.remove(Space::Leases, &key("i.a"), Expected::Anything).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.liveness("i.a"), Liveness::Dead, "it says itself that it acts no more");
}
