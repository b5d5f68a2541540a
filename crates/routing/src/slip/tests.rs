use bytes::Bytes;
use chatbus_event::{Attributes, Event, MessageId, Reason, Timestamp, Topic};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn cx() -> OnwardContext<'static> {
    OnwardContext { now: Timestamp::EPOCH, source: "event-router", known_topics: &[] }
}

fn event(rest: Value) -> Event {
    let mut value = json!({
        "v": "1", "type": "chat.message.v1", "source": "ingress.x", "correlationId": "c", "channel": "#a",
        "message": { "role": "user", "text": "hi" }, "own": { "kept": [1.50, 2] },
    });
    let Value::Object(rest) = rest else { panic!("an object") };
    value.as_object_mut().unwrap().extend(rest);
    Event::decode(&Bytes::from(value.to_string())).unwrap()
}

fn json_of(event: &Event) -> Value {
    serde_json::from_slice(&event.encode()).unwrap()
}

fn step(status: &str, topic: &str) -> Value {
    json!({"id": "s", "v": "1", "status": status, "attempt": 0, "maxAttempts": 2, "nextTopic": topic, "x": 1})
}

fn went(onward: &Onward) -> (String, String) {
    match onward {
        Onward::Event { topic, step, .. } => (topic.to_string(), step.clone()),
        Onward::Nothing { .. } => ("nothing".into(), String::new()),
        Onward::DeadLetter { topic, reason, error, .. } => {
            (topic.to_string(), format!("{reason} {}", error.as_ref().map_or("", |error| &error.code)))
        }
    }
}

fn slip_of(onward: &Onward) -> Value {
    match onward {
        Onward::Event { event, .. } | Onward::Nothing { event } | Onward::DeadLetter { event, .. } => {
            json_of(event)["routingSlip"].take()
        }
    }
}

fn publish(onward: &Onward) -> Vec<Publication> {
    let attributes: Attributes =
        [("traceparent", "00-1-2-01"), ("hops", "2"), ("deadline", "never"), ("source", "auth")]
            .into_iter()
            .collect();
    let id = MessageId::new("m/enriched");
    onward.publications(&Input { message_id: &id, topic: &Topic::enriched(), attributes: &attributes }, &cx())
}

const LLM: &str = "internal.llmbot.v1";

fn failed(retryable: bool) -> Done {
    Done::Error { code: "llm_down".into(), message: "no answer".into(), retryable }
}

#[test]
fn a_new_slip_goes_to_its_first_step_which_then_has_begun() {
    let mut event = event(json!({ "routingSlip": [step("PENDING", "internal.old.v1")] }));
    let plan = Plan {
        id: "llm".into(),
        next_topic: Topic::llmbot(),
        max_attempts: 3,
        attributes: Map::from_iter([("a".to_owned(), json!(1))]),
    };
    set_plan(&mut event, &[plan]);
    let onward = onward(event, None, &cx());
    assert_eq!(went(&onward), (LLM.into(), "slip-0".into()));
    assert_eq!(
        slip_of(&onward),
        json!([{
            "id": "llm", "v": "1", "status": "PENDING", "attempt": 1, "maxAttempts": 3, "nextTopic": LLM,
            "attributes": { "a": 1 }, "startedAt": "1970-01-01T00:00:00.000Z", "endedAt": null,
            "error": null, "notes": null,
        }])
    );
}

#[test]
fn what_goes_on_keeps_all_it_had_and_says_where_it_comes_from() {
    let onward = onward(event(json!({ "routingSlip": [step("PENDING", LLM)] })), None, &cx());
    let [publication] = &publish(&onward)[..] else { panic!("one") };
    assert_eq!((publication.topic.as_str(), &*publication.step), (LLM, "slip-0"));
    let body = String::from_utf8(publication.body.to_vec()).unwrap();
    assert!(body.contains(r#""own":{"kept":[1.5,2]}"#), "{body}");
    assert!(body.contains(r#""metadata":{"routingHops":1}"#), "{body}");
    let attributes: Vec<_> = publication.attributes.iter().collect();
    assert_eq!(
        attributes,
        [
            ("correlationId", "c"),
            ("type", "chat.message.v1"),
            ("source", "event-router"),
            ("traceparent", "00-1-2-01"),
            ("messageId", "m/enriched/slip-0"),
            ("channel", "#a"),
            ("ce-id", "m/enriched/slip-0"),
            ("ce-type", "chat.message.v1"),
            ("ce-source", "event-router"),
            ("ce-specversion", "1.0"),
            ("ce-time", "1970-01-01T00:00:00.000Z"),
        ]
    );
}

#[test]
fn a_step_that_is_done_or_skipped_leads_to_the_next() {
    for (done, status) in [(Done::Ok, "OK"), (Done::Skip { why: "nothing".into() }, "SKIP")] {
        let slip =
            json!([step("OK", "x"), step("PENDING", LLM), "odd", step("PENDING", "internal.egress.v1")]);
        let onward = onward(event(json!({ "routingSlip": slip })), Some(done), &cx());
        assert_eq!(went(&onward), ("internal.egress.v1".into(), "slip-3".into()));
        let slip = slip_of(&onward);
        assert_eq!((&slip[1]["status"], &slip[1]["x"], &slip[2]), (&json!(status), &json!(1), &json!("odd")));
        assert_eq!(slip[1]["endedAt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(slip[3]["attempt"], 1);
    }
}

#[test]
fn a_step_that_failed_stops_those_behind_it_unlike_the_predecessors() {
    let slip = json!([step("PENDING", LLM), step("PENDING", "internal.egress.v1")]);
    let onward = onward(event(json!({ "routingSlip": slip })), Some(failed(false)), &cx());
    assert_eq!(went(&onward), ("internal.deadletter.v1".into(), "max_deliveries llm_down".into()));
    let slip = slip_of(&onward);
    assert_eq!((&slip[0]["status"], &slip[1]["status"]), (&json!("ERROR"), &json!("PENDING")));
    assert_eq!(slip[0]["error"], json!({"code": "llm_down", "message": "no answer", "retryable": false}));
    let [letter] = &publish(&onward)[..] else { panic!("one") };
    let body: Value = serde_json::from_slice(&letter.body).unwrap();
    assert_eq!(body["payload"]["reason"], Reason::MaxDeliveries.as_str());
    assert_eq!(body["payload"]["error"], json!({"code": "llm_down", "message": "no answer"}));
    assert_eq!(body["payload"]["lastStepId"], "s");
    assert_eq!(letter.attributes.get("messageId"), Some("m/enriched/slip/deadletter"));
    assert_eq!(letter.step, "slip/deadletter");
}

#[test]
fn what_there_is_to_say_is_said_although_a_step_failed() {
    let rest = json!({ "routingSlip": [step("PENDING", LLM)], "candidates": [{ "text": "sorry" }] });
    let onward = onward(event(rest), Some(failed(false)), &cx());
    assert_eq!(went(&onward), ("internal.egress.v1".into(), "egress".into()));
}

#[test]
fn a_retryable_failure_goes_to_the_same_step_while_attempts_are_left_unlike_the_predecessors() {
    let mut current = event(json!({ "routingSlip": [step("PENDING", LLM)] }));
    let mut seen = vec![];
    let mut done = None;
    loop {
        match onward(current, done, &cx()) {
            Onward::Event { step, event, .. } => {
                seen.push((step, json_of(&event)["routingSlip"][0]["attempt"].as_u64().unwrap()));
                current = event;
            }
            ended => {
                assert_eq!(went(&ended).1, "max_deliveries llm_down");
                break;
            }
        }
        done = Some(failed(true));
    }
    assert_eq!(seen, [("slip-0".into(), 1), ("slip-0".into(), 2)]);
}

#[test]
fn nothing_says_back_the_users_own_words_unlike_the_predecessors() {
    let ended = onward(event(json!({ "payload": { "text": "hi" } })), None, &cx());
    assert_eq!(went(&ended).0, "nothing");
    let [outcome] = &publish(&ended)[..] else { panic!("one") };
    let body: Value = serde_json::from_slice(&outcome.body).unwrap();
    assert_eq!(
        (body["status"].as_str(), body["deliveryId"].as_str(), body["destination"].as_str()),
        (Some("NONE"), Some("m/enriched/none"), Some("internal.user.enriched.v1"))
    );
    assert_eq!(outcome.attributes.get("messageId"), Some("m/enriched/none/outcome"));
    assert_eq!((outcome.topic.as_str(), &*outcome.step), ("internal.finalizer.v1", "none/outcome"));
}

#[test]
fn an_outcome_goes_to_the_finalizer_it_names_and_a_copy_to_a_reply_topic_we_know() {
    for (finalizer, reply, expected) in [
        ("internal.finalize.v1", "internal.llmbot.v1", vec!["internal.finalize.v1", "internal.llmbot.v1"]),
        ("internal.egress.v1", "internal.secret.v1", vec!["internal.finalizer.v1"]),
        ("anything", "internal.finalize.v1", vec!["internal.finalizer.v1"]),
    ] {
        let rest = json!({ "finalizationDestination": finalizer, "replyTo": reply });
        let ended = onward(event(rest), None, &cx());
        let topics: Vec<_> = publish(&ended).into_iter().map(|p| p.topic.to_string()).collect();
        assert_eq!(topics, expected);
    }
}

#[test]
fn a_text_is_said_where_the_event_says_and_never_on_a_topic_from_outside() {
    for (destination, expected) in [
        ("internal.egress.v1.i-1", "internal.egress.v1.i-1"),
        ("internal.api.egress.v1.i-1", "internal.api.egress.v1.i-1"),
        ("internal.egress.v1", "internal.egress.v1"),
        ("", "internal.egress.v1"),
        ("discord", "internal.egress.v1"),
        ("internal.egress.v1.a.b", "internal.egress.v1"),
        ("internal.ingress.v1", "internal.egress.v1"),
        ("internal.>", "internal.egress.v1"),
    ] {
        let rest = json!({ "egress": { "destination": destination }, "candidates": [{ "text": "yes" }] });
        let onward = onward(event(rest), None, &cx());
        assert_eq!(went(&onward), (expected.into(), "egress".into()), "{destination}");
        let [publication] = &publish(&onward)[..] else { panic!("one") };
        assert_eq!(publication.attributes.get("deliveryId"), Some("m/enriched/egress"));
    }
}

#[test]
fn data_for_connections_needs_no_text() {
    let rest = json!({ "egress": { "type": "event" }, "payload": { "n": 1 }, "message": null });
    assert_eq!(went(&onward(event(rest), None, &cx())).1, "egress");
    let rest = json!({ "egress": { "type": "event" }, "payload": null, "message": null });
    assert_eq!(went(&onward(event(rest), None, &cx())).0, "nothing");
}

#[test]
fn a_step_without_a_topic_or_with_one_we_do_not_know_fails() {
    let known = [Topic::parse("internal.mine.v1").unwrap()];
    let cx = OnwardContext { known_topics: &known, ..cx() };
    for (topic, code) in [
        ("", "no_topic"),
        ("internal.other.v1", "unknown_topic"),
        ("internal.lane.v1.i", "unknown_topic"),
        ("internal.llmbot.>", "unknown_topic"),
        ("dev.internal.llmbot.v1", "unknown_topic"),
    ] {
        let onward = onward(event(json!({ "routingSlip": [step("PENDING", topic)] })), None, &cx);
        assert_eq!(went(&onward).1, format!("max_deliveries {code}"), "{topic}");
    }
    let onward = onward(event(json!({ "routingSlip": [step("PENDING", "internal.mine.v1")] })), None, &cx);
    assert_eq!(went(&onward), ("internal.mine.v1".into(), "slip-0".into()));
}

#[test]
fn what_goes_in_circles_comes_to_an_end() {
    let mut current = event(json!({ "candidates": [] }));
    let mut hops = 0;
    loop {
        current.set("routingSlip", chatbus_event::json::Raw::of(&[step("PENDING", "internal.ingress.v1")]));
        match onward(current, None, &cx()) {
            Onward::Event { event, .. } => current = event,
            ended => {
                assert_eq!(went(&ended).1, "max_deliveries too_many_hops");
                break;
            }
        }
        hops += 1;
    }
    assert_eq!(hops, MAX_HOPS);
}

#[test]
fn a_word_that_is_no_status_stops_the_slip() {
    let onward = onward(event(json!({ "routingSlip": [step("done", LLM)] })), Some(Done::Ok), &cx());
    assert_eq!(went(&onward).1, "max_deliveries error");
}

#[test]
fn an_event_that_grew_too_long_is_a_letter_that_names_it() {
    let rest = json!({ "candidates": [{ "text": "x".repeat(300 * 1024) }] });
    let [letter] = &publish(&onward(event(rest), None, &cx()))[..] else { panic!("one") };
    let body: Value = serde_json::from_slice(&letter.body).unwrap();
    assert_eq!(body["payload"]["error"]["code"], "too_large");
    assert_eq!(body["payload"]["originalRef"]["size"].as_u64().map(|size| size > 300 * 1024), Some(true));
}

proptest! {
    #[test]
    fn every_slip_comes_to_one_end_and_loses_no_member(
        steps in proptest::collection::vec(
            ("PENDING|OK|SKIP|ERROR|odd", "internal\\.(llmbot|egress|ingress|odd)\\.v1||[a-z.>*]{0,8}", 0_u64..12),
            0..6,
        ),
        outcomes in proptest::collection::vec(0..4, 200),
        has_text: bool,
    ) {
        let slip: Vec<Value> = steps
            .iter()
            .map(|(status, topic, most)| {
                json!({ "id": "s", "status": status, "nextTopic": topic, "maxAttempts": most, "x": 1.25 })
            })
            .collect();
        let mut rest = json!({ "routingSlip": slip });
        if has_text {
            rest["candidates"] = json!([{ "text": "yes" }]);
        }
        let mut current = event(rest);
        let mut done = None;
        let mut ended = false;
        for outcome in outcomes {
            match onward(current.clone(), done, &cx()) {
                Onward::Event { step, event, .. } if step != "egress" => current = event,
                Onward::Event { .. } => {
                    prop_assert!(has_text);
                    ended = true;
                    break;
                }
                _ => {
                    prop_assert!(!has_text);
                    ended = true;
                    break;
                }
            }
            done = Some(match outcome {
                0 => Done::Ok,
                1 => Done::Skip { why: "w".into() },
                2 => failed(true),
                _ => failed(false),
            });
        }
        prop_assert!(ended, "at most 32 hops");
        let after = json_of(&current);
        prop_assert_eq!(&after["own"], &json!({ "kept": [1.5, 2] }));
        let slip = after["routingSlip"].as_array().unwrap();
        prop_assert_eq!(slip.len(), steps.len());
        prop_assert!(slip.iter().all(|step| step["x"] == 1.25));
    }
}
