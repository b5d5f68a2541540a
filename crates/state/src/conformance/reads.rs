//! Reading, listing, forgetting, closing.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::check::{eventually, get, key, listed, put, text, try_put, within};
use super::harness::{Harness, HarnessExt, OpenOptions};
use crate::{Expected, Key, Space, StateErrorKind};

/// Any bytes, none too; any key.
pub async fn what_was_written_is_read_byte_for_byte<H: Harness + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    let all: Vec<u8> = (0..=u8::MAX).cycle().take(1000).collect();
    let long = "k".repeat(Key::MAX_LEN);
    let dotted = format!("{}a", "a.".repeat((Key::MAX_LEN - 1) / 2));
    for space in [Space::Leases, Space::Tokens] {
        for (at, value) in [
            ("empty", Bytes::new()),
            ("binary", Bytes::from(all.clone())),
            ("lines", Bytes::from_static(b"NATS/1.0\r\n\r\n+OK\r\n")),
            ("A-Z.a_z.0-9", Bytes::from_static(b"x")),
            (&long, Bytes::from_static(b"long")),
            (&dotted, Bytes::from_static(b"deep")),
        ] {
            let written = within("put", state.put(space, &key(at), value.clone(), Expected::Absent)).await;
            let revision = written.expect("it is written");
            let there = get(state, space, at).await.expect("it is read");
            assert_eq!((there.value, there.revision), (value, revision), "{at}");
        }
        assert_eq!(get(state, space, "a-z.a_z.0-9").await, None, "keys tell letters apart");
    }
}

/// At once: a read that begins after a write was answered sees it.
pub async fn handles_see_each_others_writes<H: Harness + ?Sized>(harness: &H) {
    let handles = [harness.open().await, harness.open().await];
    for n in 0..50 {
        let (mine, other) = (&handles[n % 2], &handles[(n + 1) % 2]);
        let space = if n % 3 == 0 { Space::Ledger } else { Space::Presence };
        let value = n.to_string();
        let revision = put(mine, space, "a", &value).await;
        let seen = get(other, space, "a").await.expect("it was written");
        assert_eq!((seen.value, seen.revision), (Bytes::from(value), revision));
    }
}

/// By key, with what stands under the prefix's own parts and nothing else.
pub async fn a_list_holds_what_is_under_its_prefix<H: Harness + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    for space in [Space::Presence, Space::Tokens] {
        assert_eq!(listed(state, space, None).await, [""; 0]);
        for at in ["a-b", "a.c.d", "ab", "b.a", "a", "a.c", "gone.x", "a.z"] {
            put(state, space, at, at).await;
        }
        state.remove(space, &key("gone.x"), Expected::Anything).await.expect("it is removed");
        state.remove(space, &key("a.z"), Expected::Anything).await.expect("it is removed");
        assert_eq!(listed(state, space, Some("a")).await, ["a", "a.c", "a.c.d"]);
        assert_eq!(listed(state, space, Some("a.c")).await, ["a.c", "a.c.d"]);
        assert_eq!(listed(state, space, Some("b")).await, ["b.a"]);
        assert_eq!(listed(state, space, Some("gone")).await, [""; 0]);
        let mut all = listed(state, space, None).await;
        assert!(all.is_sorted(), "{all:?}");
        all.sort();
        assert_eq!(all, ["a", "a-b", "a.c", "a.c.d", "ab", "b.a"]);
        let entries = state.list(space, None).await.expect("the state lists");
        for (key, entry) in entries {
            assert_eq!(entry.value, key.as_str());
            assert_eq!(get(state, space, key.as_str()).await, Some(entry));
        }
    }
}

/// More than a page of any server, or a window of any driver.
pub async fn a_list_holds_thousands<H: Harness + ?Sized>(harness: &H) {
    const ENTRIES: usize = 2500;
    let state = &harness.open().await;
    let mut written = BTreeMap::new();
    for n in 0..ENTRIES {
        let at = format!("user{}.instance{n}", n % 7);
        let revision = put(state, Space::Presence, &at, &n.to_string()).await;
        written.insert(key(&at), revision);
    }
    let entries = within("list", state.list(Space::Presence, None)).await.expect("the state lists");
    let read: BTreeMap<_, _> = entries.into_iter().map(|(key, entry)| (key, entry.revision)).collect();
    assert!(read == written, "{} of {ENTRIES}", read.len());
    assert_eq!(listed(state, Space::Presence, Some("user3")).await.len(), ENTRIES / 7);
}

/// And not before; what has no time to live is kept.
pub async fn what_is_not_written_for_its_time_to_live_is_forgotten<H: Harness + ?Sized>(harness: &H) {
    let ttl = Duration::from_secs(2);
    let options = OpenOptions { ttl: Some(ttl), ..OpenOptions::default() };
    let state = &harness.open_with(options).await;
    let begun = harness.runtime().clock.instant();
    for space in Space::ALL {
        put(state, space, "left", "x").await;
        put(state, space, "kept", "x").await;
    }
    eventually("every space forgets", || async {
        let mut forgotten = true;
        for space in Space::ALL.into_iter().filter(|space| space.ttl().is_some()) {
            put(state, space, "kept", "x").await;
            forgotten &= get(state, space, "left").await.is_none();
        }
        sleep(ttl / 20).await;
        forgotten.then_some(())
    })
    .await;
    let took = harness.runtime().clock.instant().saturating_duration_since(begun);
    assert!(took >= ttl.mul_f64(0.9), "forgotten after {took:?} already");
    for space in Space::ALL {
        assert!(get(state, space, "kept").await.is_some(), "{space:?} forgot what was written again");
        let expected = if space.ttl().is_some() { Expected::Absent } else { Expected::Anything };
        try_put(state, space, "left", "y", expected).await.expect("it can be written again");
        assert_eq!(listed(state, space, None).await, ["kept", "left"]);
    }
}

/// Two prefixes on one store know nothing of each other.
pub async fn a_prefix_separates_and_is_never_seen<H: Harness + ?Sized>(harness: &H) {
    let prefixes = ["", "dev.", "dev"];
    let mut states = Vec::new();
    for prefix in prefixes {
        states.push(
            harness.open_with(OpenOptions { prefix: prefix.to_owned(), ..OpenOptions::default() }).await,
        );
    }
    for space in [Space::Leases, Space::Tokens] {
        for (state, prefix) in states.iter().zip(prefixes) {
            try_put(state, space, "a", prefix, Expected::Absent).await.expect("nothing is here yet");
        }
        for (state, prefix) in states.iter().zip(prefixes) {
            assert_eq!(text(state, space, "a").await.as_deref(), Some(prefix));
            assert_eq!(listed(state, space, None).await, ["a"]);
        }
    }
}

/// Every call of it fails, and nothing hangs. Others go on.
pub async fn a_closed_state_says_so<H: Harness + ?Sized>(harness: &H) {
    let state = harness.open().await;
    let mut changes = state.watch(Space::Leases).await.expect("the state is watched");
    put(&state, Space::Leases, "a", "x").await;
    within("close", state.close()).await;
    within("the end of a watch", async { while changes.next().await.is_some() {} }).await;
    assert!(!*state.connected().borrow());
    let at = key("a");
    let space = Space::Tokens;
    let kinds = [
        within("get", state.get(space, &at)).await.err(),
        within("put", state.put(space, &at, Bytes::new(), Expected::Anything)).await.err(),
        within("remove", state.remove(space, &at, Expected::Anything)).await.err(),
        within("list", state.list(space, None)).await.err(),
        within("watch", state.watch(space)).await.err(),
    ]
    .map(|error| error.map(|error| error.kind()));
    assert_eq!(kinds, [Some(StateErrorKind::Closed); 5]);
    within("closing again", state.close()).await;
}
