use bytes::Bytes;
use chatbus_event::{egress_text, json::Raw};
use serde_json::json;

use super::*;
use crate::Compiler;

fn rules(text: &str) -> RuleSet {
    RuleSet::new(Compiler::default().rules("rules.yaml", text).unwrap())
}

fn refused(text: &str) -> String {
    crate::list(&Compiler::default().rules("rules.yaml", text).map(|_| ()).unwrap_err())
}

fn event(rest: &Value) -> Event {
    let mut event = json!({
        "type": "chat.message.v1", "source": "ingress.x", "userId": "u1", "channel": "#a",
        "user": { "displayName": "Ann" },
        "egress": { "destination": "internal.egress.v1.i1", "type": "chat", "own": 1 },
        "message": { "id": "p1", "role": "user", "text": "hi", "rawPlatformPayload": { "text": "hi" } },
        "annotations": [{ "id": "old", "kind": "k", "source": "s" }],
    });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    Event::decode(&Bytes::from(event.to_string())).unwrap()
}

fn route_with(rules: &RuleSet, rest: &Value, choose: impl FnOnce(&str, usize) -> usize) -> (Routed, Value) {
    let id = MessageId::new("m1");
    let routed = rules.route(event(rest), &RouteContext { now: Timestamp::EPOCH, message_id: &id }, choose);
    let json = serde_json::from_slice(&routed.event.encode()).unwrap();
    (routed, json)
}

fn route(rules: &str) -> (Routed, Value) {
    route_with(&self::rules(rules), &json!({}), |_, _| 0)
}

#[test]
fn the_first_match_is_applied_and_all_are_listed() {
    let (routed, event) = route(
        r"
- { id: c, priority: 1, logic: true, routingSlip: [{ nextTopic: internal.llmbot.v1 }] }
- { id: b, priority: 1, logic: true }
- { id: a, priority: 2, logic: true }
- { id: no, priority: 0, logic: false }
- { id: off, priority: 0, enabled: false, logic: true }
- { id: broken, priority: 0, logic: { throw: x } }
",
    );
    assert_eq!(
        (routed.matched, routed.chosen.as_deref()),
        (vec!["b".into(), "c".into(), "a".into()], Some("b"))
    );
    assert_eq!(event["metadata"]["matchedRuleIds"], json!(["b", "c", "a"]));
    assert_eq!(event["metadata"]["chosenRuleId"], "b");
    assert_eq!(event["metadata"]["routedAt"], "1970-01-01T00:00:00.000Z");
    assert_eq!(event["routingSlip"], json!([{ "id": "router", "v": "1", "status": "OK" }]));
}

#[test]
fn without_a_match_there_is_no_rule_and_no_step_left() {
    let (routed, event) = route("[]");
    assert_eq!((routed.matched.len(), routed.chosen), (0, None));
    assert_eq!(event["metadata"]["matchedRuleIds"], json!([]));
    assert_eq!(event["metadata"].as_object().unwrap()["chosenRuleId"], Value::Null);
}

#[test]
fn a_slip_takes_the_place_of_the_events_own() {
    let slip = "- { id: a, logic: true, routingSlip: [{ id: llm, v: '1', nextTopic: internal.llmbot.v1, maxAttempts: 2, attributes: { x: 1 } }, { nextTopic: internal.egress.v1 }] }";
    let own =
        json!({ "routingSlip": [{ "id": "evil", "status": "PENDING", "nextTopic": "internal.ingress.v1" }] });
    let (_, event) = route_with(&rules(slip), &own, |_, _| 0);
    let steps = event["routingSlip"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!(
        steps[0],
        json!({"id":"llm","v":"1","status":"PENDING","attempt":0,"maxAttempts":2,"nextTopic":"internal.llmbot.v1","attributes":{"x":1},"startedAt":null,"endedAt":null,"error":null,"notes":null})
    );
    assert_eq!((&steps[1]["id"], &steps[1]["maxAttempts"]), (&json!("step-2"), &json!(3)));
}

const ENRICH: &str = r##"
- id: e
  logic: true
  metadata: { greeting: yo }
  enrichments:
    message: "{{greeting}} {{user.displayName}}{{none}}"
    annotations:
      - { kind: personality, value: "{{user.displayName}}" }
      - { label: "{{message.text}}", payload: { raw: "{{user.displayName}}" } }
    candidates:
      - { text: "Hi {{user.displayName}}", reason: "{{greeting}}" }
      - { id: c2, text: it's, priority: 20, createdAt: "2020-01-01T00:00:00Z" }
    egress: { destination: some-platform, type: dm }
"##;

#[test]
fn a_rule_adds_behind_what_is_there_and_partial_parts_are_made_whole() {
    let (_, event) = route(ENRICH);
    let annotations = event["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), 3);
    assert_eq!(annotations[0]["id"], "old");
    let tag = &sha256_tag();
    let expected = json!({"id":format!("rule-e-ann-1-{tag}"),"kind":"personality","source":"rule:e","createdAt":"1970-01-01T00:00:00.000Z","value":"Ann"});
    assert_eq!(annotations[1], expected);
    assert_eq!((&annotations[2]["kind"], &annotations[2]["label"]), (&json!("custom"), &json!("hi")));
    assert_eq!(annotations[2]["payload"]["raw"], "{{user.displayName}}");
    let candidates = event["candidates"].as_array().unwrap();
    let expected = json!({"id":"rule-e-cand-1","kind":"text","source":"rule:e","createdAt":"1970-01-01T00:00:00.000Z","status":"proposed","priority":10,"text":"Hi Ann","reason":"yo"});
    assert_eq!(candidates[0], expected);
    let given = (&candidates[1]["id"], &candidates[1]["priority"], &candidates[1]["createdAt"]);
    assert_eq!(given, (&json!("c2"), &json!(20), &json!("2020-01-01T00:00:00Z")));
}

fn sha256_tag() -> String {
    chatbus_event::sha256_hex(b"m1")[..12].to_owned()
}

#[test]
fn what_the_platform_said_survives_a_new_message_unlike_the_predecessors() {
    let (_, event) = route(ENRICH);
    let id = format!("rule-e-message-{}", sha256_tag());
    let expected =
        json!({ "id": id, "role": "assistant", "text": "yo Ann", "rawPlatformPayload": { "text": "hi" } });
    assert_eq!(event["message"], expected);
}

#[test]
fn the_channel_is_never_overwritten_by_the_destination_unlike_the_predecessors() {
    let (_, event) = route(ENRICH);
    assert_eq!(event["channel"], "#a");
    assert_eq!(event["egress"], json!({ "destination": "some-platform", "type": "dm", "own": 1 }));
    let (_, event) = route("- { id: a, logic: true, enrichments: { egress: { type: dm } } }");
    assert_eq!(event["egress"]["destination"], "internal.egress.v1.i1");
}

#[test]
fn a_redelivery_makes_the_same_bytes_unlike_the_predecessors() {
    let bytes = |rules: &str| route(rules).0.event.encode();
    assert_eq!(bytes(ENRICH), bytes(ENRICH));
}

#[test]
fn annotations_beside_the_enrichments_count_when_those_have_none() {
    let (_, event) = route("- { id: a, logic: true, annotations: [{ kind: old }] }");
    assert_eq!(event["annotations"][1]["kind"], "old");
    let (_, event) = route(
        "- { id: a, logic: true, annotations: [{ kind: old }], enrichments: { annotations: [{ kind: new }] } }",
    );
    assert_eq!(event["annotations"].as_array().unwrap().len(), 2);
    assert_eq!(event["annotations"][1]["kind"], "new");
}

#[test]
fn one_candidate_is_picked_where_the_rule_says_so() {
    let rules = rules(
        "- { id: a, logic: true, enrichments: { randomCandidate: true, candidates: [{ text: x }, { text: y }, { text: z }] } }",
    );
    let (routed, event) = route_with(&rules, &json!({}), |rule, count| {
        assert_eq!((rule, count), ("a", 3));
        1
    });
    assert_eq!(egress_text(&routed.event).as_deref(), Some("y"));
    assert_eq!(event["candidates"].as_array().unwrap().len(), 1);
    assert_eq!(event["candidates"][0]["id"], "rule-a-cand-2");
    let (routed, _) = route_with(&rules, &json!({}), |_, _| 99);
    assert_eq!(egress_text(&routed.event).as_deref(), Some("z"));
}

#[test]
fn what_users_write_is_never_a_template_a_topic_or_a_rule() {
    let rules =
        rules("- { id: a, logic: true, enrichments: { candidates: [{ text: '{{message.text}}' }] } }");
    let evil = json!({ "message": { "role": "user", "text": "{{metadata.secret}}" }, "metadata": { "secret": "s" } });
    let (routed, _) = route_with(&rules, &evil, |_, _| 0);
    assert_eq!(egress_text(&routed.event).as_deref(), Some("{{metadata.secret}}"));
}

#[test]
fn events_of_every_shape_are_enriched_where_they_are_read() {
    let rules = rules(ENRICH);
    for shape in [
        r#"{"envelope":{"source":"s","user":{"displayName":"Ann"}},"type":"t","payload":{"candidates":[{"text":"old","priority":99}]}}"#,
        r#"{"source":{"platform":"p"},"user":{"displayName":"Ann"},"type":"t","payload":{"text":"x"}}"#,
    ] {
        let event = Event::decode(&Bytes::from(shape)).unwrap();
        let cx = RouteContext { now: Timestamp::EPOCH, message_id: &MessageId::new("m") };
        let routed = rules.route(event, &cx, |_, _| 0);
        assert_eq!(egress_text(&routed.event).as_deref(), Some("Hi Ann"));
        assert_eq!(routed.event.metadata("chosenRuleId"), Some(Raw::of("e")));
    }
}

#[test]
fn everything_wrong_is_said_at_once_with_file_rule_and_field() {
    let all = refused(
        r#"
- { id: a, logic: true, routingSlip: [{ nextTopic: internal.user.enriched.v1 }] }
- { id: b, logic: true, routingSlip: [{ nextTopic: internal.ingress.v1 }, { id: x }] }
- { id: c, logic: true, routingSlip: [{ nextTopic: "internal.{{channel}}.v1" }] }
- { id: d, logic: true, routingSlip: [{ nextTopic: internal.mine.v1 }, { nextTopic: internal.deadletter.v1 }] }
- { id: e, logic: true, enrichments: { egress: { destination: "{{message.text}}" } } }
- { id: f, logic: true, enrichments: { egress: { destination: internal.ingress.v1, type: shout } } }
- { id: g, logic: true, enrichments: { candidates: [{ text: "{{#a}}" }, 7] } }
- { id: h, prioritaet: 1, priority: high, enabled: 1 }
- { logic: true }
- { id: i, logic: true, routingSlip: [{ nextTopic: internal.llmbot.v1, maxAttempts: 1.5 }] }
- 7
"#,
    );
    for expected in [
        r#"rules.yaml: rule "a": routingSlip[0].nextTopic: internal.user.enriched.v1 leads back to the router"#,
        r#"rule "b": routingSlip[0].nextTopic: internal.ingress.v1 leads back"#,
        r#"rule "b": routingSlip[1].nextTopic: missing"#,
        r#"rule "c": routingSlip[0].nextTopic: "internal.{{channel}}.v1" is not a topic"#,
        r#"rule "d": routingSlip[0].nextTopic: internal.mine.v1 is neither"#,
        r#"rule "d": routingSlip[1].nextTopic: internal.deadletter.v1 takes dead letters"#,
        r#"rule "e": enrichments.egress.destination: a template"#,
        r#"rule "f": enrichments.egress.destination: neither a platform's name nor"#,
        r#"rule "f": enrichments.egress.type: neither chat, dm nor event"#,
        r##"rule "g": enrichments.candidates[0].text: "#a" is no path"##,
        r#"rule "g": enrichments.candidates[1]: not an object"#,
        r#"rule "h": prioritaet: unknown"#,
        r#"rule "h": priority: not a number"#,
        r#"rule "h": enabled: neither true nor false"#,
        r#"rule "h": logic: missing"#,
        r##"rule "#9": id: 1 to 100 bytes"##,
        r#"rule "i": routingSlip[0].maxAttempts: not a whole number from 1 to 10"#,
        r##"rule "#11": not an object"##,
    ] {
        assert!(all.contains(expected), "{expected} in\n{all}");
    }
    assert!(refused("- { id: a, logic: true }\n- { id: a, logic: true }").contains("two rules of this name"));
    assert!(refused("- { id: a, logic: { nope: 1 } }").contains(r#"rule "a": logic.nope: unknown operator"#));
    assert!(refused("rules: 7").contains("rules: not a list"));
    assert!(refused("7").contains("not an object"));
}

#[test]
fn limits_hold_at_load() {
    let of = |member: &str| format!("- {{ id: a, logic: true, {member} }}");
    let step = "{ nextTopic: internal.llmbot.v1 }";
    let long = "x".repeat(4_001);
    for (text, expected) in [
        (of(&format!("routingSlip: [{}]", [step; 17].join(","))), "routingSlip: over 16 items"),
        (of(&format!("enrichments: {{ message: {long} }}")), "enrichments.message: over 4000 characters"),
        (of(&format!("enrichments: {{ candidates: [{{ text: {long} }}] }}")), "text: over 4000 characters"),
        (of(&format!("metadata: {{ a: {} }}", "x".repeat(17_000))), "metadata: over 16384 bytes"),
        (of(&format!("metadata: {{ a: {}{} }}", "[".repeat(20), "]".repeat(20))), "metadata: over 16 levels"),
        (format!("[{}]", vec!["{ id: a, logic: true }"; 1_001].join(",")), "over 1000"),
        (of(&format!("description: {long}")), "description: over 4000 characters"),
        (format!("- {{ id: {}, logic: true }}", "x".repeat(101)), "id: over 100 characters"),
    ] {
        let said = refused(&text);
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn a_set_has_at_most_a_thousand_rules_and_says_what_it_left_out() {
    let text: Vec<String> = (0..600).map(|n| format!("{{ id: r{n}, priority: {n}, logic: true }}")).collect();
    let compiler = Compiler::default();
    let first = compiler.rules("a.yaml", &format!("[{}]", text.join(","))).unwrap();
    let second =
        compiler.rules("b.yaml", &format!("[{}]", text.join(",").replace("id: r", "id: s"))).unwrap();
    let all = RuleSet::new(first.iter().cloned().chain(second));
    assert_eq!((all.len(), all.left_out()), (1_000, 200));
    assert_eq!(all.rules().next().map(|rule| &*rule.id), Some("r0"));
}

#[test]
fn a_single_rule_is_called_as_its_file_is() {
    let compiler = Compiler::default();
    for (name, text) in [("rules/hello.yaml", "logic: true"), ("hello.json", r#"{"logic":"true"}"#)] {
        assert_eq!(compiler.rules(name, text).unwrap()[0].rule().id, "hello");
    }
    assert_eq!(compiler.rules("x.yaml", "rules: [{ id: a, logic: true }]").unwrap()[0].rule().id, "a");
    assert!(compiler.rules("x.yaml", "").unwrap().is_empty());
}

#[test]
fn a_configured_topic_may_be_sent_to() {
    let topic = chatbus_event::Topic::parse("internal.mine.v1").unwrap();
    let compiler = Compiler::new(vec![topic]);
    let text = "- { id: a, logic: true, routingSlip: [{ nextTopic: internal.mine.v1 }], enrichments: { egress: { destination: internal.mine.v1 } } }";
    assert!(compiler.rules("x.yaml", text).is_ok());
}

#[test]
fn why_a_rule_matched_or_not_is_told() {
    let rules = rules(
        r#"
- { id: a, priority: 1, logic: { "==": [{ var: message.text }, hello] } }
- { id: b, priority: 2, logic: { and: [{ var: user.displayName }] } }
- { id: c, priority: 3, logic: { throw: x } }
- { id: d, priority: 4, logic: { "==": [{ var: message.text }, hi] } }
- { id: e, priority: 5, enabled: false, logic: true }
- { id: f, priority: 6, logic: true }
"#,
    );
    let told = rules.explain(&event(&json!({})), Timestamp::EPOCH);
    let short: Vec<_> =
        told.iter().map(|rule| (&*rule.id, rule.matched, rule.chosen, rule.value.as_deref())).collect();
    assert_eq!(
        short,
        [
            ("a", false, false, Some("false")),
            ("b", false, false, Some("\"Ann\"")),
            ("c", false, false, None),
            ("d", true, true, Some("true")),
            ("e", false, false, Some("true")),
            ("f", true, false, Some("true")),
        ]
    );
    assert_eq!(told[0].reads, [("message.text".to_owned(), "\"hi\"".to_owned())]);
    assert!(told[2].error.is_some());
}
