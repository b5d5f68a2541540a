//! What outlives the last process.

use super::check::{get, listed, put, text, try_put, try_remove};
use super::harness::{Harness, HarnessExt};
use crate::{Expected, Space};

/// What was answered is there after a kill, revisions included; and they go on growing.
pub async fn durable_spaces_survive_a_kill<H: Harness + ?Sized>(harness: &H) {
    let state = harness.open().await;
    let durable = || Space::ALL.into_iter().filter(|space| space.is_durable());
    let mut revisions = Vec::new();
    for space in durable() {
        put(&state, space, "a", "1").await;
        put(&state, space, "gone", "1").await;
        revisions.push(put(&state, space, "a", "2").await);
        try_remove(&state, space, "gone", Expected::Anything).await.expect("it is removed");
    }
    drop(state);
    harness.crash().await;
    let state = harness.open().await;
    for (space, revision) in durable().zip(revisions) {
        assert_eq!(listed(&state, space, None).await, ["a"]);
        assert_eq!(text(&state, space, "a").await.as_deref(), Some("2"));
        assert_eq!(get(&state, space, "a").await.map(|entry| entry.revision), Some(revision));
        try_put(&state, space, "gone", "1", Expected::Absent).await.expect("it is absent");
        let next = try_put(&state, space, "a", "3", Expected::At(revision)).await.expect("it stands there");
        assert!(next > revision);
    }
    for space in Space::ALL {
        put(&state, space, "works", "again").await;
    }
}
