use super::*;
use crate::Compiler;

fn policy(text: &str) -> Policy {
    Compiler::default().policy("policy.yaml", text).unwrap()
}

fn refused(text: &str) -> String {
    crate::list(&Compiler::default().policy("policy.yaml", text).map(|_| ()).unwrap_err())
}

const POLICY: &str = r##"
rules:
  - id: no-links
    priority: 20
    when: { re_test: [{ var: text }, "https?://", i] }
    then: { replace: "(a link, {{platform}})" }
  - id: staff
    priority: 10
    when: { "===": [{ var: token }, staff] }
    then: allow
  - id: quiet
    priority: 30
    when: { in: [{ var: channel }, ["#quiet"]] }
    then: deny
"##;

#[test]
fn the_first_rule_that_matches_decides_and_what_none_matches_is_allowed() {
    let policy = policy(POLICY);
    let asked = Asked { source: "bot", platform: Some("x"), text: "see HTTPS://a", ..Asked::default() };
    let replaced = Verdict::Replace { rule: "no-links".into(), text: "(a link, x)".into() };
    assert_eq!(policy.decide(&asked), replaced);
    assert_eq!(policy.decide(&Asked { token: Some("staff"), ..asked }), Verdict::Allow);
    let quiet = Asked { channel: Some("#quiet"), text: "hi", ..asked };
    assert_eq!(policy.decide(&quiet), Verdict::Deny { rule: "quiet".into() });
    assert_eq!(policy.decide(&Asked { channel: Some("#loud"), ..quiet }), Verdict::Allow);
    assert_eq!(Policy::default().decide(&quiet), Verdict::Allow);
}

#[test]
fn a_rule_that_cannot_be_evaluated_forbids_unless_it_would_allow() {
    let broken = r#"{ "throw": "x" }"#;
    for (then, expected) in [
        ("allow", Verdict::Allow),
        ("deny", Verdict::Deny { rule: "rule-1".into() }),
        (r#"{ "replace": "y" }"#, Verdict::Deny { rule: "rule-1".into() }),
    ] {
        let policy = policy(&format!("- when: {broken}\n  then: {then}\n"));
        assert_eq!(policy.decide(&Asked { text: "t", ..Asked::default() }), expected, "{then}");
    }
}

#[test]
fn a_replacement_is_not_read_as_a_template_again() {
    let policy = policy(r#"[{ "when": true, "then": { "replace": "{{text}}" } }]"#);
    let Verdict::Replace { text, .. } = policy.decide(&Asked { text: "{{token}}", ..Asked::default() })
    else {
        panic!("it replaces");
    };
    assert_eq!(text, "{{token}}");
}

#[test]
fn what_is_wrong_is_said_with_file_rule_and_field() {
    let all = refused(
        r#"
rules:
  - { id: a, when: { nope: 1 }, then: allow }
  - { id: b, when: true, then: maybe }
  - { id: b, then: deny }
  - { id: c, when: true, then: { replace: "{{" } }
  - { id: d, when: true, then: deny, els: 1 }
"#,
    );
    for expected in [
        r#"policy.yaml: rule "a": when.nope: unknown operator "nope""#,
        r#"policy.yaml: rule "b": then: neither allow, deny nor {replace: a text}"#,
        r#"policy.yaml: rule "b": when: missing"#,
        r#"policy.yaml: rule "c": then.replace: {{ without }}"#,
        r#"policy.yaml: rule "d": els: unknown"#,
    ] {
        assert!(all.contains(expected), "{expected} in\n{all}");
    }
    assert!(policy("").is_empty());
}
