//! Dead letters.

use std::sync::Arc;

use super::check::{at_once, record, within};
use super::entries::{at, letter};
use super::harness::Harness;
use crate::{DeadLetterFilter, Entry, LetterState, Page, Store, StoredLetter};

async fn list(store: &Arc<dyn Store>, filter: &DeadLetterFilter) -> Vec<StoredLetter> {
    within("letters", store.letters(filter, &Page::default())).await.expect("letters are listed")
}

async fn settle(store: &Arc<dyn Store>, id: &str, state: LetterState) -> bool {
    within("settle", store.settle_letter(id, state)).await.expect("a letter is settled")
}

/// Whether it was begun before; `None` when it may not be.
async fn begin(store: &Arc<dyn Store>, id: &str) -> Option<bool> {
    let begun = within("begin", store.begin_replay(id)).await.expect("a replay is begun");
    begun.map(|replay| {
        assert_eq!((replay.letter.id.as_str(), replay.letter.state), (id, LetterState::Replaying));
        replay.was_begun
    })
}

/// Everything of it; the repeat may say something else.
pub async fn a_letter_comes_back_as_it_was_and_a_repeat_changes_nothing<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let bare =
        StoredLetter { error_code: None, platform: None, topic: None, original: None, ..letter("bare", 5) };
    record(store, &[Entry::Letter(letter("l", 10)), Entry::Letter(bare.clone())]).await;
    assert_eq!(list(store, &DeadLetterFilter::default()).await, [letter("l", 10), bare.clone()]);
    assert!(settle(store, "l", LetterState::Discarded).await);
    let again = StoredLetter { reason: "other".into(), at: at(99), ..letter("l", 10) };
    record(store, &[Entry::Letter(again.clone()), Entry::Letter(again)]).await;
    let discarded = StoredLetter { state: LetterState::Discarded, ..letter("l", 10) };
    assert_eq!(list(store, &DeadLetterFilter::default()).await, [discarded, bare]);
}

/// Alone and together.
pub async fn letters_are_listed_newest_first_and_filtered<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let letters = [
        letter("a", 10),
        StoredLetter { reason: "no_text".into(), ..letter("b", 20) },
        StoredLetter { platform: None, ..letter("c", 20) },
        StoredLetter { platform: Some("q".into()), correlation_id: "x".into(), ..letter("d", 30) },
    ];
    record(store, &letters.map(Entry::Letter)).await;
    assert!(settle(store, "a", LetterState::Replaying).await);
    let none = DeadLetterFilter::default;
    for (filter, wanted) in [
        (none(), vec!["d", "c", "b", "a"]),
        (DeadLetterFilter { ids: vec!["b".into(), "a".into(), "nobody".into()], ..none() }, vec!["b", "a"]),
        (DeadLetterFilter { reason: Some("no_text".into()), ..none() }, vec!["b"]),
        (DeadLetterFilter { platform: Some("p".into()), ..none() }, vec!["b", "a"]),
        (DeadLetterFilter { correlation_id: Some("x".into()), ..none() }, vec!["d"]),
        (DeadLetterFilter { since: Some(at(20)), ..none() }, vec!["d", "c", "b"]),
        (DeadLetterFilter { until: Some(at(20)), ..none() }, vec!["a"]),
        (DeadLetterFilter { state: Some(LetterState::Replaying), ..none() }, vec!["a"]),
        (
            DeadLetterFilter {
                state: Some(LetterState::Open),
                since: Some(at(11)),
                until: Some(at(30)),
                ..none()
            },
            vec!["c", "b"],
        ),
    ] {
        let ids: Vec<_> = list(store, &filter).await.into_iter().map(|letter| letter.id).collect();
        assert_eq!(ids, wanted, "{filter:?}");
    }
    let page = Page { limit: 2, offset: 1 };
    let part = store.letters(&none(), &page).await.expect("letters are listed");
    assert_eq!(part.into_iter().map(|letter| letter.id).collect::<Vec<_>>(), ["c", "b"]);
}

/// Those of any other state are not.
pub async fn open_letters_are_counted_with_the_oldest<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let open = async || within("open", store.open_letters()).await.expect("letters are counted");
    assert_eq!(open().await, (0, None));
    record(store, &[30, 10, 20].map(|ms| Entry::Letter(letter(&ms.to_string(), ms)))).await;
    assert_eq!(open().await, (3, Some(at(10))));
    assert_eq!(begin(store, "10").await, Some(false));
    assert_eq!(open().await, (2, Some(at(20))));
    assert!(settle(store, "10", LetterState::Open).await);
    assert_eq!(open().await, (3, Some(at(10))));
    for id in ["10", "20", "30"] {
        assert!(settle(store, id, LetterState::Discarded).await);
    }
    assert_eq!(open().await, (0, None));
}

/// The whole table of states.
pub async fn a_letter_that_is_done_stays_done<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    for (n, from) in LetterState::ALL.into_iter().enumerate() {
        for to in LetterState::ALL {
            let id = format!("{n} {}", to.as_str());
            record(store, &[Entry::Letter(letter(&id, 1))]).await;
            assert!(settle(store, &id, from).await);
            let is_done = matches!(from, LetterState::Replayed | LetterState::Discarded);
            assert_eq!(settle(store, &id, to).await, !is_done || from == to, "{from:?} to {to:?}");
            let now = if is_done { from } else { to };
            let filter = DeadLetterFilter { ids: vec![id.clone()], state: Some(now), ..Default::default() };
            assert_eq!(list(store, &filter).await.len(), 1, "{from:?} to {to:?}");
            let may_begin = match now {
                LetterState::Open => Some(false),
                LetterState::Replaying => Some(true),
                LetterState::Replayed | LetterState::Discarded => None,
            };
            assert_eq!(begin(store, &id).await, may_begin, "{now:?}");
        }
    }
    assert!(!settle(store, "nobody", LetterState::Discarded).await);
    assert_eq!(begin(store, "nobody").await, None);
}

/// All others are told that it was begun; none may once it is replayed.
pub async fn of_replays_begun_at_one_moment_one_is_the_first<H: Harness + ?Sized>(harness: &H) {
    let stores = [harness.open().await, harness.open().await];
    let letters: Vec<_> = (0..5).map(|n| Entry::Letter(letter(&n.to_string(), n))).collect();
    record(&stores[0], &letters).await;
    for round in 0..5 {
        let begun = at_once(harness, 8, |n| {
            let store = Arc::clone(&stores[n % 2]);
            async move { begin(&store, &round.to_string()).await }
        })
        .await;
        assert_eq!(begun.iter().filter(|begun| **begun == Some(false)).count(), 1, "{begun:?}");
        assert_eq!(begun.iter().filter(|begun| **begun == Some(true)).count(), 7, "{begun:?}");
        assert!(settle(&stores[0], &round.to_string(), LetterState::Replayed).await);
        assert_eq!(begin(&stores[1], &round.to_string()).await, None);
    }
}

/// Whoever wanted the other is told that it is not so.
pub async fn of_decisions_about_a_letter_at_one_moment_one_holds<H: Harness + ?Sized>(harness: &H) {
    let stores = [harness.open().await, harness.open().await];
    for round in 0..5 {
        let id = round.to_string();
        record(&stores[0], &[Entry::Letter(letter(&id, 1))]).await;
        let settled = at_once(harness, 8, |n| {
            let (store, id) = (Arc::clone(&stores[n % 2]), id.clone());
            let state = if n < 4 { LetterState::Replayed } else { LetterState::Discarded };
            async move { (state, settle(&store, &id, state).await) }
        })
        .await;
        let filter = DeadLetterFilter { ids: vec![id], ..Default::default() };
        let holds = list(&stores[1], &filter).await.remove(0).state;
        for (wanted, is_so) in settled {
            assert_eq!(is_so, wanted == holds, "{wanted:?} where {holds:?} holds");
        }
    }
}
