//! How long what is kept, and what is kept raw.

use std::time::Duration;

use chatbus_event::{Status, Topic};
use chatbus_persistence::sweep;
use chatbus_store::{Events, Store};
use serde_json::{Value, json};

use crate::fixture::{Fixture, chat, ingress, outcome, record, with};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn an_event_is_kept_for_seven_days_or_as_configured_whether_it_ended_or_not() {
    for (days, ends) in [(7, true), (7, false), (2, true), (2, false)] {
        let f = Fixture::with(|config| config.ttl = DAY * days);
        f.keep(&[ingress(&chat("c"))]).await;
        if ends {
            f.keep(&[outcome("c", "d", Status::Sent)]).await;
        }
        assert!(f.is_kept_after("c", DAY * days - HOUR).await, "{days} days, ends: {ends}");
        assert!(!f.is_kept_after("c", DAY * days + HOUR).await, "{days} days, ends: {ends}");
    }
}

#[tokio::test]
async fn an_event_that_says_how_long_it_is_kept_is_kept_so_long_its_outcome_and_letter_included() {
    let original = with(chat("c"), json!({"qos": {"ttl": 3600}}));
    let f = Fixture::new();
    f.keep(&[ingress(&original)]).await;
    // Who ends a delivery tells on what its event says of itself.
    let told: Value = serde_json::from_slice(&outcome("c", "d", Status::Sent).message.body).unwrap();
    let told = with(told, json!({"qos": {"ttl": 3600}}));
    f.keep(&[record(Topic::finalizer(), "d/outcome", 51, told.to_string())]).await;
    let letter = json!({"type": "router.deadletter.v1", "correlationId": "c", "payload": {"reason": "expired", "original": original}});
    f.keep(&[record(Topic::dead_letter(), "l", 60, letter.to_string())]).await;
    assert!(f.is_kept_after("c", HOUR - Duration::from_secs(60)).await);
    assert!(!f.is_kept_after("c", HOUR + Duration::from_secs(60)).await);
    assert!(f.letters().await.is_empty());
    for odd in [json!(0), json!(-5), json!("1h"), json!(null)] {
        let f = Fixture::new();
        f.keep(&[ingress(&with(chat("c"), json!({"qos": {"ttl": odd}})))]).await;
        assert!(f.is_kept_after("c", DAY * 6).await, "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_janitor_removes_in_chunks_what_is_past_its_time() {
    let f = Fixture::new();
    // The clock of the runtime is the real one, by which all of these are long past.
    let old: Vec<_> =
        (0..1_200).map(|n| ingress(&with(chat(&format!("c{n}")), json!({"qos": {"ttl": 1}})))).collect();
    f.keep(&old).await;
    let janitor = sweep(f.store.clone(), f.runtime.clone(), f.counters.clone());
    let (gone, ()) = tokio::join!(
        async {
            let all_gone = async {
                while f.store.event("c1199").await.unwrap().is_some() || f.counters.totals().swept < 1_200 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            let gone = tokio::time::timeout(Duration::from_secs(150), all_gone).await;
            f.runtime.stop.cancel();
            gone
        },
        janitor
    );
    gone.expect("all of it is gone within a minute or so");
}

#[tokio::test(start_paused = true)]
async fn the_janitor_outlives_an_outage() {
    let f = Fixture::new();
    f.keep(&[ingress(&with(chat("c"), json!({"qos": {"ttl": 1}})))]).await;
    f.store.set_available(false);
    let janitor = sweep(f.store.clone(), f.runtime.clone(), f.counters.clone());
    tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(300)).await;
            f.store.set_available(true);
            tokio::time::sleep(Duration::from_secs(61)).await;
            f.runtime.stop.cancel();
        },
        janitor
    );
    assert_eq!(f.counters.totals().swept, 1);
    assert!(*f.store.connected().borrow());
}

#[tokio::test]
async fn what_is_nothing_that_we_know_is_kept_raw_and_counted_and_fails_nothing() {
    let f = Fixture::new();
    let bad = [
        record(Topic::ingress(), "a", 0, &b"\xff{"[..]),
        record(Topic::enriched(), "b", 0, r#"{"neither":1}"#),
        record(Topic::llmbot(), "c", 0, "[1]"),
        record(Topic::finalizer(), "d", 0, r#"{"status":"SENT"}"#),
        record(Topic::finalizer(), "e", 0, r#"{"correlationId":"c","status":"ODD"}"#),
        record(Topic::dead_letter(), "f", 0, r#"{"type":"chat.message.v1","correlationId":"c"}"#),
        record(Topic::dead_letter(), "g", 0, r#"{"type":"router.deadletter.v1","payload":{}}"#),
        record(Topic::router_dlq(), "h", 0, r#"{"type":"chat.message.v1"}"#),
    ];
    for record in &bad {
        f.keep(std::slice::from_ref(record)).await;
    }
    let totals = f.counters.totals();
    assert_eq!((totals.raw, totals.steps, totals.letters, totals.lost), (bad.len() as u64, 0, 0, 0));
    assert!(f.store.event("c").await.unwrap().is_none());
}

#[tokio::test]
async fn an_event_over_256_kib_is_kept_as_it_is() {
    let f = Fixture::new();
    let input = ingress(&with(chat("c"), json!({"big": "x".repeat(300 * 1024)})));
    f.keep(std::slice::from_ref(&input)).await;
    assert_eq!(f.event("c").await.0.body, Some(input.message.body));
}

#[tokio::test]
async fn an_event_without_a_correlation_id_is_kept_under_its_messages_id() {
    let f = Fixture::new();
    f.keep(&[record(Topic::ingress(), "m-7", 0, r#"{"type":"t","source":"elsewhere"}"#)]).await;
    assert_eq!(f.names("m-7").await, ["received"]);
    let odd = with(chat("c"), json!({"correlationId": format!("a\u{0}{}", "/../".repeat(500))}));
    f.keep(&[record(Topic::ingress(), "m-8", 0, odd.to_string())]).await;
    assert_eq!(f.counters.totals().steps, 2, "one whose id no database takes is kept under its hash");
}
