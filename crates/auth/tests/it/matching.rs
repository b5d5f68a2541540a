//! Which user an event is of, and what is forwarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use chatbus_auth::Auth;
use chatbus_bus::{BatchHandler, HandlerError};
use chatbus_event::json::Raw;
use chatbus_event::{Event, Reason, Timestamp};
use chatbus_store::{
    Entry, EventStatus, Events, MemoryStore, Page, Seen, Sighting, StepEntry, StoreError, User, UserChange,
    UserFilter, Users,
};
use chatbus_testkit::test_runtime;
use serde_json::json;

use crate::fixture::{Fixture, NOW, chat, config, list, record};

#[tokio::test]
async fn a_match_by_provider_and_id_writes_user_and_auth_and_leaves_the_raw_id() {
    let f = Fixture::new();
    let event = f.enrich(&chat("m", 0, "u-1", &["moderator"])).await;
    assert_eq!(event["user"]["id"], "twitch:u-1");
    assert_eq!(event["user"]["displayName"], "Name u-1");
    assert_eq!(event["user"]["login"], "login_u-1");
    assert_eq!(list(&event["user"]["roles"]), ["moderator"]);
    assert_eq!(event["user"]["status"], "active");
    assert_eq!(event["user"].get("notes"), None);
    let auth = &event["auth"];
    assert_eq!(
        (&auth["v"], &auth["method"], &auth["matched"]),
        (&json!("1"), &json!("enrichment"), &json!(true))
    );
    assert_eq!((&auth["provider"], &auth["userRef"]), (&json!("twitch"), &json!("users/twitch:u-1")));
    assert!(auth["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{auth}");
    assert_eq!((&event["userId"], &event["unknown"]["kept"]), (&json!("u-1"), &json!(1)));
    let user = f.store.user("twitch:u-1").await.unwrap().unwrap();
    assert_eq!((user.provider.as_str(), user.provider_user_id.as_str()), ("twitch", "u-1"));
}

#[tokio::test]
async fn all_three_shapes_are_enriched_where_each_keeps_its_members() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/envelope/");
    for shape in ["flat", "nested", "v1"] {
        let f = Fixture::new();
        let body = std::fs::read(format!("{folder}{shape}.json")).unwrap();
        let event = f.enrich(&record("m", 0, body)).await;
        let (envelope, user_id) = match shape {
            "nested" => (&event["envelope"], &event["userId"]),
            _ => (&event, &event["userId"]),
        };
        assert_eq!(envelope["user"]["id"], "twitch:1337", "{shape}");
        assert_eq!(envelope["user"]["login"], "ada", "{shape}");
        assert_eq!(list(&envelope["user"]["roles"]), ["subscriber"], "{shape}");
        assert_eq!(envelope["auth"]["userRef"], "users/twitch:1337", "{shape}");
        assert_eq!(user_id, "1337", "{shape}: the raw id is lost");
        assert_eq!(event["message"]["text"], "Hello World!");
    }
}

#[tokio::test]
async fn everything_is_forwarded_matched_or_not() {
    let f = Fixture::new();
    for (name, body) in [
        ("a status", json!({"type":"system.source.status","source":"ingress.twitch","userId":"7"})),
        (
            "nobody's",
            json!({"type":"twitch.irc.v1","source":"ingress.twitch","externalEvent":{"payload":{}}}),
        ),
        (
            "a login without an id",
            json!({"type":"chat.message.v1","source":"ingress.twitch",
            "message":{"role":"user","text":"x","rawPlatformPayload":{"user":{"id":"","login":"ada"}}}}),
        ),
        (
            "who claims to be matched",
            json!({"type":"t","source":"elsewhere",
            "auth":{"matched":true,"userRef":"users/twitch:1","other":5}}),
        ),
    ] {
        let event = f.enrich(&record("m", 0, body.to_string())).await;
        assert_eq!(event["auth"]["matched"], false, "{name}");
        assert_eq!(event["auth"].get("userRef"), None, "{name}");
        assert_eq!(event["auth"]["other"], body["auth"]["other"], "{name}");
        assert_eq!(event.get("user"), None, "{name}");
        assert_eq!(event["type"], body["type"], "{name}");
    }
    let totals = f.auth.counters().totals();
    assert_eq!((totals.total, totals.matched, totals.unmatched), (4, 0, 4));
}

#[tokio::test]
async fn a_gateway_event_of_a_platforms_account_stays_the_gateways() {
    let f = Fixture::new();
    f.enrich(&chat("m", 0, "123", &["moderator"])).await;
    let body = json!({"type":"chat.message.v1","source":"api-gateway","userId":"twitch:123",
        "auth":{"provider":"api-gateway"},
        "message":{"role":"user","text":"x","rawPlatformPayload":{"badges":[],"isMod":false}}});
    let event = f.enrich(&record("g", 1, body.to_string())).await;
    assert_eq!(
        (&event["user"]["id"], &event["auth"]["userRef"]),
        (&json!("twitch:123"), &json!("users/twitch:123"))
    );
    assert_eq!(event["auth"]["provider"], "api-gateway", "an answer could become public");
    assert_eq!(list(&event["user"]["roles"]), ["moderator"], "the gateway knows nothing of roles there");
    assert_eq!(f.store.users(&UserFilter::default(), &Page::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_event_is_given_up_and_the_others_are_not() {
    let f = Fixture::new();
    let long = format!(r#"{{"type":"t","x":"{}"}}"#, "x".repeat(256 * 1024));
    let records = [
        chat("a", 0, "1", &[]),
        record("bad", 0, &b"\xff{"[..]),
        record("neither", 0, r#"{"text":"neither a type nor a source"}"#),
        record("long", 0, long),
        chat("b", 0, "1", &[]),
    ];
    let answers = f.handle(&records).await;
    for (answer, code) in
        answers.iter().zip([None, Some("invalid_event"), Some("invalid_event"), Some("too_large"), None])
    {
        match (answer, code) {
            (Ok(outputs), None) => assert_eq!(outputs.len(), 1),
            (Err(HandlerError::GiveUp(failure)), Some(code)) => {
                assert_eq!((failure.reason, failure.code.as_str()), (Reason::InvalidEvent, code));
            }
            (answer, _) => panic!("{answer:?}"),
        }
    }
}

/// Counts how often users are written.
struct Counting {
    store: Arc<MemoryStore>,
    calls: AtomicU32,
}

#[async_trait]
impl Users for Counting {
    async fn sight(&self, sightings: &[Sighting]) -> Result<Vec<Seen>, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.store.sight(sightings).await
    }

    async fn user(&self, id: &str) -> Result<Option<User>, StoreError> {
        self.store.user(id).await
    }

    async fn users(&self, filter: &UserFilter, page: &Page) -> Result<Vec<User>, StoreError> {
        self.store.users(filter, page).await
    }

    async fn change_user(&self, id: &str, change: &UserChange) -> Result<Option<User>, StoreError> {
        self.store.change_user(id, change).await
    }
}

#[tokio::test]
async fn a_batch_is_one_call_and_each_message_of_it_counts() {
    let users = Arc::new(Counting { store: MemoryStore::new("s"), calls: AtomicU32::new(0) });
    let auth = Auth::new(users.clone(), users.store.clone(), config(), test_runtime(1));
    let records: Vec<_> = (0..100).map(|n| chat(&format!("m{n}"), n, &(n % 10).to_string(), &[])).collect();
    let answers = auth.handle(&records.iter().collect::<Vec<_>>()).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(users.calls.load(Ordering::SeqCst), 1);
    assert_eq!(users.store.user("twitch:3").await.unwrap().unwrap().messages, 10);
}

#[tokio::test]
async fn what_comes_late_is_forwarded_unless_the_store_has_it_as_forwarded() {
    let f = Fixture::new();
    let late = |id: &str| {
        let mut record = chat(id, 0, "1", &[]);
        let mut event = Event::decode(&record.message.body).unwrap();
        event.set_metadata("late", Raw::of(&true));
        record.message.body = event.encode();
        record
    };
    f.store.record(&[enriched_step("c-m", "internal.user.enriched.v1/m/enriched")]).await.unwrap();
    assert!(f.handle(&[late("m")]).await.remove(0).unwrap().is_empty(), "forwarded twice");
    assert_eq!(
        f.handle(&[chat("m", 0, "1", &[])]).await.remove(0).unwrap().len(),
        1,
        "what is not late is the bus's to drop"
    );
    f.store.record(&[enriched_step("c-n", "internal.user.enriched.v1/another/enriched")]).await.unwrap();
    for id in ["n", "o"] {
        assert_eq!(f.handle(&[late(id)]).await.remove(0).unwrap().len(), 1, "lost");
    }
    assert_eq!(f.auth.counters().totals().repeated, 1);
}

/// As persistence writes it.
fn enriched_step(correlation_id: &str, key: &str) -> Entry {
    Entry::Step(StepEntry {
        correlation_id: correlation_id.into(),
        key: key.into(),
        name: "enriched".into(),
        at: Timestamp::from_millis(NOW),
        detail: "{}".into(),
        snapshot: None,
        status: EventStatus::InProgress,
        facts: None,
        expires_at: Timestamp::from_millis(NOW + 1_000),
    })
}
