use bytes::Bytes;
use chatbus_event_router::{check, test};
use chatbus_routing::{Compiler, DefaultRules, RuleSet};
use serde_json::{Value, json};

use crate::{now, write};

#[tokio::test]
async fn everything_wrong_in_a_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.yaml"), "[{ id: x, logic: true }, { id: y, logic: true }]");
    write(&folder.path().join("b.yaml"), "- { id: z, logic: { nope: 1 }, extra: 1 }");
    write(&folder.path().join("c.yaml"), "- { id: x, logic: true }");
    let checked = check(folder.path(), &Compiler::default()).await.unwrap();
    let told: Vec<_> =
        checked.iter().map(|file| (&*file.name, file.rules.len(), file.problems.len())).collect();
    assert_eq!(told, [("a.yaml", 2, 0), ("b.yaml", 0, 1), ("c.yaml", 1, 1)]);
    assert!(checked[2].problems[0].contains("a.yaml has a rule of this name too"));
    assert!(check(&folder.path().join("none"), &Compiler::default()).await.is_err());
}

#[test]
fn what_rules_make_of_an_event_is_told() {
    let compiler = Compiler::default();
    let defaults = DefaultRules { bot_name: Some("bot".into()), has_llm: true, commands: vec![] };
    let rules = RuleSet::new(defaults.compile(&compiler).0);
    let ask = |text: &str, kind: &str| {
        let event = json!({ "type": kind, "source": "s", "message": { "role": "user", "text": text } });
        test(&rules, &Bytes::from(event.to_string()), now()).unwrap()
    };
    let ping = ask("!ping", "t");
    assert_eq!((ping.chosen.as_deref(), &*ping.goes_to), (Some("default-ping"), "internal.egress.v1"));
    let event: Value = serde_json::from_str(&ping.event).unwrap();
    assert_eq!(event["candidates"][0]["text"], "pong");
    let help = ping.rules.iter().find(|rule| rule.id == "default-help").unwrap();
    assert_eq!((help.matched, help.value.as_deref()), (false, Some("false")));
    assert!(help.reads.contains(&("message.text".to_owned(), "\"!ping\"".to_owned())));
    assert_eq!(ask("@bot hi", "t").goes_to, "internal.llmbot.v1");
    assert_eq!(ask("hi", "t").goes_to, "NONE");
    assert_eq!(ask("hi", "chat.command.v1").goes_to, "no_rule");
    assert!(test(&rules, &Bytes::from_static(b"{"), now()).is_err());
}
