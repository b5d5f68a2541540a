//! Ids by logins.

use std::sync::Arc;

use chatbus_connector::{Account, Credential};
use chatbus_platform_twitch::helix::users::Users;
use chatbus_platform_twitch::helix::{Helix, HelixError};
use serde_json::{Value, json};

use super::{FakeTwitch, Reply, bot, clock, no};

/// Knows everybody but `nobody`.
async fn twitch() -> FakeTwitch {
    FakeTwitch::start(|asked, _| {
        if asked.path == "/oauth2/token" {
            return Reply::Json(200, json!({"access_token":"app","expires_in":3600}));
        }
        let users: Vec<Value> = asked
            .query
            .split('&')
            .filter_map(|pair| match pair.split_once('=').unwrap() {
                (_, "nobody") => None,
                ("login", login) => Some(json!({"id": format!("id-of-{login}"), "login": login})),
                (_, id) => Some(json!({"id": id, "login": id.trim_start_matches("id-of-")})),
            })
            .collect();
        Reply::Json(200, json!({ "data": users }))
    })
    .await
}

fn users(twitch: &FakeTwitch, credential: Credential) -> Users {
    Users::new(Helix::new(twitch.config(), Account::fixed(credential), clock()), clock())
}

#[tokio::test]
async fn whoever_was_asked_for_is_remembered_both_ways_and_nobody_is_too() {
    let twitch = twitch().await;
    let users = users(&twitch, bot("t-1", &[]));
    for login in ["ada", "#Ada", "ada"] {
        assert_eq!(users.id_of(login).await.unwrap().as_deref(), Some("id-of-ada"));
    }
    assert_eq!(users.login_of("id-of-ada").await.unwrap().as_deref(), Some("ada"));
    for _ in 0..2 {
        assert_eq!(users.id_of("nobody").await.unwrap(), None);
    }
    assert_eq!(twitch.asked().len(), 2);
    assert_eq!(users.login_of("id-of-bob").await.unwrap().as_deref(), Some("bob"));
    assert_eq!(users.id_of("bob").await.unwrap().as_deref(), Some("id-of-bob"));
    assert_eq!(twitch.asked().len(), 3);
}

#[tokio::test]
async fn many_are_asked_for_a_hundred_at_a_time_each_in_its_place() {
    let twitch = twitch().await;
    let users = users(&twitch, bot("t-1", &[]));
    let mut logins: Vec<Arc<str>> = (0..250).map(|n| format!("user{n}").into()).collect();
    logins[120] = "nobody".into();
    users.id_of("user7").await.unwrap();
    let ids = users.ids_of(&logins).await.unwrap();
    for (login, id) in logins.iter().zip(&ids) {
        let expected = (&**login != "nobody").then(|| format!("id-of-{login}"));
        assert_eq!(id.as_deref(), expected.as_deref(), "{login}");
    }
    let sizes: Vec<usize> = twitch.asked().iter().map(|asked| asked.query.split('&').count()).collect();
    assert_eq!(sizes, [1, 100, 100, 49]);
}

#[tokio::test]
async fn without_an_account_the_application_asks() {
    let twitch = twitch().await;
    let users = users(&twitch, Credential::default());
    assert_eq!(users.id_of("ada").await.unwrap().as_deref(), Some("id-of-ada"));
    assert_eq!(twitch.asked_of("/helix/users")[0].authorization, "Bearer app");
}

#[tokio::test]
async fn what_is_no_answer_is_not_remembered() {
    let twitch = FakeTwitch::start(|_, before| match before {
        0 => no(500, "oops"),
        1 => no(429, "slow"),
        2 => no(400, "bad"),
        _ => Reply::Json(200, json!({"data":[{"id":"1","login":"ada"}]})),
    })
    .await;
    let users = users(&twitch, bot("t-1", &[]));
    assert!(matches!(users.id_of("ada").await, Err(HelixError::Unreachable(_))));
    assert!(matches!(users.id_of("ada").await, Err(HelixError::Limited(_))));
    assert_eq!(users.id_of("ada").await, Err(HelixError::Denied("bad".to_owned())));
    assert_eq!(users.id_of("ada").await.unwrap().as_deref(), Some("1"));
}
