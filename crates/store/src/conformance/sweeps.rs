//! Removing what is past its time.

use std::sync::Arc;

use super::check::{at_once, event, found, record, sight, user};
use super::entries::{at, letter, message, raw, step};
use super::harness::Harness;
use crate::{Entry, EventFilter, EventStatus, Sighting, StepEntry, StoredLetter};

/// Events that ended and that never did, letters, keys of sightings, what is raw. Of an event the latest step
/// decides; a user stays.
pub async fn what_is_past_its_time_goes_and_nothing_else<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let until = |id: &str, key: &str, status, ms| {
        Entry::Step(StepEntry { expires_at: at(ms), ..step(id, key, 1, status) })
    };
    let dead = |id: &str, ms| Entry::Letter(StoredLetter { expires_at: at(ms), ..letter(id, 1) });
    let seen = |key: &str, ms| Sighting { key_expires_at: at(ms), ..message(key, "1", 1) };
    record(
        store,
        &[
            until("ended", "a", EventStatus::Finalized, 100),
            until("unfinished", "a", EventStatus::Ingested, 100),
            until("longer", "a", EventStatus::InProgress, 101),
            until("longer", "b", EventStatus::InProgress, 50),
            dead("gone", 100),
            dead("stays", 101),
            raw("gone", at(100)),
            raw("gone", at(100)),
            raw("stays", at(101)),
        ],
    )
    .await;
    sight(store, &[seen("gone", 100), seen("stays", 101)]).await;
    assert_eq!(store.sweep(at(99), 100).await.expect("it is swept"), 0);
    assert_eq!(store.sweep(at(100), 100).await.expect("it is swept"), 5);
    assert_eq!(found(store, &EventFilter::default()).await, ["longer"]);
    assert_eq!(event(store, "longer").await.1.len(), 2);
    assert_eq!(store.open_letters().await.expect("letters are counted").0, 1);
    assert!(store.begin_replay("stays").await.expect("letters are read").is_some());
    // What went is as if it had never been there: no step of the old way comes back with a new one.
    record(store, &[until("ended", "b", EventStatus::Ingested, 200)]).await;
    let (again, way) = event(store, "ended").await;
    assert_eq!((again.status, way.len(), way[0].key.as_str()), (EventStatus::Ingested, 1, "b"));
    assert_eq!(user(store, "p:1").await.messages, 2);
    let repeated: Vec<_> = sight(store, &[seen("stays", 200), seen("gone", 200)]).await;
    assert_eq!((repeated[0].is_repeated, repeated[1].is_repeated), (true, false));
    assert_eq!(user(store, "p:1").await.messages, 3);
    assert_eq!(store.sweep(at(150), 100).await.expect("it is swept"), 4);
    assert_eq!(store.sweep(at(150), 100).await.expect("it is swept"), 0);
}

/// Who gets the limit calls again.
pub async fn a_sweep_has_a_limit_and_says_when_it_is_reached<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let mut entries: Vec<Entry> = (0..25)
        .map(|n| {
            StepEntry { expires_at: at(n), ..step(&format!("e{n}"), "a", 1, EventStatus::Ingested) }.into()
        })
        .collect();
    entries.extend(
        (0..10).map(|n| Entry::Letter(StoredLetter { expires_at: at(n), ..letter(&n.to_string(), 1) })),
    );
    record(store, &entries).await;
    let mut went = Vec::new();
    loop {
        let gone = store.sweep(at(1000), 10).await.expect("it is swept");
        went.push(gone);
        if gone < 10 {
            break;
        }
    }
    assert_eq!(went, [10, 10, 10, 5]);
    assert!(found(store, &EventFilter::default()).await.is_empty());
    assert_eq!(store.sweep(at(1000), 0).await.expect("it is swept"), 0);
}

/// An event whose step was answered stays until that step may go.
pub async fn a_sweep_among_writers_takes_nothing_that_may_stay<H: Harness + ?Sized>(harness: &H) {
    const EVENTS: usize = 40;
    let stores = [harness.open().await, harness.open().await];
    let short: Vec<Entry> = (0..EVENTS)
        .map(|n| {
            StepEntry { expires_at: at(5), ..step(&format!("e{n}"), "short", 1, EventStatus::Ingested) }
                .into()
        })
        .collect();
    record(&stores[0], &short).await;
    at_once(harness, 8, |task| {
        let store = Arc::clone(&stores[task % 2]);
        async move {
            for n in (0..EVENTS).filter(|n| n % 4 == task / 2) {
                match task % 2 {
                    0 => {
                        let long = step(&format!("e{n}"), "long", 2, EventStatus::InProgress);
                        store.record(&[long.into()]).await.expect("a step is written");
                    }
                    _ => drop(store.sweep(at(10), 3).await.expect("it is swept")),
                }
            }
        }
    })
    .await;
    for n in 0..EVENTS {
        let (_, way) = event(&stores[0], &format!("e{n}")).await;
        assert!(way.iter().any(|step| step.key == "long"), "e{n}: {way:?}");
    }
    assert_eq!(stores[0].sweep(at(10), 1000).await.expect("it is swept"), 0, "all may stay now");
}
