use datalogic_rs::bumpalo::Bump;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn render(template: &str, event: &Value, own: &Value) -> String {
    let arena = Bump::new();
    let data = DataValue::from_str(arena.alloc_str(&event.to_string()), &arena).unwrap();
    Template::parse(template).unwrap().render(&data, own.as_object().unwrap())
}

#[test]
fn places_are_filled_in_from_the_event_then_from_the_rules_own_data() {
    let event = json!({
        "user": { "displayName": "O'Neil <b>", "roles": ["a", "b", {}], "n": 3, "ok": true },
        "greeting": null,
        "list": [{ "x": 1.5 }],
    });
    let own = json!({ "greeting": "yo", "user": { "displayName": "never" }, "deep": { "list": ["p", 2] } });
    for (template, expected) in [
        ("{{greeting}} {{user.displayName}}!", "yo O'Neil <b>!"),
        ("{{ user.n }}/{{user.ok}}/{{list.0.x}}", "3/true/1.5"),
        ("{{user.roles}}", "a, b"),
        ("{{{user.displayName}}} {{&user.displayName}}", "O'Neil <b> O'Neil <b>"),
        ("{{deep.list.1}}{{deep.list}}{{deep}}", "2"),
        ("[{{none}}{{user}}{{user.none.deeper}}{{list.9}}]", "[]"),
        ("plain } }} { text", "plain } }} { text"),
        ("", ""),
    ] {
        assert_eq!(render(template, &event, &own), expected, "{template}");
    }
}

#[test]
fn nothing_is_escaped_unlike_the_predecessors() {
    assert_eq!(render("{{t}}", &json!({ "t": "it's <&\"" }), &json!({})), "it's <&\"");
}

#[test]
fn what_is_filled_in_is_never_read_as_a_template() {
    let event = json!({ "t": "{{secret}} {{t}}", "secret": "no", "u": "{{" });
    assert_eq!(render("{{t}}", &event, &json!({})), "{{secret}} {{t}}");
    assert_eq!(render("{{u}}secret}}", &event, &json!({})), "{{secret}}");
}

#[test]
fn what_is_no_path_is_refused() {
    for bad in [
        "{{",
        "{{a",
        "{{}}",
        "{{a..b}}",
        "{{#a}}x{{/a}}",
        "{{^a}}",
        "{{> a}}",
        "{{a b}}",
        "{{a()}}",
        "{{{a}}",
    ] {
        assert!(Template::parse(bad).is_err(), "{bad}");
    }
    assert!(Template::parse(&format!("{{{{{}}}}}", ["a"; 17].join("."))).is_err());
    assert!(Template::parse(&"{{a}}".repeat(300)).is_err());
}

#[test]
fn what_is_rendered_is_bounded() {
    let event = json!({ "t": "ü".repeat(3_000) });
    assert_eq!(render("{{t}}{{t}}{{t}}", &event, &json!({})).chars().count(), MAX_RENDERED_CHARS);
}

proptest! {
    #[test]
    fn a_text_without_places_is_itself(text in "[^{]{0,60}") {
        prop_assert_eq!(render(&text, &json!({}), &json!({})), text);
    }

    #[test]
    fn a_place_is_exactly_what_stands_in_the_event(before in "[^{]{0,9}", value in any::<String>(), after in "[^{]{0,9}") {
        let rendered = render(&format!("{before}{{{{x}}}}{after}"), &json!({ "x": value }), &json!({}));
        prop_assert_eq!(rendered, format!("{before}{value}{after}"));
    }

    #[test]
    fn any_text_is_refused_or_rendered_within_the_bound(text in "[{}a-z.# ]{0,80}", value in ".{0,2000}") {
        if let Ok(template) = Template::parse(&text) {
            let arena = Bump::new();
            let json = json!({ "a": value }).to_string();
            let data = DataValue::from_str(arena.alloc_str(&json), &arena).unwrap();
            let rendered = template.render(&data, &Map::new());
            prop_assert!(rendered.chars().count() <= MAX_RENDERED_CHARS);
        }
    }
}
