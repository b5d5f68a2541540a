use datalogic_rs::DataValue;
use datalogic_rs::bumpalo::Bump;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn holds(logic: &Value, data: &Value) -> bool {
    try_holds(&Engines::new(), logic, data).unwrap()
}

fn try_holds(engines: &Engines, logic: &Value, data: &Value) -> Result<bool, LogicError> {
    let logic = engines.compile(logic)?;
    let arena = Bump::new();
    let data = DataValue::from_str(arena.alloc_str(&data.to_string()), &arena).unwrap();
    Ok(logic.holds(arena.alloc(data), &arena))
}

fn refused(logic: &Value) -> String {
    let error = Engines::new().compile(logic).map(|_| ()).unwrap_err();
    format!("{}: {}", error.at, error.message)
}

#[test]
fn a_match_is_exactly_true_or_one() {
    for (logic, expected) in [
        (json!(true), true),
        (json!(1), true),
        (json!({ "+": [0.5, 0.5] }), true),
        (json!(2), false),
        (json!({ "cat": ["yes"] }), false),
        (json!([true]), false),
        (json!({ "var": "none" }), false),
        (json!({ "/": [1, "x"] }), false),
    ] {
        assert_eq!(holds(&logic, &json!({})), expected, "{logic}");
    }
}

#[test]
fn a_condition_may_be_given_as_a_text() {
    assert!(holds(&json!(r#"{"==":[{"var":"a"},1]}"#), &json!({ "a": 1 })));
    assert!(refused(&json!("{")).contains("not JSON"));
}

#[test]
fn ci_eq_compares_as_texts_and_null_is_an_empty_one() {
    for (a, b, expected) in [
        (json!("Banned"), json!("banned"), true),
        (json!("STRAẞE"), json!("straße"), true),
        (json!(null), json!(""), true),
        (json!(5), json!("5"), true),
        (json!(1.5), json!("1.5"), true),
        (json!(true), json!("TRUE"), true),
        (json!("a"), json!("b"), false),
    ] {
        assert_eq!(holds(&json!({ "ci_eq": [a, b] }), &json!({})), expected, "{a} {b}");
        assert_eq!(holds(&json!({ "ci_eq": [{ "var": "a" }, b] }), &json!({ "a": a })), expected, "{a} {b}");
    }
}

#[test]
fn re_test_takes_flags_in_either_form() {
    let data = json!({ "t": "Hello\nWorld", "p": "^world", "bad": "(" });
    for (args, expected) in [
        (json!([{ "var": "t" }, "^Hello"]), true),
        (json!([{ "var": "t" }, "^hello"]), false),
        (json!([{ "var": "t" }, "^hello", "i"]), true),
        (json!([{ "var": "t" }, ["^world", "im"]]), true),
        (json!([{ "var": "t" }, ["^World"]]), false),
        (json!([{ "var": "t" }, "o.W", "s"]), true),
        (json!([{ "var": "t" }, { "var": "p" }, "im"]), true),
        (json!([{ "var": "t" }, { "cat": ["wor", "ld"] }, "i"]), true),
        (json!([{ "var": "none" }, "^$"]), true),
        (json!([{ "var": "t" }, { "var": "bad" }]), false),
        (json!([{ "var": "t" }, { "var": "p" }, { "var": "bad" }]), false),
    ] {
        assert_eq!(holds(&json!({ "re_test": args }), &data), expected, "{args}");
    }
}

#[test]
fn a_constant_pattern_that_is_none_is_refused_at_load_unlike_the_predecessors() {
    assert!(refused(&json!({ "!": [{ "re_test": ["a", "("] }] })).starts_with("![0].re_test: not a pattern"));
    assert!(refused(&json!({ "re_test": ["a", "a", "y"] })).contains("unknown flag 'y'"));
    assert!(refused(&json!({ "re_test": ["a", "(?=a)"] })).contains("not a pattern"));
    assert!(refused(&json!({ "re_test": ["a", "a".repeat(1_001)] })).contains("1000 bytes"));
    assert!(refused(&json!({ "re_test": ["a", "((a{100}){100}){100}"] })).contains("not a pattern"));
    assert!(
        refused(&json!({ "re_test": ["a", format!("{}a{}", "(".repeat(60), ")".repeat(60))] }))
            .contains("not a pattern")
    );
}

#[test]
fn a_catastrophic_pattern_takes_time_that_grows_with_the_text_only_unlike_the_predecessors() {
    let engines = Engines::new();
    let clock = chatbus_testkit::test_runtime(1).clock;
    let start = clock.instant();
    for pattern in ["^(a+)+$", "(a|aa)*c", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*a){20}"] {
        for logic in [
            json!({ "re_test": [{ "var": "t" }, pattern] }),
            json!({ "re_test": [{ "var": "t" }, { "var": "p" }] }),
        ] {
            let data = json!({ "t": format!("{}!", "a".repeat(100_000)), "p": pattern });
            try_holds(&engines, &logic, &data).unwrap();
        }
    }
    // A backtracking engine would take longer than the universe has; a busy machine does not.
    assert!(clock.instant() - start < std::time::Duration::from_secs(20));
}

#[test]
fn patterns_that_events_bring_are_remembered_up_to_a_bound_unlike_the_predecessors() {
    let engines = Engines::new();
    let logic = engines.compile(&json!({ "re_test": ["x", { "var": "p" }] })).unwrap();
    for n in 0..1_000 {
        let arena = Bump::new();
        let data = DataValue::from_str(arena.alloc_str(&json!({ "p": format!("a{n}") }).to_string()), &arena);
        assert!(!logic.holds(arena.alloc(data.unwrap()), &arena));
        assert!(engines.cache.len() <= 64);
    }
}

#[test]
fn text_contains_finds_a_needle_with_a_space_at_the_end_too() {
    for (text, needle, ci, expected) in [
        ("hello @bot how", "@bot ", false, true),
        ("hello @bot", "@bot ", false, true),
        ("hello @bot  ", "@bot ", false, true),
        ("hello @BOT", "@bot ", true, true),
        ("hello @BOT", "@bot ", false, false),
        ("hello @botty", "@bot ", true, false),
        ("@bot", "long needle ", true, false),
        ("ÄPFEL", "äpfel ", true, true),
        ("x", "", true, true),
        ("x", "", false, true),
        ("x", " ", true, false),
        ("x", " ", false, false),
        ("!lurk", "!lurk ", false, true),
    ] {
        for flag in [json!(ci), json!(ci.to_string())] {
            let logic = json!({ "text_contains": [{ "var": "t" }, needle, flag] });
            assert_eq!(holds(&logic, &json!({ "t": text })), expected, "{text:?} {needle:?} {ci}");
        }
    }
    assert!(!holds(&json!({ "text_contains": [{ "var": "none" }, "a"] }), &json!({})));
}

#[test]
fn has_role_asks_for_a_role() {
    let data = json!({ "r": ["Moderator", 1], "text": "moderator" });
    assert!(holds(&json!({ "has_role": [{ "var": "r" }, "Moderator"] }), &data));
    assert!(!holds(&json!({ "has_role": [{ "var": "r" }, "moderator"] }), &data));
    assert!(holds(&json!({ "has_role": [{ "var": "r" }, "moderator", true] }), &data));
    assert!(holds(&json!({ "has_role": [{ "var": "r" }, "moderator", "true"] }), &data));
    assert!(!holds(&json!({ "has_role": [{ "var": "text" }, "moderator"] }), &data));
    assert!(!holds(&json!({ "has_role": [{ "var": "none" }, ""] }), &data));
}

#[test]
fn annotations_and_candidates_are_found_in_a_list_or_an_event() {
    let data = json!({
        "annotations": [{ "label": "mood", "value": "good" }, { "label": "n", "value": 2 }, 7],
        "candidates": [{ "source": "llm-bot" }],
        "routingSlip": [],
    });
    let whole = json!({ "var": "" });
    assert!(holds(&json!({ "has_annotation": [whole, "mood"] }), &data));
    assert!(holds(&json!({ "has_annotation": [{ "var": "annotations" }, "mood", "good"] }), &data));
    assert!(holds(&json!({ "has_annotation": [whole, "n", 2] }), &data));
    assert!(!holds(&json!({ "has_annotation": [whole, "n", "2"] }), &data));
    assert!(!holds(&json!({ "has_annotation": [whole, "mood", "bad"] }), &data));
    assert!(!holds(&json!({ "has_annotation": [{ "var": "none" }, "mood"] }), &data));
    assert!(holds(&json!({ "has_candidate": [whole] }), &data));
    assert!(holds(&json!({ "has_candidate": { "var": "candidates" } }), &data));
    assert!(holds(&json!({ "has_candidate": [whole, "llm-bot"] }), &data));
    assert!(!holds(&json!({ "has_candidate": [whole, "other"] }), &data));
    assert!(!holds(&json!({ "has_candidate": [{ "var": "none" }] }), &data));
}

#[test]
fn a_slip_is_complete_when_nothing_is_left_and_something_was_done() {
    for (statuses, expected) in [
        (json!([]), false),
        (json!(["OK"]), true),
        (json!(["OK", "SKIP"]), true),
        (json!(["SKIP"]), false),
        (json!(["OK", "PENDING"]), false),
        (json!(["OK", "ERROR"]), false),
        (json!([null]), false),
    ] {
        let slip: Vec<Value> =
            statuses.as_array().unwrap().iter().map(|status| json!({ "status": status })).collect();
        let data = json!({ "routingSlip": slip });
        assert_eq!(
            holds(&json!({ "slip_complete": { "var": "routingSlip" } }), &data),
            expected,
            "{statuses}"
        );
    }
}

#[test]
fn an_unknown_operator_is_refused_at_load_unlike_the_predecessors() {
    assert_eq!(
        refused(&json!({ "and": [true, { "texts_contain": [1, 2] }] })),
        "and[1].texts_contain: unknown operator \"texts_contain\""
    );
    assert_eq!(refused(&json!({ "re_test#0": ["a"] })), "re_test#0: unknown operator \"re_test#0\"");
    assert!(refused(&json!({ "a": 1, "b": 2 })).contains("2 members"));
    assert!(refused(&json!({ "ci_eq": ["a"] })).contains("takes 2 to 2 values, 1 are given"));
}

#[test]
fn deep_or_huge_conditions_are_refused() {
    let mut deep = json!(true);
    for _ in 0..40 {
        deep = json!({ "!": [deep] });
    }
    assert!(refused(&deep).contains("32 levels"));
    assert!(refused(&json!({ "in": [1, vec![1; 1_100]] })).contains("1000 operations"));
    assert!(refused(&json!({ "==": ["x".repeat(5_000), 1] })).contains("4000 bytes"));
    assert!(refused(&json!("[".repeat(200))).contains("not JSON"));
    assert!(refused(&json!(" ".repeat(100_000))).contains("65536 bytes"));
}

#[test]
fn loops_in_loops_are_refused_before_they_cost_too_much() {
    let one = json!({ "map": [{ "var": "a" }, { "var": "" }] });
    let two = json!({ "some": [{ "var": "a" }, { "all": [{ "var": "b" }, { "var": "" }] }] });
    assert!(Engines::new().compile(&one).is_ok() && Engines::new().compile(&two).is_ok());
    let three = json!({ "some": [{ "var": "a" }, two] });
    assert!(refused(&three).contains("within another"));
    let grows = json!({ "map": [{ "var": "a" }, { "reduce": [{ "var": "b" }, { "cat": [{ "var": "accumulator" }, { "var": "current" }] }, ""] }] });
    assert!(refused(&grows).contains("within another"));
    assert!(refused(&json!({ "reduce": [one, 1, 0] })).contains("within another"));
}

/// Any value, odd numbers among them.
fn any_value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|truth| json!(truth)),
        prop_oneof![Just(0), Just(1), Just(-1), Just(i64::MIN), Just(i64::MAX), any::<i64>()]
            .prop_map(|n| json!(n)),
        prop_oneof![Just(0.0), Just(-0.0), Just(1e308), Just(-1e308), Just(5e-324), any::<f64>()]
            .prop_map(|n| json!(n)),
        "[a-zäß0-9 .-]{0,6}".prop_map(|text| json!(text)),
        prop_oneof![Just("a"), Just("a.b"), Just("")].prop_map(|path| json!({ "var": path })),
    ];
    plain.prop_recursive(4, 40, 4, |inner| {
        let names = Engines::new().shared.builtin_operator_names().collect::<Vec<_>>();
        let names: Vec<&'static str> =
            names.into_iter().chain(OPERATORS.iter().map(|own| own.name)).collect();
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            (proptest::sample::select(names), proptest::collection::vec(inner, 0..4))
                .prop_map(|(name, args)| json!({ name: args })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_condition_and_no_event_brings_the_engine_down(logic in any_value(), a in any_value(), b in any_value()) {
        let _ = try_holds(&Engines::new(), &logic, &json!({ "a": a, "b": b, "x": { "b": a } }));
    }
}

proptest! {
    #[test]
    fn text_contains_without_case_is_the_same_with_and_without_the_fast_way(
        text in "[aAbB @]{0,12}", needle in "[aAbB @]{0,5}",
    ) {
        let plain = json!({ "text_contains": [text.to_lowercase(), needle.to_lowercase()] });
        let fast = json!({ "text_contains": [text, needle, true] });
        prop_assert_eq!(holds(&plain, &json!({})), holds(&fast, &json!({})));
    }

    #[test]
    fn whatever_a_condition_is_it_is_refused_or_gives_a_value(text in r#"[{}\[\]":,0-9a-z+!=<>_ ]{0,60}"#) {
        let _ = try_holds(&Engines::new(), &json!(text), &json!({ "a": [1, "x", null] }));
    }
}
