//! Counting who was seen.

use std::sync::Arc;

use super::check::{at_once, sight, user};
use super::entries::{at, message};
use super::harness::Harness;
use crate::{Sighting, User, UserChange, UserStatus};

/// What was told, and what of it is not told again.
pub async fn a_first_sighting_makes_a_user_and_later_ones_change_it<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    assert_eq!(store.user("p:1:2").await.expect("users are read"), None);
    let first = Sighting {
        login: Some("alice".into()),
        display_name: Some("Alice 🦀".into()),
        is_message: false,
        ..message("a", "1:2", 10)
    };
    let seen = sight(store, &[first]).await.remove(0);
    assert!(seen.is_new && !seen.is_first_message && !seen.is_first_in_session && !seen.is_repeated);
    let wanted = User {
        login: Some("alice".into()),
        display_name: Some("Alice 🦀".into()),
        ..User::first_seen(&message("a", "1:2", 10))
    };
    assert_eq!(seen.user, wanted);
    assert_eq!((wanted.id.as_str(), wanted.provider_user_id.as_str()), ("p:1:2", "1:2"));
    let second = Sighting { email: Some("a@example.org".into()), ..message("b", "1:2", 20) };
    let seen = sight(store, &[second]).await.remove(0);
    assert!(!seen.is_new && seen.is_first_message && seen.is_first_in_session);
    let wanted = User {
        email: Some("a@example.org".into()),
        last_seen_at: at(20),
        messages: 1,
        sessions: 1,
        session_started_at: Some(at(20)),
        last_message_at: Some(at(20)),
        ..wanted
    };
    assert_eq!(seen.user, wanted);
    assert_eq!(user(store, "p:1:2").await, wanted);
}

/// Many tasks, each with sightings that only it has and some that others have too, about a few users in orders
/// of their own.
pub async fn sightings_at_one_moment_are_counted_exactly<H: Harness + ?Sized>(harness: &H) {
    const TASKS: usize = 16;
    const CALLS: usize = 4;
    const USERS: usize = 5;
    let stores = [harness.open().await, harness.open().await];
    let answers = at_once(harness, TASKS, |task| {
        let store = Arc::clone(&stores[task % 2]);
        async move {
            let mut firsts = Vec::new();
            for call in 0..CALLS {
                let user = |n: usize| ((n + task) % USERS).to_string();
                let own = (0..USERS).map(|n| message(&format!("{task} {call} {n}"), &user(n), 5));
                // Every task of a call hands these over.
                let shared = (0..USERS).map(|n| message(&format!("all {call} {}", user(n)), &user(n), 5));
                let batch: Vec<_> = own.chain(shared).collect();
                firsts.extend(store.sight(&batch).await.expect("every call is counted"));
            }
            firsts
        }
    })
    .await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    let count = |which: fn(&crate::Seen) -> bool| answers.iter().filter(|seen| which(seen)).count();
    assert_eq!(count(|seen| !seen.is_repeated && seen.is_new), USERS, "each user was new once");
    assert_eq!(count(|seen| !seen.is_repeated && seen.is_first_message), USERS);
    assert_eq!(count(|seen| !seen.is_repeated && seen.is_first_in_session), USERS);
    assert_eq!(count(|seen| seen.is_repeated), (TASKS - 1) * CALLS * USERS);
    for n in 0..USERS {
        let user = user(&stores[0], &format!("p:{n}")).await;
        assert_eq!((user.messages, user.sessions), ((TASKS * CALLS + CALLS) as u64, 1), "{n}");
    }
}

/// And each answer is as after its own.
pub async fn sightings_of_one_call_count_each<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let batch: Vec<_> =
        (0..6).map(|n| message(&n.to_string(), if n % 2 == 0 { "even" } else { "odd" }, n)).collect();
    let seen = sight(store, &batch).await;
    for (n, seen) in seen.iter().enumerate() {
        assert_eq!(seen.user.messages, n as u64 / 2 + 1);
        assert_eq!((seen.is_new, seen.is_first_message, seen.is_first_in_session), (n < 2, n < 2, n < 2));
    }
    assert_eq!(user(store, "p:even").await, seen[4].user);
    assert!(sight(store, &[]).await.is_empty());
}

/// The user is as now.
pub async fn a_repeated_sighting_counts_nothing_and_is_answered_as_the_first_time<H: Harness + ?Sized>(
    harness: &H,
) {
    let stores = [harness.open().await, harness.open().await];
    let batch =
        [Sighting { is_message: false, ..message("a", "1", 1) }, message("b", "1", 2), message("c", "1", 3)];
    let first = sight(&stores[0], &batch).await;
    sight(&stores[0], &[Sighting { login: Some("later".into()), ..message("d", "1", 4) }]).await;
    let now = user(&stores[0], "p:1").await;
    for store in &stores {
        let mut again = batch.clone();
        again[2].login = Some("told with the repeat".into());
        again[2].at = at(99);
        again.reverse();
        let mut seen = sight(store, &again).await;
        seen.reverse();
        for (first, again) in first.iter().zip(seen) {
            assert!(again.is_repeated && !first.is_repeated);
            assert_eq!(
                (again.is_new, again.is_first_message, again.is_first_in_session),
                (first.is_new, first.is_first_message, first.is_first_in_session)
            );
            assert_eq!(again.user, now);
        }
        assert_eq!(user(store, "p:1").await, now);
    }
}

/// The second is the repeat.
pub async fn a_key_twice_in_one_call_counts_once<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let seen = sight(store, &[message("k", "1", 1), message("k", "1", 1), message("other", "1", 1)]).await;
    let repeated: Vec<_> = seen.iter().map(|seen| seen.is_repeated).collect();
    assert_eq!(repeated, [false, true, false]);
    assert!(seen[1].is_new && seen[1].is_first_message && !seen[2].is_new);
    assert_eq!(user(store, "p:1").await.messages, 2);
}

/// Neither is written over the other's work.
pub async fn a_change_by_people_is_not_lost_among_sightings<H: Harness + ?Sized>(harness: &H) {
    const TASKS: usize = 12;
    let stores = [harness.open().await, harness.open().await];
    sight(&stores[0], &[message("first", "1", 1)]).await;
    at_once(harness, TASKS, |n| {
        let store = Arc::clone(&stores[n % 2]);
        async move {
            let change = match n {
                3 => UserChange { status: Some(UserStatus::Banned), ..UserChange::default() },
                6 => UserChange { tags: Some(vec!["vip".into()]), ..UserChange::default() },
                9 => UserChange { notes: Some("nice".into()), ..UserChange::default() },
                _ => {
                    for call in 0..5 {
                        sight(&store, &[message(&format!("{n} {call}"), "1", 2)]).await;
                    }
                    return;
                }
            };
            store.change_user("p:1", &change).await.expect("a user is changed").expect("the user is there");
        }
    })
    .await;
    let now = user(&stores[1], "p:1").await;
    assert_eq!(now.messages, 1 + (TASKS as u64 - 3) * 5);
    assert_eq!((now.status, now.tags.as_slice()), (UserStatus::Banned, &[String::from("vip")][..]));
    assert_eq!(now.notes.as_deref(), Some("nice"));
}
