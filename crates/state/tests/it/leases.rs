//! Leases, with fake time.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_runtime::{Fence, Runtime};
use chatbus_state::{Expected, Held, Key, Lease, LeaseTimes, Lost, MemoryStateStore, Space, State};
use chatbus_testkit::test_runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::{advance, sleep, timeout};

use crate::flaky::Flaky;

const TIMES: LeaseTimes = LeaseTimes::INSTANCE;
/// How often a waiting instance looks.
const LOOK: Duration = Duration::from_secs(1);

/// A store, and what tells the time.
struct World {
    runtime: Runtime,
    store: MemoryStateStore,
    begun: Instant,
}

/// A lease that is kept in a task.
struct Kept {
    fence: Fence,
    value: watch::Sender<Bytes>,
    give_up: oneshot::Sender<()>,
    lost: oneshot::Receiver<Lost>,
}

// === impl World ===

impl World {
    fn new() -> Self {
        let runtime = test_runtime(5);
        let store = MemoryStateStore::new(Arc::clone(&runtime.clock));
        let begun = runtime.clock.instant();
        Self { runtime, store, begun }
    }

    fn lease(&self, state: Arc<dyn State>, who: &'static str) -> (Lease, watch::Sender<Bytes>) {
        let (value, receiver) = watch::channel(Bytes::from_static(who.as_bytes()));
        (Lease::new(state, self.runtime.clone(), key(), TIMES, receiver), value)
    }

    /// Waits for the lease; gives it, and when it was had.
    async fn acquire(
        &self,
        state: Arc<dyn State>,
        who: &'static str,
    ) -> (Held, watch::Sender<Bytes>, Duration) {
        let (lease, value) = self.lease(state, who);
        let held = lease.acquire(|_| false).await.expect("the process goes on");
        (held, value, self.now())
    }

    async fn keep(&self, state: Arc<dyn State>, who: &'static str) -> Kept {
        let (held, value, _) = self.acquire(state, who).await;
        let fence = held.fence();
        let (give_up, given_up) = oneshot::channel();
        let (tell, lost) = oneshot::channel();
        self.runtime.spawn("test.keep", async move {
            let asked = async {
                if given_up.await.is_err() {
                    pending::<()>().await;
                }
            };
            let _ = tell.send(held.keep(asked).await);
        });
        Kept { fence, value, give_up, lost }
    }

    /// Time since the beginning.
    fn now(&self) -> Duration {
        self.runtime.clock.instant() - self.begun
    }

    fn is_held(&self, fence: &Fence) -> bool {
        fence.is_held(self.runtime.clock.instant())
    }

    async fn value(&self) -> Option<Bytes> {
        self.store.open().get(Space::Leases, &key()).await.unwrap().map(|entry| entry.value)
    }
}

fn key() -> Key {
    Key::parse("ingress-egress.bot").unwrap()
}

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_had_at_once() {
    let world = World::new();
    let (held, _value, at) = world.acquire(world.store.open(), "a").await;
    assert_eq!(at, Duration::ZERO);
    assert!(world.is_held(&held.fence()));
    assert_eq!(world.value().await, Some(Bytes::from_static(b"a")));
}

#[tokio::test(start_paused = true)]
async fn a_second_waits_for_the_whole_time_since_it_first_saw_the_lease_unchanged() {
    let world = World::new();
    let (held, _value, _) = world.acquire(world.store.open(), "a").await;
    sleep(seconds(7.0)).await;
    // Whoever died, and when: nothing before the first look counts.
    let (_, _value, at) = world.acquire(world.store.open(), "b").await;
    assert!(at >= seconds(7.0) + TIMES.ttl && at <= seconds(7.0) + TIMES.ttl + LOOK * 2, "{at:?}");
    assert!(!world.is_held(&held.fence()), "two hold it");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_renewed_is_never_had_by_another() {
    let world = World::new();
    let kept = world.keep(world.store.open(), "a").await;
    let waiting = world.acquire(world.store.open(), "b");
    assert!(timeout(seconds(600.0), waiting).await.is_err(), "a living lease was taken");
    assert!(world.is_held(&kept.fence));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_up_is_had_at_the_next_look() {
    let world = World::new();
    let kept = world.keep(world.store.open(), "a").await;
    let second = async { world.acquire(world.store.open(), "b").await };
    let first = async {
        sleep(seconds(12.5)).await;
        kept.give_up.send(()).unwrap();
        assert_eq!(kept.lost.await.unwrap(), Lost::GivenUp);
        assert!(!world.is_held(&kept.fence), "it acts on what it gave up");
        assert_eq!(world.value().await, None);
    };
    let ((_, _value, at), ()) = tokio::join!(second, first);
    assert!(at >= seconds(12.5) && at <= seconds(12.5) + LOOK * 2, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_up_while_it_is_written_is_removed_too() {
    let world = World::new();
    let flaky = Flaky::on(world.store.open());
    let kept = world.keep(flaky.clone(), "a").await;
    // Written, and not answered yet, when it is given up: all tries of that moment lose their answers.
    flaky.lose_answers(u32::MAX);
    sleep(TIMES.renew + seconds(0.01)).await;
    kept.give_up.send(()).unwrap();
    assert_eq!(kept.lost.await.unwrap(), Lost::GivenUp);
    assert_eq!(world.value().await, None, "it would stand for its whole time");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_an_own_life_that_is_over_is_overwritten_at_once() {
    let world = World::new();
    drop(world.acquire(world.store.open(), "a/1").await);
    let (lease, _value) = world.lease(world.store.open(), "a/2");
    let held = lease.acquire(|entry| entry.value.starts_with(b"a/")).await;
    assert!(held.is_some() && world.now() == Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_process_stops() {
    let world = World::new();
    let _other = world.keep(world.store.open(), "a").await;
    let (lease, _value) = world.lease(world.store.open(), "b");
    let stop = async {
        sleep(seconds(3.0)).await;
        world.runtime.stop.cancel();
    };
    let (held, ()) = tokio::join!(lease.acquire(|_| false), stop);
    assert!(held.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_stops_believing_before_another_can_have_it() {
    let world = World::new();
    let state = world.store.open();
    let kept = world.keep(state.clone(), "a").await;
    let second = async { world.acquire(world.store.open(), "b").await };
    let first = async {
        sleep(seconds(6.0)).await;
        state.set_connected(false);
        // It was renewed at 5 s for the last time: 5 + 0.9 * 15.
        sleep(seconds(12.4)).await;
        assert!(world.is_held(&kept.fence), "over at {:?} already", world.now());
        sleep(seconds(0.2)).await;
        assert!(!world.is_held(&kept.fence), "still held at {:?}", world.now());
        assert_eq!(kept.lost.await.unwrap(), Lost::Expired);
        state.set_connected(true);
        sleep(seconds(30.0)).await;
        assert!(!world.is_held(&kept.fence), "it came back");
    };
    let ((_, _value, at), ()) = tokio::join!(second, first);
    assert!(at >= seconds(20.0), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn what_counts_is_when_a_write_began_and_not_when_it_was_answered() {
    let world = World::new();
    let flaky = Flaky::on(world.store.open());
    flaky.delay(seconds(3.0));
    let (held, _value, at) = world.acquire(flaky.clone(), "a").await;
    assert_eq!(at, seconds(3.0));
    let fence = held.fence();
    assert_eq!(fence.end(world.runtime.clock.instant()), Some(world.begun + seconds(13.5)));
    let run = async {
        // Renewed from 5 s to 8 s.
        sleep(seconds(5.1)).await;
        assert_eq!(fence.end(world.runtime.clock.instant()), Some(world.begun + seconds(18.5)));
        // One that takes for ever does not keep the holder from noticing.
        flaky.delay(seconds(10_000.0));
    };
    let (lost, ()) = tokio::join!(held.keep(pending()), run);
    assert_eq!(lost, Lost::Expired);
    assert!(world.now() >= seconds(18.5) && world.now() < seconds(18.6), "{:?}", world.now());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_lose_the_lease() {
    let world = World::new();
    let flaky = Flaky::on(world.store.open());
    let mut kept = world.keep(flaky.clone(), "a").await;
    for _ in 0..5 {
        flaky.lose_answers(2);
        sleep(seconds(12.0)).await;
        assert!(world.is_held(&kept.fence));
    }
    // Also when what it says changes between the write and the next try.
    flaky.lose_answers(1);
    kept.value.send(Bytes::from_static(b"a, once")).unwrap();
    sleep(seconds(0.01)).await;
    kept.value.send(Bytes::from_static(b"a, twice")).unwrap();
    sleep(seconds(1.0)).await;
    assert!(kept.lost.try_recv().is_err() && world.is_held(&kept.fence));
    assert_eq!(world.value().await, Some(Bytes::from_static(b"a, twice")));
}

#[tokio::test(start_paused = true)]
async fn a_lease_had_by_a_write_whose_answer_was_lost_is_not_waited_out() {
    let world = World::new();
    let flaky = Flaky::on(world.store.open());
    flaky.lose_answers(1);
    let (_, _value, at) = world.acquire(flaky, "a").await;
    assert!(at <= LOOK * 2, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_holder_finds_its_fence_over_and_never_gets_it_back() {
    let world = World::new();
    let mut kept = world.keep(world.store.open(), "a").await;
    sleep(seconds(12.0)).await;
    assert!(world.is_held(&kept.fence));
    // Nothing runs in between, and nobody else took it.
    advance(seconds(20.0)).await;
    assert!(!world.is_held(&kept.fence), "held before its task could look");
    assert_eq!((&mut kept.lost).await.unwrap(), Lost::Expired);
    sleep(seconds(60.0)).await;
    assert!(!world.is_held(&kept.fence));
}

#[tokio::test(start_paused = true)]
async fn a_short_freeze_loses_nothing() {
    let world = World::new();
    let kept = world.keep(world.store.open(), "a").await;
    for _ in 0..5 {
        advance(seconds(12.0)).await;
        assert!(world.is_held(&kept.fence));
        sleep(seconds(1.0)).await;
        assert!(world.is_held(&kept.fence));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_is_noticed_at_the_next_renewal() {
    for removed in [false, true] {
        let world = World::new();
        let kept = world.keep(world.store.open(), "a").await;
        sleep(seconds(6.0)).await;
        let other = world.store.open();
        match removed {
            true => other.remove(Space::Leases, &key(), Expected::Anything).await.unwrap(),
            false => {
                let value = Bytes::from_static(b"b");
                other.put(Space::Leases, &key(), value, Expected::Anything).await.unwrap();
            }
        }
        assert_eq!(kept.lost.await.unwrap(), Lost::Taken);
        assert!(world.now() <= seconds(10.1), "{:?}", world.now());
        assert!(!world.is_held(&kept.fence));
        assert_eq!(world.value().await, (!removed).then(|| Bytes::from_static(b"b")), "it wrote once more");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_holder_says_is_written_at_once_when_it_changes() {
    let world = World::new();
    let kept = world.keep(world.store.open(), "a").await;
    sleep(seconds(1.0)).await;
    kept.value.send(Bytes::from_static(b"a, joined")).unwrap();
    sleep(seconds(0.001)).await;
    assert_eq!(world.value().await, Some(Bytes::from_static(b"a, joined")));
    drop(kept.value);
    sleep(seconds(60.0)).await;
    assert!(world.is_held(&kept.fence), "it says the same from now on, and is renewed");
}
