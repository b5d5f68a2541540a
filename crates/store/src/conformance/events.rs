//! Events and their way.

use std::sync::Arc;

use bytes::Bytes;

use super::check::{at_once, event, found, orders, record, within};
use super::entries::{at, facts, never, received, step};
use super::harness::Harness;
use crate::{Entry, EventFacts, EventFilter, EventStatus, StepEntry};

/// With everything that was written of it; another event's way is another.
pub async fn an_event_is_read_with_its_way_in_the_order_of_time<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let told = EventFacts { user_name: Some("Alice".into()), ..facts("#c", "p:1", "Hello") };
    let routed = step("e", "b", 20, EventStatus::InProgress);
    let same_moment = step("e", "a", 20, EventStatus::InProgress);
    let other = step("other", "a", 1, EventStatus::Error);
    let first = received("e", 10, told.clone());
    record(store, &[routed.clone().into(), same_moment.into(), other.into(), first]).await;
    let (stored, way) = event(store, "e").await;
    assert_eq!(stored.correlation_id, "e");
    assert_eq!(stored.status, EventStatus::InProgress);
    assert_eq!(stored.facts, told);
    assert_eq!((stored.first_at, stored.last_at), (at(10), at(20)));
    assert_eq!(stored.body, Some(Bytes::from_static(b"{\"event\":\"e\"}")));
    let keys: Vec<_> = way.iter().map(|step| step.key.as_str()).collect();
    assert_eq!(keys, ["received", "a", "b"], "by time and then by key");
    let last = way.last().expect("there are three");
    assert_eq!((&last.name, last.at, &last.detail), (&routed.name, routed.at, &routed.detail));
    assert_eq!(last.snapshot, None);
    assert_eq!(within("event", store.event("nobody")).await.expect("it is read"), None);
}

/// One step a call, or all in one: how far it is, what was told, when, and its body.
pub async fn an_event_is_the_same_whatever_order_its_steps_come_in<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let steps = |id: &str| {
        let told = |user: &str, name: Option<&str>| {
            Some(EventFacts {
                user_id: Some(user.into()),
                user_name: name.map(str::to_owned),
                ..EventFacts::default()
            })
        };
        let body = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        [
            StepEntry {
                facts: Some(facts("#c", "1", "Hi")),
                snapshot: body("received"),
                ..step(id, "received", 30, EventStatus::Ingested)
            },
            // Its clock is behind; auth knows more all the same.
            StepEntry {
                facts: told("p:1", Some("Alice")),
                snapshot: body("enriched"),
                ..step(id, "enriched", 20, EventStatus::InProgress)
            },
            StepEntry { facts: told("p:1", None), ..step(id, "outcome", 50, EventStatus::Finalized) },
            StepEntry { snapshot: body("late"), ..step(id, "dead_letter", 40, EventStatus::Error) },
        ]
    };
    for (n, order) in orders(&[0, 1, 2, 3]).into_iter().enumerate() {
        for in_one_call in [true, false] {
            let id = format!("{n} {in_one_call}");
            let steps = steps(&id);
            let entries: Vec<Entry> = order.iter().map(|&step| steps[step].clone().into()).collect();
            for call in entries.chunks(if in_one_call { 4 } else { 1 }) {
                record(store, call).await;
            }
            let (stored, way) = event(store, &id).await;
            assert_eq!(stored.status, EventStatus::Error, "{order:?}");
            let wanted = EventFacts { user_name: Some("Alice".into()), ..facts("#c", "p:1", "Hi") };
            assert_eq!(stored.facts, wanted, "{order:?}");
            assert_eq!((stored.first_at, stored.last_at), (at(20), at(50)), "{order:?}");
            assert_eq!(stored.body, Some(Bytes::from_static(b"late")), "{order:?}");
            let keys: Vec<_> = way.into_iter().map(|step| step.key).collect();
            assert_eq!(keys, ["enriched", "received", "dead_letter", "outcome"], "{order:?}");
        }
    }
}

/// In another call or in the same one.
pub async fn a_repeated_step_changes_nothing_but_how_far_the_event_is<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let first = received("e", 10, facts("#c", "1", "first"));
    record(store, &[first.clone(), step("e", "x", 15, EventStatus::Ingested).into()]).await;
    let (stored, way) = event(store, "e").await;
    record(store, std::slice::from_ref(&first)).await;
    assert_eq!(event(store, "e").await, (stored.clone(), way.clone()), "the very same");
    let again = |status| StepEntry {
        name: "other".into(),
        detail: Bytes::from_static(b"other"),
        snapshot: Some(Bytes::from_static(b"other")),
        facts: Some(facts("#other", "2", "second")),
        expires_at: at(-1),
        ..step("e", "received", 99, status)
    };
    record(store, &[again(EventStatus::Finalized).into()]).await;
    let (now, way_now) = event(store, "e").await;
    assert_eq!(now.status, EventStatus::Finalized, "its status counts");
    assert_eq!(way_now, way);
    assert_eq!((now.facts, now.last_at, now.body), (stored.facts, stored.last_at, stored.body));
    // The same with a step that is not known yet.
    let fresh = |ms, status| Entry::Step(step("e", "fresh", ms, status));
    record(store, &[fresh(20, EventStatus::Ingested), fresh(70, EventStatus::Error)]).await;
    let (now, _) = event(store, "e").await;
    assert_eq!((now.status, now.last_at), (EventStatus::Error, at(20)));
}

/// Also in lists.
pub async fn the_body_is_that_of_the_last_step_with_one<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let with = |key: &str, ms, body: &'static str| {
        let snapshot = Some(Bytes::from_static(body.as_bytes()));
        Entry::Step(StepEntry { snapshot, ..step("e", key, ms, EventStatus::InProgress) })
    };
    record(store, &[step("e", "none", 90, EventStatus::InProgress).into()]).await;
    assert_eq!(event(store, "e").await.0.body, None);
    for (entry, body) in [
        (with("b", 20, "second"), "second"),
        (with("a", 10, "first"), "second"),
        (with("c", 20, "third"), "third"),
    ] {
        record(store, &[entry]).await;
        let listed = within("events", store.events(&EventFilter::default(), &Default::default())).await;
        let listed = listed.expect("events are listed");
        assert_eq!(event(store, "e").await.0.body, Some(Bytes::from_static(body.as_bytes())));
        assert_eq!(listed[0].body, Some(Bytes::from_static(body.as_bytes())));
    }
}

/// Each call has a step for each event, in an order of its own, and one that all calls have.
pub async fn calls_about_the_same_events_at_one_moment_lose_nothing<H: Harness + ?Sized>(harness: &H) {
    const EVENTS: usize = 20;
    /// Each has no divisor in common with the number of events: it goes through all of them.
    const STRIDES: [usize; 8] = [1, 3, 7, 9, 11, 13, 17, 19];
    const CALLS: usize = STRIDES.len();
    let stores = [harness.open().await, harness.open().await];
    let answers = at_once(harness, CALLS, |n| {
        let store = Arc::clone(&stores[n % 2]);
        async move {
            let id = |event: usize| format!("e{}", (event * STRIDES[n] + n) % EVENTS);
            let all_have = |event| Entry::Step(step(&id(event), "same", 5, EventStatus::Ingested));
            let mine = |event| {
                let ms = i64::try_from(n).unwrap_or_default();
                Entry::Step(step(&id(event), &format!("s{n}"), ms, EventStatus::ALL[n % 4]))
            };
            let entries: Vec<_> = (0..EVENTS).flat_map(|event| [mine(event), all_have(event)]).collect();
            store.record(&entries).await
        }
    })
    .await;
    answers.into_iter().for_each(|answer| answer.expect("every call is written"));
    for n in 0..EVENTS {
        let (stored, way) = event(&stores[0], &format!("e{n}")).await;
        let missing: Vec<_> =
            (0..CALLS).filter(|n| !way.iter().any(|step| step.key == format!("s{n}"))).collect();
        assert!(missing.is_empty(), "e{n} lacks the steps of {missing:?}");
        assert_eq!(way.iter().filter(|step| step.key == "same").count(), 1);
        assert_eq!(stored.status, EventStatus::Error);
    }
}

/// While calls of 50 events each are written, one after the other.
pub async fn whoever_reads_sees_all_of_a_call_or_nothing<H: Harness + ?Sized>(harness: &H) {
    const EVENTS: usize = 50;
    let (store, other) = (harness.open().await, harness.open().await);
    let writer = Arc::clone(&store);
    let (done, mut is_done) = tokio::sync::oneshot::channel();
    harness.runtime().spawn("conformance.writer", async move {
        for call in 0..10 {
            let entries: Vec<_> =
                (0..EVENTS).map(|n| received(&format!("{call} {n}"), call, facts("#c", "1", "x"))).collect();
            writer.record(&entries).await.expect("the store takes entries");
        }
        let _ = done.send(());
    });
    loop {
        let ended = is_done.try_recv().is_ok();
        for reader in [&store, &other] {
            let seen = found(reader, &EventFilter::default()).await.len();
            assert_eq!(seen % EVENTS, 0, "{seen} events");
            assert!(!ended || seen == 10 * EVENTS, "{seen} at the end");
        }
        if ended {
            return;
        }
    }
}

/// Steps, letters, sources and what is raw.
pub async fn ten_thousand_entries_are_one_call<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let mut entries: Vec<Entry> =
        (0..3000).map(|n| received(&format!("e{n}"), n, facts("#c", "1", "x"))).collect();
    for (n, key) in ["enriched", "routed"].into_iter().enumerate() {
        entries.extend((0..3000).map(|event| {
            let id = format!("e{event}");
            Entry::Step(step(&id, key, event + i64::try_from(n).unwrap_or(0), EventStatus::InProgress))
        }));
    }
    entries.extend((0..400).map(|n| Entry::Letter(super::entries::letter(&format!("l{n}"), n))));
    entries.extend((0..300).map(|n| Entry::Source(super::entries::source(&format!("s{n}"), n))));
    entries.extend((0..300).map(|n| super::entries::raw(&format!("r{n}"), never())));
    assert_eq!(entries.len(), 10_000);
    for _ in 0..2 {
        record(store, &entries).await;
    }
    for n in [0, 1499, 2999] {
        assert_eq!(event(store, &format!("e{n}")).await.1.len(), 3);
    }
    assert_eq!(store.open_letters().await.expect("letters are counted"), (400, Some(at(0))));
    assert_eq!(store.sources().await.expect("sources are listed").len(), 300);
}
