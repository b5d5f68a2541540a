//! Mirrors, with fake time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_runtime::Runtime;
use chatbus_state::{Expected, Key, MemoryState, MemoryStateStore, Mirror, Space, State as _};
use chatbus_testkit::test_runtime;
use tokio::time::sleep;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

async fn put(state: &MemoryState, space: Space, at: &str, value: &'static str) {
    let value = Bytes::from_static(value.as_bytes());
    state.put(space, &key(at), value, Expected::Anything).await.unwrap();
}

/// A mirror that is kept over a way of its own.
fn mirror(space: Space) -> (Mirror, MemoryStateStore, Arc<MemoryState>, Runtime) {
    let runtime = test_runtime(5);
    let store = MemoryStateStore::new(Arc::clone(&runtime.clock));
    let way = store.open();
    let mirror = Mirror::new(space);
    let (keeping, state, of) = (mirror.clone(), Arc::clone(&way), runtime.clone());
    runtime.spawn("test.mirror", async move { keeping.keep(state, of).await });
    (mirror, store, way, runtime)
}

fn keys(mirror: &Mirror) -> Vec<String> {
    mirror.all().into_iter().map(|(key, _)| key.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_mirror_begins_changes_breaks_and_begins_again() {
    let (mirror, store, way, runtime) = mirror(Space::Presence);
    let other = store.open();
    put(&other, Space::Presence, "a", "1").await;
    put(&other, Space::Tokens, "of-another-space", "1").await;
    assert!(!mirror.is_current() && keys(&mirror).is_empty());
    let mut changes = mirror.changes();
    changes.changed().await.unwrap();
    assert!(mirror.is_current());
    assert_eq!(keys(&mirror), ["a"]);

    put(&other, Space::Presence, "b", "1").await;
    put(&other, Space::Presence, "a", "2").await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(keys(&mirror), ["a", "b"]);
    assert_eq!(mirror.get(&key("a")).unwrap().value, Bytes::from_static(b"2"));
    other.remove(Space::Presence, &key("b"), Expected::Anything).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((keys(&mirror), mirror.get(&key("b"))), (vec!["a".to_owned()], None));

    way.set_connected(false);
    put(&other, Space::Presence, "c", "1").await;
    other.remove(Space::Presence, &key("a"), Expected::Anything).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(!mirror.is_current());
    assert_eq!(keys(&mirror), ["a"], "as it was");
    let version = *mirror.changes().borrow();
    way.set_connected(true);
    sleep(Duration::from_secs(2)).await;
    assert!(mirror.is_current() && *mirror.changes().borrow() > version);
    assert_eq!(keys(&mirror), ["c"], "what was removed meanwhile is gone");

    runtime.stop.cancel();
    sleep(Duration::from_millis(1)).await;
    assert!(!mirror.is_current(), "nobody keeps it any more");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_a_prefix_is_found_among_what_is_not() {
    let (mirror, store, _way, _runtime) = mirror(Space::Presence);
    let other = store.open();
    for at in ["a", "a-b", "a-b.c", "a.c", "a.c.d", "a0", "aa.b", "b"] {
        put(&other, Space::Presence, at, "x").await;
    }
    sleep(Duration::from_millis(1)).await;
    let under = |prefix: &str| -> Vec<String> {
        mirror.under(&key(prefix)).into_iter().map(|(key, _)| key.to_string()).collect()
    };
    assert_eq!(under("a"), ["a", "a.c", "a.c.d"]);
    assert_eq!(under("a-b"), ["a-b", "a-b.c"]);
    assert_eq!(under("aa"), ["aa.b"]);
    assert_eq!(under("c"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_forgets_what_the_state_forgets_without_a_word() {
    let (mirror, store, _way, _runtime) = mirror(Space::Leases);
    let other = store.open();
    let ttl = Space::Leases.ttl().unwrap();
    for n in 0..30 {
        put(&other, Space::Leases, &format!("dead.{n}"), "x").await;
    }
    for _ in 0..26 {
        put(&other, Space::Leases, "living", "x").await;
        sleep(ttl / 20).await;
    }
    assert_eq!(keys(&mirror), ["living"]);
    assert!(mirror.is_current());
}
