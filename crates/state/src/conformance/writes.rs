//! Writing and removing, and what that depends on.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::check::{assert_conflict, get, key, put, text, try_put, try_remove, within};
use super::harness::{Harness, HarnessExt};
use crate::{Expected, MAX_VALUE_BYTES, Revision, Space, StateErrorKind};

/// Writers that expect the same, at the same moment and on several handles: one succeeds, and its value
/// is what stands there.
pub async fn of_writers_that_expect_the_same_one_wins<H: Harness + ?Sized>(harness: &H) {
    const WRITERS: usize = 16;
    let handles = [harness.open().await, harness.open().await];
    let mut expected = Expected::Absent;
    for round in 0..5 {
        let (tell, mut told) = mpsc::channel(WRITERS);
        for writer in 0..WRITERS {
            let (state, tell) = (handles[writer % 2].clone(), tell.clone());
            harness.runtime().spawn("conformance.writer", async move {
                let value = format!("{round}/{writer}");
                let written = try_put(&state, Space::Ledger, "contested", &value, expected).await;
                let _ = tell.send((value, written)).await;
            });
        }
        drop(tell);
        let mut won = Vec::new();
        while let Some((value, written)) = within("all writers", told.recv()).await {
            match written {
                Ok(revision) => won.push((value, revision)),
                lost => assert_conflict(&lost, "a writer that lost"),
            }
        }
        assert_eq!(won.len(), 1, "of {WRITERS} writers these won: {won:?}");
        let (value, revision) = won.remove(0);
        for state in &handles {
            let there = get(state, Space::Ledger, "contested").await.expect("the winner's value stands");
            assert_eq!((there.value, there.revision), (Bytes::from(value.clone()), revision));
        }
        expected = Expected::At(revision);
    }
}

/// `Absent`, `At` and `Anything`, on what is there and on what is not.
pub async fn a_write_happens_only_when_what_is_expected_stands_there<H: Harness + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    let space = Space::Leases;
    assert_conflict(&try_put(state, space, "a", "x", Expected::At(Revision(7))).await, "nothing is there");
    let first = try_put(state, space, "a", "1", Expected::Absent).await.expect("it is absent");
    assert_conflict(&try_put(state, space, "a", "x", Expected::Absent).await, "something is there");
    let second = try_put(state, space, "a", "2", Expected::At(first)).await.expect("it stands there");
    assert_conflict(&try_put(state, space, "a", "x", Expected::At(first)).await, "it was written since");
    assert_eq!(text(state, space, "a").await.as_deref(), Some("2"), "a conflict changed something");
    let third = try_put(state, space, "a", "3", Expected::Anything).await.expect("anything will do");
    assert!(first < second && second < third);
    assert!(try_put(state, space, "b", "1", Expected::Anything).await.is_ok());
    assert_eq!(text(state, space, "a").await.as_deref(), Some("3"));
}

/// The same for removals; removing what is absent is no error when that is no surprise.
pub async fn a_removal_happens_only_when_what_is_expected_stands_there<H: Harness + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    let space = Space::Tokens;
    for expected in [Expected::Absent, Expected::Anything] {
        try_remove(state, space, "a", expected).await.expect("what is absent is removed");
    }
    assert_conflict(&try_remove(state, space, "a", Expected::At(Revision(7))).await, "nothing is there");
    let first = put(state, space, "a", "1").await;
    let second = put(state, space, "a", "2").await;
    assert_conflict(&try_remove(state, space, "a", Expected::Absent).await, "something is there");
    assert_conflict(&try_remove(state, space, "a", Expected::At(first)).await, "it was written since");
    assert_eq!(text(state, space, "a").await.as_deref(), Some("2"), "a conflict removed something");
    try_remove(state, space, "a", Expected::At(second)).await.expect("it stands there");
    assert_eq!(get(state, space, "a").await, None);
    assert_conflict(&try_remove(state, space, "a", Expected::At(second)).await, "it is gone");
    put(state, space, "a", "3").await;
    try_remove(state, space, "a", Expected::Anything).await.expect("anything will do");
    assert_eq!(get(state, space, "a").await, None);
}

/// What was removed is absent in every respect, for the one who removed it and for others.
pub async fn what_was_removed_can_be_written_again<H: Harness + ?Sized>(harness: &H) {
    let handles = [harness.open().await, harness.open().await];
    let mut last = Revision(0);
    for round in 0..6 {
        let (mine, other) = (&handles[round % 2], &handles[(round + 1) % 2]);
        let written = try_put(mine, Space::Presence, "a.b", "x", Expected::Absent).await;
        let revision = written.expect("it is absent");
        assert!(revision > last, "{revision:?} after {last:?}");
        last = revision;
        let gone = try_remove(other, Space::Presence, "a.b", Expected::At(revision)).await;
        gone.expect("it stands there");
        assert_eq!(get(mine, Space::Presence, "a.b").await, None);
        let was = Expected::At(revision);
        assert_conflict(&try_put(mine, Space::Presence, "a.b", "x", was).await, "it is gone");
        try_remove(mine, Space::Presence, "a.b", Expected::Absent).await.expect("it is absent");
    }
}

/// Over the keys of a space, removals in between included.
pub async fn every_write_has_a_larger_revision<H: Harness + ?Sized>(harness: &H) {
    let handles = [harness.open().await, harness.open().await];
    let mut last = Revision(0);
    for n in 0..30 {
        let at = format!("k{}", n % 4);
        if n % 5 == 4 {
            try_remove(&handles[0], Space::Budgets, &at, Expected::Anything).await.expect("it is removed");
        }
        let revision = put(&handles[n % 2], Space::Budgets, &at, "x").await;
        assert!(revision > last, "{revision:?} after {last:?}");
        let there = get(&handles[0], Space::Budgets, &at).await.expect("it was written");
        assert_eq!(there.revision, revision);
        last = revision;
    }
}

/// The limit itself is allowed.
pub async fn a_value_over_the_limit_is_refused_and_changes_nothing<H: Harness + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    for space in [Space::Presence, Space::Ledger] {
        let whole = Bytes::from(vec![b'x'; MAX_VALUE_BYTES]);
        let written = within("put", state.put(space, &key("a"), whole.clone(), Expected::Absent)).await;
        written.expect("the largest value is taken");
        let over = Bytes::from(vec![b'y'; MAX_VALUE_BYTES + 1]);
        let refused = within("put", state.put(space, &key("a"), over, Expected::Anything)).await;
        let refused = refused.expect_err("it is over the limit");
        assert_eq!(refused.kind(), StateErrorKind::TooLarge, "{refused}");
        assert_eq!(get(state, space, "a").await.map(|entry| entry.value), Some(whole));
    }
}

/// A key of one space is not one of another.
pub async fn spaces_are_apart<H: Harness + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    for space in Space::ALL {
        try_put(state, space, "same", space.name(), Expected::Absent).await.expect("it is absent");
    }
    try_remove(state, Space::Ledger, "same", Expected::Anything).await.expect("it is removed");
    for space in Space::ALL {
        let there = text(state, space, "same").await;
        assert_eq!(there.as_deref(), (space != Space::Ledger).then(|| space.name()));
    }
}
