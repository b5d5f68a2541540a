use bytes::Bytes;
use chatbus_bus::{BatchHandler as _, HandlerError, Message, Outgoing, Record};
use chatbus_event::{Attributes, MessageId, Reason, Topic};
use chatbus_event_router::{Router, RouterConfig};
use chatbus_routing::{Compiler, RuleSet};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::now;

struct Fixture {
    router: Router,
    rules: watch::Sender<RuleSet>,
}

fn rules(text: &str) -> RuleSet {
    RuleSet::new(Compiler::default().rules("rules.yaml", text).unwrap())
}

fn fixture(text: &str) -> Fixture {
    let (rules, receiver) = watch::channel(rules(text));
    let config = RouterConfig { source: "event-router.i1".into(), known_topics: vec![] };
    Fixture { router: Router::new(receiver, config), rules }
}

fn record(id: &str, body: impl Into<Bytes>) -> Record {
    let attributes: Attributes = [("traceparent", "00-1-2-01"), ("channel", "#a")].into_iter().collect();
    let message = Message::new(MessageId::new(id), attributes, body);
    Record { topic: Topic::enriched(), seq: 1, published_at: now(), message }
}

fn said(id: &str, text: &str, rest: &Value) -> Record {
    let mut event = json!({
        "v": "1", "type": "chat.message.v1", "source": "ingress.x", "correlationId": "c", "userId": "u1",
        "channel": "#a", "egress": { "destination": "internal.egress.v1.i7", "type": "chat" },
        "message": { "role": "user", "text": text }, "unknown": { "kept": true },
    });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    record(id, event.to_string())
}

impl Fixture {
    async fn one(&self, record: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        self.router.handle(&[record]).await.remove(0)
    }

    async fn only(&self, record: &Record) -> (Outgoing, Value) {
        let mut all = self.one(record).await.unwrap();
        assert_eq!(all.len(), 1);
        let one = all.remove(0);
        let body = serde_json::from_slice(&one.body).unwrap();
        (one, body)
    }
}

const HELLO: &str = r"
- id: hello
  priority: 1
  logic: { text_contains: [{ var: message.text }, hello] }
  enrichments: { candidates: [{ text: 'hi {{userId}}' }] }
- id: llm
  priority: 2
  logic: { text_contains: [{ var: message.text }, bot] }
  routingSlip: [{ id: llm-bot, nextTopic: internal.llmbot.v1 }]
";

#[tokio::test]
async fn an_answer_goes_where_the_event_says_and_all_it_had_is_kept() {
    let (out, body) = fixture(HELLO).only(&said("m", "hello bot", &json!({}))).await;
    assert_eq!((out.topic.as_str(), &*out.step), ("internal.egress.v1.i7", "egress"));
    assert_eq!(body["candidates"][0]["text"], "hi u1");
    assert_eq!(body["metadata"]["matchedRuleIds"], json!(["hello", "llm"]));
    assert_eq!(body["metadata"]["chosenRuleId"], "hello");
    assert_eq!(body["metadata"]["routedAt"], "2025-11-21T17:02:00.000Z");
    assert_eq!((&body["unknown"]["kept"], &body["channel"]), (&json!(true), &json!("#a")));
    assert_eq!(out.attributes.get("source"), Some("event-router.i1"));
    assert_eq!(out.attributes.get("traceparent"), Some("00-1-2-01"));
}

#[tokio::test]
async fn a_slip_leads_to_its_first_step() {
    let (out, body) = fixture(HELLO).only(&said("m", "dear bot", &json!({}))).await;
    assert_eq!((out.topic.as_str(), &*out.step), ("internal.llmbot.v1", "slip-0"));
    let step = &body["routingSlip"][0];
    assert_eq!(
        (&step["id"], &step["status"], &step["attempt"]),
        (&json!("llm-bot"), &json!("PENDING"), &json!(1))
    );
}

#[tokio::test]
async fn without_a_match_an_event_is_finalized_and_never_said_back_unlike_the_predecessors() {
    for rest in [json!({}), json!({ "payload": { "text": "other" } })] {
        let (out, body) = fixture(HELLO).only(&said("m", "nothing", &rest)).await;
        assert_eq!((out.topic.as_str(), body["status"].as_str()), ("internal.finalizer.v1", Some("NONE")));
        assert_eq!(
            (body["correlationId"].as_str(), body["deliveryId"].as_str()),
            (Some("c"), Some("m/none"))
        );
    }
}

#[tokio::test]
async fn an_event_that_asks_for_an_answer_and_matches_nothing_is_one_dead_letter() {
    for rest in [json!({ "metadata": { "answerRequired": true } }), json!({ "type": "chat.command.v1" })] {
        let (out, body) = fixture(HELLO).only(&said("m", "nothing", &rest)).await;
        assert_eq!(out.topic, Topic::router_dlq());
        assert_eq!(body["payload"]["reason"], "no_rule");
        assert_eq!(body["payload"]["original"]["message"]["text"], "nothing");
        assert_eq!(body["correlationId"], "c");
    }
    let rest = json!({ "metadata": { "answerRequired": "true" } });
    assert_eq!(fixture(HELLO).only(&said("m", "nothing", &rest)).await.1["status"], "NONE");
}

#[tokio::test]
async fn events_of_the_system_match_rules_like_any() {
    let rules = "- { id: s, logic: { '==': [{ var: type }, system.stream.online] }, enrichments: { candidates: [{ text: live }] } }";
    let rest = json!({ "type": "system.stream.online", "message": null });
    assert_eq!(fixture(rules).only(&said("m", "", &rest)).await.0.step, "egress");
}

#[tokio::test]
async fn a_rule_that_is_silent_ends_an_event_whatever_there_is_to_say() {
    let rules = "- { id: s, logic: true, silent: true }";
    let rest = json!({ "candidates": [{ "text": "something" }] });
    assert_eq!(fixture(rules).only(&said("m", "", &rest)).await.1["status"], "NONE");
}

#[tokio::test]
async fn bytes_that_are_no_event_are_given_up_at_once_unlike_the_predecessors() {
    let fixture = fixture(HELLO);
    let long = json!({ "type": "t", "x": "y".repeat(256 * 1024) }).to_string();
    for (body, code) in
        [("{".to_owned(), "json"), ("[]".into(), "json"), ("{}".into(), "json"), (long, "too_large")]
    {
        let Err(HandlerError::GiveUp(failure)) = fixture.one(&record("m", body)).await else {
            panic!("given up")
        };
        assert_eq!((failure.reason, &*failure.code), (Reason::InvalidEvent, code));
    }
    assert_eq!(fixture.router.counts().invalid(), 4);
}

#[tokio::test]
async fn a_redelivery_makes_the_same_bytes_alone_or_in_a_batch() {
    let random = "- { id: r, logic: true, enrichments: { randomCandidate: true, candidates: [{ text: a }, { text: b }, { text: c }], annotations: [{ value: '{{now}}' }] } }";
    let fixture = fixture(random);
    let (first, second) = (said("m1", "x", &json!({})), said("m2", "x", &json!({})));
    fixture.only(&first).await;
    let once = fixture.one(&second).await.unwrap();
    let again = fixture.router.handle(&[&second, &said("m3", "x", &json!({}))]).await;
    assert_eq!(again[0].as_ref().unwrap(), &once);
}

#[tokio::test]
async fn a_user_is_not_given_the_same_candidate_twice_in_a_row_unlike_the_predecessors() {
    let random = "- { id: r, logic: true, enrichments: { randomCandidate: true, candidates: [{ text: a }, { text: b }, { text: c }] } }";
    let fixture = fixture(random);
    let mut seen = Vec::new();
    for n in 0..20 {
        let (_, body) = fixture.only(&said(&format!("m{n}"), "x", &json!({}))).await;
        seen.push(body["candidates"][0]["text"].as_str().unwrap().to_owned());
    }
    assert!(seen.windows(2).all(|two| two[0] != two[1]), "{seen:?}");
}

#[tokio::test]
async fn an_event_that_goes_round_and_round_comes_to_an_end() {
    let fixture = fixture("- { id: l, logic: true, routingSlip: [{ nextTopic: internal.llmbot.v1 }] }");
    let mut event = said("m", "x", &json!({})).message.body;
    let mut rounds = 0;
    let ended = loop {
        let (out, body) = fixture.only(&record(&format!("m{rounds}"), event)).await;
        if out.topic != Topic::llmbot() {
            break (out, body);
        }
        event = out.body;
        rounds += 1;
    };
    assert_eq!((rounds, ended.0.topic), (32, Topic::dead_letter()));
    assert_eq!(ended.1["payload"]["error"]["code"], "too_many_hops");
}

#[tokio::test]
async fn new_rules_are_asked_from_the_next_batch_on() {
    let fixture = fixture("[]");
    let record = said("m", "hello", &json!({}));
    assert_eq!(fixture.only(&record).await.0.step, "none/outcome");
    fixture.rules.send_replace(rules(HELLO));
    assert_eq!(fixture.only(&record).await.0.step, "egress");
    let counts = fixture.router.counts();
    assert_eq!((counts.total(), counts.matched(), counts.unmatched()), (2, 1, 1));
}
