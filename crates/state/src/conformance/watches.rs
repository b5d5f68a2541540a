//! Watching.

use std::collections::BTreeMap;

use super::check::{first, key, next, put, try_remove, watch};
use super::harness::{Harness, HarnessExt};
use crate::{Change, Expected, Revision, Space};

/// What there is, `Current`, then each change: of others, of oneself, removals too.
pub async fn a_watch_tells_what_there_is_then_what_changes<H: Harness + ?Sized>(harness: &H) {
    let handles = [harness.open().await, harness.open().await];
    let [mine, other] = &handles;
    for space in [Space::Leases, Space::Tokens] {
        let mut empty = watch(mine, space).await;
        assert_eq!(next(&mut empty).await, Change::Current, "of nothing");
        put(mine, space, "b", "1").await;
        let a = put(other, space, "a", "1").await;
        put(other, space, "gone", "1").await;
        try_remove(other, space, "gone", Expected::Anything).await.expect("it is removed");
        let b = put(mine, space, "b", "2").await;

        let mut changes = watch(mine, space).await;
        let mut told = first(&mut changes).await;
        told.sort_by(|x, y| x.0.cmp(&y.0));
        let told: Vec<_> = told.into_iter().map(|(key, entry)| (key.to_string(), entry.revision)).collect();
        assert_eq!(told, [("a".to_owned(), a), ("b".to_owned(), b)]);

        // Each is waited for, so that none can come as the last of several.
        for (n, state) in [mine, other, mine].into_iter().enumerate() {
            let revision = put(state, space, "c.d", &n.to_string()).await;
            let Change::Set(at, entry) = next(&mut changes).await else { unreachable!("it was written") };
            assert_eq!((at, entry.revision, entry.value), (key("c.d"), revision, n.to_string().into()));
        }
        for (at, state) in [("c.d", other), ("a", mine)] {
            try_remove(state, space, at, Expected::Anything).await.expect("it is removed");
            assert_eq!(next(&mut changes).await, Change::Removed(key(at)));
        }
        try_remove(mine, space, "a", Expected::Absent).await.expect("it is absent");
        let again = put(other, space, "a", "again").await;
        let Change::Set(_, entry) = next(&mut changes).await else { unreachable!("it was written") };
        assert_eq!(entry.revision, again, "removing what is absent is no change");

        // The watch that began on nothing has seen the same end.
        let mut copy = BTreeMap::new();
        while copy.get(&key("a")) != Some(&again) {
            match next(&mut empty).await {
                Change::Set(key, entry) => drop(copy.insert(key, entry.revision)),
                Change::Removed(key) => drop(copy.remove(&key)),
                Change::Current => unreachable!("it was current already"),
            }
        }
        assert_eq!(copy, BTreeMap::from([(key("a"), again), (key("b"), b)]));
    }
}

/// Written while watched, by several, faster than it is read: the last write of each key comes, and
/// revisions grow.
pub async fn a_watch_sees_every_last_write_of_others<H: Harness + ?Sized>(harness: &H) {
    const WRITES: usize = 400;
    let handles = [harness.open().await, harness.open().await];
    let mut changes = watch(&handles[0], Space::Ledger).await;
    let mut written = BTreeMap::new();
    let mut end = Revision(0);
    for n in 0..WRITES {
        let at = format!("k{}", n % 16);
        end = put(&handles[n % 2], Space::Ledger, &at, "x").await;
        written.insert(key(&at), end);
    }
    let (mut seen, mut last) = (BTreeMap::new(), Revision(0));
    while last < end {
        if let Change::Set(key, entry) = next(&mut changes).await {
            assert!(entry.revision > last, "{:?} after {last:?}", entry.revision);
            last = entry.revision;
            seen.insert(key, last);
        }
    }
    assert_eq!(seen, written);
}

/// However many there are, `Current` comes after all of them.
pub async fn a_watch_tells_thousands_and_then_that_it_is_current<H: Harness + ?Sized>(harness: &H) {
    const ENTRIES: usize = 3000;
    let state = &harness.open().await;
    let value = "v".repeat(200);
    for n in 0..ENTRIES {
        put(state, Space::Presence, &format!("u{n}"), &value).await;
    }
    for n in (0..ENTRIES).step_by(10) {
        try_remove(state, Space::Presence, &format!("u{n}"), Expected::Anything)
            .await
            .expect("it is removed");
    }
    let mut changes = watch(state, Space::Presence).await;
    let told: BTreeMap<_, _> = first(&mut changes).await.into_iter().collect();
    assert_eq!(told.len(), ENTRIES - ENTRIES / 10);
    let revision = put(state, Space::Presence, "u0", "back").await;
    let Change::Set(_, entry) = next(&mut changes).await else { unreachable!("it was written") };
    assert_eq!(entry.revision, revision);
}
