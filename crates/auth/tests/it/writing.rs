//! Tags, roles and what else is written of a user.

use chatbus_store::{UserChange, UserStatus, Users};
use serde_json::json;

use crate::fixture::{Fixture, chat, list, record};

const DAY: i64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn a_new_user_gets_the_tags_of_its_first_message_and_later_that_it_is_back() {
    let f = Fixture::new();
    let tags = async |record| {
        let event = f.enrich(&record).await;
        list(&event["user"]["tags"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let first = ["PROVIDER_TWITCH", "NEW_USER", "FIRST_ALLTIME_MESSAGE", "FIRST_SESSION_MESSAGE"];
    assert_eq!(tags(chat("m1", 0, "1", &[])).await, first);
    assert_eq!(tags(chat("m2", 5, "1", &[])).await, ["PROVIDER_TWITCH", "RETURNING_USER"]);
    let again = ["PROVIDER_TWITCH", "FIRST_SESSION_MESSAGE", "RETURNING_USER"];
    assert_eq!(tags(chat("m3", 5 + DAY, "1", &[])).await, again);
    assert_eq!(tags(chat("m1", 0, "1", &[])).await, first, "handed over again, it is tagged otherwise");
    assert_eq!(f.store.user("twitch:1").await.unwrap().unwrap().messages, 3);
}

#[tokio::test]
async fn a_user_first_seen_by_something_else_says_its_first_message_later() {
    let f = Fixture::new();
    let follow = json!({"type":"external.v1","source":"ingress.twitch","externalEvent":{"payload":{"userId":"1","userName":"Ada"}}});
    let event = f.enrich(&record("f", 0, follow.to_string())).await;
    assert_eq!(list(&event["user"]["tags"]), ["PROVIDER_TWITCH", "NEW_USER"]);
    assert_eq!(event["user"]["displayName"], "Ada");
    let event = f.enrich(&chat("m", 1, "1", &[])).await;
    assert_eq!(
        list(&event["user"]["tags"]),
        ["PROVIDER_TWITCH", "FIRST_ALLTIME_MESSAGE", "FIRST_SESSION_MESSAGE"]
    );
}

#[tokio::test]
async fn roles_are_given_and_taken_away_and_those_given_by_hand_stay() {
    let f = Fixture::new();
    let roles = async |record| {
        let event = f.enrich(&record).await;
        list(&event["user"]["roles"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(roles(chat("m1", 0, "1", &["moderator", "vip"])).await, ["moderator", "vip"]);
    let change = UserChange { granted_roles: Some(vec!["helper".into()]), ..UserChange::default() };
    f.store.change_user("twitch:1", &change).await.unwrap();
    assert_eq!(roles(chat("m2", 1, "1", &["vip"])).await, ["helper", "vip"]);
    assert_eq!(roles(chat("m3", 2, "1", &[])).await, ["helper"], "a role that was taken away stayed");
    let late = chat("late", -5_000, "1", &["moderator"]);
    assert_eq!(roles(late).await, ["helper", "moderator"], "what the event itself tells counts for it");
    assert_eq!(roles(chat("m4", 30, "1", &["moderator"])).await, ["helper", "moderator"]);
    let late = chat("later", 20, "1", &[]);
    assert_eq!(roles(late).await, ["helper"], "a moderator elsewhere or later is none in it");
}

#[tokio::test]
async fn discord_roles_by_name_make_a_moderator_and_the_owner_is_the_broadcaster() {
    let f = Fixture::new();
    let event = |raw: serde_json::Value| {
        let body = json!({"type":"chat.message.v1","source":"ingress.discord","channel":"c","userId":"1",
            "message":{"role":"user","text":"x","rawPlatformPayload":raw}});
        record("m", 0, body.to_string())
    };
    let told = f.enrich(&event(json!({"authorName":"Ada","roles":["admin","Friends"],"isOwner":true}))).await;
    assert_eq!(list(&told["user"]["roles"]), ["broadcaster", "moderator"]);
    assert_eq!(told["user"]["displayName"], "Ada");
}

#[tokio::test]
async fn tags_notes_and_the_status_that_people_gave_go_with_the_event() {
    let f = Fixture::new();
    f.enrich(&chat("m1", 0, "1", &[])).await;
    let change = UserChange {
        status: Some(UserStatus::Banned),
        tags: Some(vec!["FRIEND".into(), "RETURNING_USER".into()]),
        notes: Some("n".repeat(5_000)),
        ..UserChange::default()
    };
    f.store.change_user("twitch:1", &change).await.unwrap();
    let event = f.enrich(&chat("m2", 1, "1", &[])).await;
    assert_eq!(event["user"]["status"], "banned");
    assert_eq!(
        (&event["metadata"]["ignored"], &event["metadata"]["ignoredReason"]),
        (&json!(true), &json!("banned"))
    );
    assert_eq!(list(&event["user"]["tags"]), ["PROVIDER_TWITCH", "RETURNING_USER", "FRIEND"]);
    assert_eq!(event["user"]["notes"].as_str().unwrap().len(), 2_000);
}

#[tokio::test]
async fn an_event_that_grows_too_long_loses_the_platforms_own_part_and_says_so() {
    let f = Fixture::new();
    let body = |raw: usize, text: usize| {
        json!({"type":"chat.message.v1","source":"ingress.twitch","userId":"1","message":{"role":"user",
            "text":"x".repeat(text),"rawPlatformPayload":{"user":{"id":"1"},"raw":{"tags":{"t":"x".repeat(raw)}}}}})
        .to_string()
    };
    let room = 256 * 1024 - body(0, 0).len();
    let event = f.enrich(&record("m1", 0, body(room - 10, 0))).await;
    assert_eq!(event["message"]["rawPlatformPayload"]["raw"], json!({"truncated": true}));
    assert_eq!(event["user"]["id"], "twitch:1");
    let answers = f.handle(&[record("m2", 0, body(0, room - 10))]).await;
    assert!(answers[0].is_err(), "longer than any event of ours may be");
}

#[tokio::test]
async fn a_time_from_the_future_does_not_make_what_follows_look_old() {
    let f = Fixture::new();
    let mut ahead = chat("m1", 0, "1", &["moderator"]);
    let text = String::from_utf8(ahead.message.body.to_vec()).unwrap();
    let at = text.find("\"timestamp\":\"").unwrap() + 13;
    ahead.message.body = format!("{}2999{}", &text[..at], &text[at + 4..]).into();
    f.enrich(&ahead).await;
    f.enrich(&chat("m2", 1, "1", &[])).await;
    let user = f.store.user("twitch:1").await.unwrap().unwrap();
    assert!(user.platform_roles["twitch"].is_empty());
}

#[tokio::test]
async fn the_inputs_attributes_go_on_but_those_of_a_delivery_do_not() {
    let f = Fixture::new();
    let mut input = chat("m", 0, "1", &[]);
    for name in ["deliveryId", "deadline", "hops", "status", "x-mine"] {
        input.message.attributes.set(name, "1");
    }
    let outputs = f.handle(&[input]).await.remove(0).unwrap();
    let attributes = &outputs[0].attributes;
    for (name, value) in [
        ("correlationId", Some("c-m")),
        ("type", Some("chat.message.v1")),
        ("source", Some("ingress.twitch")),
        ("channel", Some("#a")),
        ("traceparent", Some("00-1-2-01")),
        ("x-mine", Some("1")),
        ("deliveryId", None),
        ("deadline", None),
        ("hops", None),
        ("status", None),
    ] {
        assert_eq!(attributes.get(name), value, "{name}");
    }
}

#[tokio::test]
async fn an_event_without_a_correlation_id_gets_one_that_a_repeat_gets_again() {
    let f = Fixture::new();
    let input = record("m-7", 0, r#"{"type":"t","source":"elsewhere"}"#);
    for _ in 0..2 {
        assert_eq!(f.enrich(&input).await["correlationId"], "m-7");
    }
}
