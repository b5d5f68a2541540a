//! Users: their sessions, their roles, and finding them.

use super::check::{sight, user, within};
use super::entries::{at, message, roles};
use super::harness::Harness;
use crate::{Page, Sighting, User, UserChange, UserFilter, UserStatus};

/// And no message that comes late ends one.
pub async fn a_session_begins_after_a_day_of_silence<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let day = User::SESSION_MILLIS;
    for (n, (ms, begins)) in
        [(0, true), (day - 1, false), (day, false), (3 * day, true), (0, false), (4 * day - 1, false)]
            .into_iter()
            .enumerate()
    {
        let seen = sight(store, &[message(&n.to_string(), "1", ms)]).await.remove(0);
        assert_eq!(seen.is_first_in_session, begins, "{n}");
        assert_eq!(seen.is_first_message, n == 0);
    }
    let looked = Sighting { is_message: false, ..message("looked", "1", 9 * day) };
    assert!(!sight(store, &[looked]).await[0].is_first_in_session);
    let now = user(store, "p:1").await;
    assert_eq!((now.messages, now.sessions), (6, 2));
    assert_eq!((now.session_started_at, now.last_message_at), (Some(at(3 * day)), Some(at(4 * day - 1))));
    assert_eq!(now.last_seen_at, at(9 * day));
}

/// By platforms and by hand, each for itself.
pub async fn roles_are_given_and_taken_away<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let told = |key: &str, ms, list: &[&str]| Sighting { roles: roles(list), ..message(key, "1", ms) };
    sight(store, &[told("a", 1, &["moderator", "vip"])]).await;
    assert_eq!(user(store, "p:1").await.roles(), ["moderator", "vip"]);
    // Not told is not taken.
    sight(store, &[message("b", "1", 2)]).await;
    assert_eq!(user(store, "p:1").await.roles(), ["moderator", "vip"]);
    let by_hand =
        UserChange { granted_roles: Some(vec!["owner".into(), "vip".into()]), ..UserChange::default() };
    let changed = store.change_user("p:1", &by_hand).await.expect("a user is changed").expect("it is there");
    assert_eq!(changed, user(store, "p:1").await);
    assert_eq!(changed.roles(), ["moderator", "owner", "vip"]);
    sight(store, &[told("c", 3, &["subscriber"])]).await;
    assert_eq!(user(store, "p:1").await.roles(), ["owner", "subscriber", "vip"]);
    let seen = sight(store, &[told("d", 4, &[])]).await.remove(0);
    assert_eq!(seen.user.roles(), ["owner", "vip"]);
    let none = UserChange { granted_roles: Some(Vec::new()), ..UserChange::default() };
    store.change_user("p:1", &none).await.expect("a user is changed");
    assert!(user(store, "p:1").await.roles().is_empty());
}

/// It counts all the same.
pub async fn an_older_sighting_changes_no_name_and_no_role<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let told = |key: &str, ms, name: &str, role: &str| Sighting {
        login: Some(name.to_owned()),
        roles: roles(&[role]),
        ..message(key, "1", ms)
    };
    sight(store, &[told("a", 10, "new", "vip")]).await;
    let late = Sighting { display_name: Some("Only Here".into()), ..told("b", 5, "old", "moderator") };
    sight(store, &[late]).await;
    let now = user(store, "p:1").await;
    assert_eq!((now.login.as_deref(), now.roles()), (Some("new"), vec!["vip"]));
    assert_eq!(
        now.display_name.as_deref(),
        Some("Only Here"),
        "what nobody told since is better than nothing"
    );
    assert_eq!((now.messages, now.first_seen_at, now.last_seen_at), (2, at(5), at(10)));
}

/// By a name in any case, by platform, by status; changes are seen by it.
pub async fn users_are_listed_the_last_seen_first_and_filtered<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let named = |key: &str, ms, login: &str, shown: &str| Sighting {
        login: Some(login.to_owned()),
        display_name: Some(shown.to_owned()),
        ..message(key, key, ms)
    };
    let elsewhere = Sighting { provider: "q".into(), ..named("c", 30, "carol", "ÉLISE") };
    sight(
        store,
        &[named("a", 10, "alice", "Élise"), named("b", 20, "élise", "Bob"), elsewhere, message("d", "d", 20)],
    )
    .await;
    sight(store, &[message("again", "a", 40)]).await;
    let ban =
        UserChange { status: Some(UserStatus::Banned), notes: Some("spam".into()), ..UserChange::default() };
    let banned = store.change_user("p:b", &ban).await.expect("a user is changed").expect("it is there");
    assert_eq!((banned.status, banned.notes.as_deref()), (UserStatus::Banned, Some("spam")));
    let none = UserFilter::default;
    let name = |name: &str| UserFilter { name: Some(name.into()), ..none() };
    for (filter, wanted) in [
        (none(), vec!["p:a", "q:c", "p:d", "p:b"]),
        (name("ÉlIsE"), vec!["p:a", "q:c", "p:b"]),
        (name("ALICE"), vec!["p:a"]),
        (name("ali"), vec![]),
        (name("%"), vec![]),
        (UserFilter { provider: Some("q".into()), ..none() }, vec!["q:c"]),
        (UserFilter { provider: Some("p".into()), ..name("élise") }, vec!["p:a", "p:b"]),
        (UserFilter { status: Some(UserStatus::Banned), ..none() }, vec!["p:b"]),
        (UserFilter { status: Some(UserStatus::Active), ..name("élise") }, vec!["p:a", "q:c"]),
    ] {
        let users = within("users", store.users(&filter, &Page::default())).await.expect("users are listed");
        let ids: Vec<_> = users.into_iter().map(|user| user.id).collect();
        assert_eq!(ids, wanted, "{filter:?}");
    }
    let part = store.users(&none(), &Page { limit: 2, offset: 1 }).await.expect("users are listed");
    assert_eq!(part.into_iter().map(|user| user.id).collect::<Vec<_>>(), ["q:c", "p:d"]);
    let back =
        UserChange { status: Some(UserStatus::Active), notes: Some(String::new()), ..UserChange::default() };
    let back = store.change_user("p:b", &back).await.expect("a user is changed").expect("it is there");
    assert_eq!((back.status, back.notes), (UserStatus::Active, None));
    assert_eq!(store.change_user("p:nobody", &UserChange::default()).await.expect("nothing is done"), None);
}
