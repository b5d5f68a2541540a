use bytes::Bytes;
use chatbus_event::{Event, MessageId, Timestamp, egress_text};
use serde_json::{Value, json};

use super::*;
use crate::{RouteContext, Routed, RuleSet};

fn rules(has_llm: bool, user: &str) -> RuleSet {
    let compiler = Compiler::default();
    let defaults = DefaultRules {
        bot_name: Some("@Chat.Bot\"1".into()),
        has_llm,
        commands: vec!["!hug".into(), "!ping".into()],
    };
    let (defaults, problems) = defaults.compile(&compiler);
    assert!(problems.is_empty(), "{problems:?}");
    RuleSet::new(defaults.into_iter().chain(compiler.rules("user.yaml", user).unwrap()))
}

fn routed(rules: &RuleSet, text: &str, rest: &Value) -> Routed {
    let mut event = json!({
        "type": "chat.message.v1", "source": "ingress.x", "userId": "1",
        "message": { "role": "user", "text": text },
    });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let event = Event::decode(&Bytes::from(event.to_string())).unwrap();
    let cx = RouteContext { now: Timestamp::EPOCH, message_id: &MessageId::new("m") };
    rules.route(event, &cx, |_, _| 0)
}

fn chosen(rules: &RuleSet, text: &str, rest: &Value) -> Option<String> {
    routed(rules, text, rest).chosen
}

#[test]
fn ping_and_help_are_answered() {
    let rules = rules(true, "[]");
    assert_eq!(egress_text(&routed(&rules, "!ping", &json!({})).event).as_deref(), Some("pong"));
    assert_eq!(egress_text(&routed(&rules, " !PING now", &json!({})).event).as_deref(), Some("pong"));
    for command in ["!help", "!commands"] {
        let said = egress_text(&routed(&rules, command, &json!({})).event);
        assert_eq!(said.as_deref(), Some("Commands: !help !ping !hug"));
    }
    for other in ["!pingpong", "ping", "say !ping", ""] {
        assert_eq!(chosen(&rules, other, &json!({})), None, "{other}");
    }
    let own = json!({ "message": { "role": "assistant", "text": "!ping" } });
    assert_eq!(chosen(&rules, "", &own), None);
}

#[test]
fn the_bot_is_spoken_to_by_its_whole_name_and_only_with_a_language_model() {
    let with = rules(true, "[]");
    for text in ["hi @chat.bot\"1", "@CHAT.BOT\"1: hello", "(@Chat.Bot\"1)"] {
        let routed = routed(&with, text, &json!({}));
        assert_eq!(routed.chosen.as_deref(), Some("default-mention"), "{text}");
        assert_eq!(routed.event.routing_slip()[0].next_topic.as_deref(), Some("internal.llmbot.v1"));
    }
    for text in ["chat.bot\"1", "@chat.bot\"12", "x@chat.bot\"1", "@chatxbot\"1"] {
        assert_eq!(chosen(&with, text, &json!({})), None, "{text}");
    }
    assert_eq!(chosen(&rules(false, "[]"), "@chat.bot\"1", &json!({})), None);
}

#[test]
fn our_own_words_banned_users_and_other_bots_are_not_answered_whatever_else_matches() {
    let greedy = r"
- id: greedy
  priority: 0
  logic: true
  enrichments: { candidates: [{ text: hello }] }
";
    let rules = rules(true, greedy);
    for (rest, id) in [
        (json!({ "metadata": { "self": true } }), "default-ignore-self"),
        (json!({ "user": { "status": "banned" } }), "default-ignore-banned"),
        (json!({ "metadata": { "ignored": true } }), "default-ignore-ignored"),
    ] {
        let routed = routed(&rules, "!ping", &rest);
        assert_eq!(routed.chosen.as_deref(), Some(id));
        assert!(routed.is_silent && egress_text(&routed.event).is_none());
        assert_eq!(routed.matched, [id, "greedy", "default-ping"]);
    }
    let routed =
        routed(&rules, "!ping", &json!({ "metadata": { "self": false }, "user": { "status": "active" } }));
    assert_eq!(routed.chosen.as_deref(), Some("greedy"));
    assert!(!routed.is_silent);
}

#[test]
fn a_rule_of_the_same_id_takes_the_place_of_a_default() {
    let own = r"
- { id: default-ping, logic: false }
- { id: default-ignore-self, enabled: false, logic: true }
";
    let rules = rules(true, own);
    assert_eq!(chosen(&rules, "!ping", &json!({ "metadata": { "self": true } })), None);
    assert_eq!(chosen(&rules, "!help", &json!({})).as_deref(), Some("default-help"));
}

#[test]
fn what_cannot_be_made_never_takes_the_guards_with_it() {
    let with = |name: &str, command: String| {
        let defaults =
            DefaultRules { bot_name: Some(name.into()), has_llm: true, commands: vec![command; 60] };
        let (rules, problems) = defaults.compile(&Compiler::default());
        (rules.len(), problems.len())
    };
    assert_eq!(with("bot", "!hug".into()), (6, 0));
    assert_eq!(with(&"x".repeat(2_000), "!hug".into()), (5, 1));
    assert_eq!(with("bot", "x".repeat(16_000)), (6, 0));
    for none in ["", "@", " "] {
        assert_eq!(with(none, String::new()), (5, 0), "{none:?}");
    }
}
