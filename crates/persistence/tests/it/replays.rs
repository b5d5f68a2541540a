//! Dead letters published again.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::{Bus, EventDeadLetters, MemoryBus, MemoryConfig, Record, Scan, ScanFrom, ScanTopics};
use chatbus_event::{DeadLetter, Reason, Status, Timestamp, Topic};
use chatbus_persistence::{Refusal, ReplayError, ReplayOptions, ReplayReport, ReplayTo, replay};
use chatbus_store::{DeadLetterFilter, DeadLetters, LetterState};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NOW, chat, outcome, record, with};

struct Replays {
    f: Fixture,
    kept: chatbus_bus::MemoryStore,
    bus: Arc<dyn Bus>,
}

impl Replays {
    fn new() -> Self {
        let f = Fixture::new();
        let letters = Arc::new(EventDeadLetters::new("cli", f.runtime.clone()));
        let kept = chatbus_bus::MemoryStore::new();
        let bus: Arc<dyn Bus> =
            Arc::new(MemoryBus::new(&kept, MemoryConfig::default(), letters, f.runtime.clone()));
        Self { f, kept, bus }
    }

    /// Keeps a letter about an event.
    async fn letter(&self, key: &str, after: i64, original: &Value) -> String {
        let original = Bytes::from(original.to_string());
        let letter = DeadLetter {
            key,
            original: &original,
            reason: Reason::Rejected,
            error: None,
            source: "ingress-egress.i-1",
            attempts: &[],
            at: Timestamp::from_millis(NOW + after),
        };
        let id = letter.message_id().to_string();
        self.f.keep(&[record(Topic::dead_letter(), &id, after, letter.encode().1)]).await;
        id
    }

    async fn replay(&self, options: &ReplayOptions) -> ReplayReport {
        let filter = DeadLetterFilter::default();
        replay(&*self.f.store, &*self.bus, &filter, options, &self.f.runtime).await.unwrap()
    }

    async fn on(&self, topic: Topic) -> Vec<Record> {
        let scan = Scan { topics: ScanTopics::One(topic), from: ScanFrom::Oldest, follow: false };
        let mut records = self.bus.scan(scan).await.unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            all.push(record.unwrap());
        }
        all
    }

    async fn state(&self, id: &str) -> LetterState {
        self.f.letters().await.iter().find(|letter| letter.id == id).unwrap().state
    }
}

fn to(to: ReplayTo) -> ReplayOptions {
    ReplayOptions { to, ..ReplayOptions::default() }
}

fn ids(report: &ReplayReport) -> Vec<&str> {
    report.replayed.iter().map(|(id, _)| id.as_str()).collect()
}

#[tokio::test]
async fn a_replay_is_the_same_event_with_new_ids_and_begins_its_delivery_anew() {
    let r = Replays::new();
    let original =
        with(chat("c"), json!({"unknown": {"big": 1}, "traceId": "000000000000400080000000000000ff"}));
    let id = r.letter("d-1", 0, &original).await;
    let report = r.replay(&to(ReplayTo::Generic)).await;
    assert_eq!(report.replayed, [(id.clone(), "internal.egress.v1".to_owned())]);
    let published = r.on(Topic::egress()).await.remove(0);
    let (attributes, event) =
        (&published.message.attributes, serde_json::from_slice::<Value>(&published.message.body).unwrap());
    let new = "d-1/deadletter/replay";
    assert_eq!(published.message.id.as_str(), new);
    for (name, value) in [
        ("correlationId", Some("c")),
        ("messageId", Some(new)),
        ("deliveryId", Some(new)),
        ("channel", Some("#a")),
        ("ce-id", Some(new)),
        ("deadline", None),
        ("hops", None),
        ("order", None),
        ("leg", None),
        ("taken", None),
    ] {
        assert_eq!(attributes.get(name), value, "{name}");
    }
    assert!(attributes.get("traceparent").unwrap().starts_with("00-000000000000400080000000000000ff-"));
    let replay = &event["metadata"]["replay"];
    assert_eq!((&replay["of"], &replay["count"]), (&json!(id), &json!(1)));
    assert!(Timestamp::parse(replay["at"].as_str().unwrap()).is_some());
    assert_eq!((&event["unknown"]["big"], &event["message"]["text"]), (&json!(1), &json!("Hello World!")));
    assert_eq!(r.state(&id).await, LetterState::Replayed);
    assert_eq!(r.f.names("c").await, ["dead_letter", "replayed"]);
    assert_eq!(r.replay(&to(ReplayTo::Generic)).await, ReplayReport::default(), "it is replayed once");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let r = Replays::new();
    let id = r.letter("internal.ingress.v1/m", 0, &chat("c")).await;
    let report = r.replay(&ReplayOptions { dry_run: true, ..ReplayOptions::default() }).await;
    assert_eq!(report.replayed, [(id.clone(), "internal.ingress.v1".to_owned())]);
    assert_eq!(r.state(&id).await, LetterState::Open);
    assert!(r.on(Topic::ingress()).await.is_empty());
}

#[tokio::test]
async fn each_goes_where_it_is_sent_the_oldest_first() {
    let r = Replays::new();
    let instance = Topic::parse("internal.egress.v1.i-1").unwrap();
    let later = r.letter("internal.ingress.v1/m-2", 20, &chat("b")).await;
    let first = r.letter("internal.ingress.v1/m-1", 10, &chat("a")).await;
    let delivery = r.letter("d-3", 30, &chat("c")).await;
    let nowhere = r
        .letter("d-4", 40, &with(chat("d"), json!({"egress": {"destination": "internal.finalizer.v1"}})))
        .await;
    let report = r.replay(&to(ReplayTo::Original)).await;
    assert_eq!(ids(&report), [&first, &later, &delivery, &nowhere]);
    assert_eq!(r.on(Topic::ingress()).await.len(), 2);
    assert_eq!(r.on(Topic::ingress()).await[0].message.attributes.get("deliveryId"), None);
    assert_eq!(r.on(instance).await.len(), 1);
    assert_eq!(r.on(Topic::egress()).await.len(), 1, "no event says that it is replayed as an outcome");

    let r = Replays::new();
    r.letter("d-1", 0, &chat("a")).await;
    assert_eq!(ids(&r.replay(&to(ReplayTo::Topic(Topic::llmbot()))).await).len(), 1);
    assert_eq!(r.on(Topic::llmbot()).await.len(), 1);
}

#[tokio::test]
async fn what_a_step_failed_to_answer_goes_through_the_rules_again() {
    let r = Replays::new();
    let slip = json!([{"id": "llm-bot", "status": "ERROR", "nextTopic": "internal.llmbot.v1"}]);
    r.letter("failed", 1, &with(chat("c1"), json!({"routingSlip": slip}))).await;
    let said = json!({"routingSlip": slip, "candidates": [{"text": "another's answer"}]});
    r.letter("answered", 2, &with(chat("c2"), said)).await;
    let report = r.replay(&ReplayOptions::default()).await;
    let topics: Vec<&str> = report.replayed.iter().map(|(_, topic)| topic.as_str()).collect();
    assert_eq!(topics.len(), 2, "{report:?}");
    assert_eq!(topics[0], "internal.user.enriched.v1");
    assert_ne!(topics[1], "internal.user.enriched.v1", "what was to be said was not said");
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_a_reason_and_stays_open() {
    let r = Replays::new();
    let thrice = r.letter("d-1", 0, &with(chat("a"), json!({"metadata": {"replay": {"count": 3}}}))).await;
    let twice = r.letter("d-2", 1, &with(chat("b"), json!({"metadata": {"replay": {"count": 2}}}))).await;
    let gone = r.letter("d-3", 2, &with(chat("c"), json!({"x": "x".repeat(300 * 1024)}))).await;
    let odd = r.letter("d-4", 3, &json!([1])).await;
    let long = r.letter("d-5", 4, &with(chat("e"), json!({"x": "x".repeat(256 * 1024 - 700)}))).await;
    let report = r.replay(&ReplayOptions::default()).await;
    assert_eq!(ids(&report), [&twice]);
    let mut refused: Vec<_> =
        report.refused.iter().map(|refused| (refused.id.as_str(), refused.why)).collect();
    refused.sort_by_key(|(id, _)| *id);
    assert_eq!(
        refused,
        [
            (thrice.as_str(), Refusal::TooOften),
            (&gone, Refusal::NoOriginal),
            (&odd, Refusal::NotAnEvent),
            (&long, Refusal::TooLarge),
        ]
    );
    assert_eq!(r.state(&thrice).await, LetterState::Open);
    for topic in [Topic::dead_letter(), Topic::router_dlq(), Topic::finalizer()] {
        let report = r.replay(&to(ReplayTo::Topic(topic))).await;
        assert!(
            report.refused.iter().any(|refused| refused.why == Refusal::TooOften)
                && report.replayed.is_empty()
        );
    }
}

#[tokio::test]
async fn no_event_is_replayed_onto_a_topic_of_outcomes_or_letters() {
    let r = Replays::new();
    r.letter("d-1", 0, &chat("a")).await;
    for topic in
        ["internal.deadletter.v1", "internal.router.dlq.v1", "internal.finalize.v1", "internal.lane.v1.i"]
    {
        let report = r.replay(&to(ReplayTo::Topic(Topic::parse(topic).unwrap()))).await;
        assert_eq!(report.refused[0].why, Refusal::Topic, "{topic}");
    }
}

#[tokio::test]
async fn one_that_was_interrupted_is_the_same_message_when_it_is_run_again() {
    let r = Replays::new();
    let id = r.letter("d-1", 0, &chat("a")).await;
    r.kept.disconnect();
    let cut_off =
        replay(&*r.f.store, &*r.bus, &DeadLetterFilter::default(), &to(ReplayTo::Generic), &r.f.runtime)
            .await;
    assert!(matches!(cut_off, Err(ReplayError::Bus(..))), "{cut_off:?}");
    assert_eq!(r.state(&id).await, LetterState::Replaying);
    r.kept.connect();
    assert_eq!(ids(&r.replay(&to(ReplayTo::Generic)).await), [&id]);
    assert_eq!(r.on(Topic::egress()).await.len(), 1);
    assert_eq!(r.state(&id).await, LetterState::Replayed);
}

#[tokio::test]
async fn one_that_was_published_and_has_its_outcome_is_only_settled() {
    let r = Replays::new();
    let id = r.letter("d-1", 0, &chat("a")).await;
    r.f.store.begin_replay(&id).await.unwrap();
    r.f.keep(&[outcome("a", "d-1/deadletter/replay", Status::Sent)]).await;
    let report = r.replay(&to(ReplayTo::Generic)).await;
    assert_eq!(ids_of(&report.published_before), [&id]);
    assert!(r.on(Topic::egress()).await.is_empty(), "it would be said twice");
    assert_eq!(r.state(&id).await, LetterState::Replayed);
}

#[tokio::test]
async fn an_outcome_of_another_delivery_does_not_settle_a_letter() {
    let r = Replays::new();
    let id = r.letter("d-1", 0, &chat("a")).await;
    r.f.store.begin_replay(&id).await.unwrap();
    r.f.keep(&[outcome("a", "d-1", Status::Failed)]).await;
    assert_eq!(ids(&r.replay(&to(ReplayTo::Generic)).await), [&id]);
    assert_eq!(r.on(Topic::egress()).await.len(), 1);
}

#[tokio::test]
async fn two_people_at_once_publish_each_letter_once() {
    let r = Replays::new();
    for n in 0..50 {
        r.letter(&format!("d-{n}"), n, &chat(&format!("c{n}"))).await;
    }
    let options = to(ReplayTo::Generic);
    let (one, other) = tokio::join!(r.replay(&options), r.replay(&options));
    assert!(one.replayed.len() + other.replayed.len() >= 50);
    assert_eq!(r.on(Topic::egress()).await.len(), 50);
    assert!(r.f.letters().await.iter().all(|letter| letter.state == LetterState::Replayed));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_the_stop_ends_it_between_two_letters() {
    let r = Replays::new();
    for n in 0..10 {
        r.letter(&format!("d-{n}"), n, &chat(&format!("c{n}"))).await;
    }
    let options = ReplayOptions { rate: NonZeroU32::new(2), ..to(ReplayTo::Generic) };
    let started = r.f.runtime.clock.instant();
    let (report, ()) = tokio::join!(r.replay(&options), async {
        tokio::time::sleep(Duration::from_millis(1_900)).await;
        assert_eq!(r.on(Topic::egress()).await.len(), 4);
        r.f.runtime.stop.cancel();
    });
    assert_eq!((report.replayed.len(), report.more), (4, true));
    assert!(r.f.runtime.clock.instant() - started < Duration::from_secs(2));
}

#[tokio::test]
async fn of_many_letters_all_are_replayed_and_only_those_asked_for() {
    let r = Replays::new();
    for n in 0..250 {
        r.letter(&format!("d-{n}"), n, &chat(&format!("c{n}"))).await;
    }
    let wanted = DeadLetterFilter { ids: vec!["d-7/deadletter".into()], ..DeadLetterFilter::default() };
    let report = replay(&*r.f.store, &*r.bus, &wanted, &to(ReplayTo::Generic), &r.f.runtime).await.unwrap();
    assert_eq!(ids(&report), ["d-7/deadletter"]);
    let done = DeadLetterFilter { state: Some(LetterState::Replayed), ..DeadLetterFilter::default() };
    let report = replay(&*r.f.store, &*r.bus, &done, &to(ReplayTo::Generic), &r.f.runtime).await.unwrap();
    assert_eq!(report, ReplayReport::default());
    assert_eq!(r.replay(&to(ReplayTo::Generic)).await.replayed.len(), 249);
    assert_eq!(r.on(Topic::egress()).await.len(), 250);
}

fn ids_of(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}
