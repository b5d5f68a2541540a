//! The whole way of an event: who said it, what happens to it, what became of it.

use serde_json::{Value, json};

use crate::harness::{Chatbus, Running, SHORT, SandboxProcess, eventually};

/// A whole chatbus in the sandbox's chat, with rules of its own.
struct World {
    sandbox: SandboxProcess,
    chatbus: Chatbus,
    running: Running,
}

const RULES: &str = r#"
rules:
  - id: greet
    priority: 10
    logic: { "text_contains": [ { "var": "message.text" }, "hello bot", true ] }
    enrichments:
      candidates:
        - text: "hello {{user.displayName}}"
  - id: whisper-secret
    priority: 5
    logic: { "==": [ { "var": "message.text" }, "!secret" ] }
    enrichments:
      egress: { destination: twitch, type: dm }
      candidates:
        - text: "only you"
"#;

impl World {
    async fn start() -> Self {
        let sandbox = SandboxProcess::start().await;
        sandbox.without_limits().await;
        let chatbus = Chatbus::new()
            .whole()
            .reading(&sandbox.irc, "hall")
            .speaking()
            .with("TWITCH_MESSAGE_LIMIT", "off")
            .with("RULES_PATH", "rules.yaml");
        std::fs::write(chatbus.folder().join("rules.yaml"), RULES).unwrap();
        let running = chatbus.ready().await;
        sandbox.joined("hall", 1).await;
        Self { sandbox, chatbus, running }
    }

    /// What the bot said, once it is so much.
    async fn answers(&self, n: usize) -> Vec<String> {
        eventually("the bot answers", SHORT, async || {
            let sent = self.sandbox.sent().await;
            let texts: Vec<String> = sent.iter().map(|s| s["text"].as_str().unwrap().to_owned()).collect();
            if texts.len() >= n { Ok(texts) } else { Err(format!("{texts:?}\n{}", self.running.log())) }
        })
        .await
    }

    /// The rows of `chatbus events list --json` that match, once there are some and all have this status.
    async fn events(&self, filter: &[&str], status: &str) -> Vec<Value> {
        eventually("the events are recorded", SHORT, async || {
            let arguments = [&["events", "list", "--json"], filter].concat();
            let listed = self.chatbus.run(&arguments).await;
            assert_eq!(listed.code, Some(0), "{}", listed.err);
            let rows: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
            if !rows.is_empty() && rows.iter().all(|row| row["status"] == status) {
                Ok(rows)
            } else {
                Err(listed.out)
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_viewers_ping_is_answered_and_its_whole_way_can_be_read() {
    let world = World::start().await;
    world.sandbox.say("hall", "!ping").await;
    let answers = world.answers(1).await;
    assert!(answers[0].contains("pong"), "{answers:?}");
    let rows = world.events(&["--text", "!ping"], "FINALIZED").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let id = rows[0]["correlationId"].as_str().unwrap();
    assert_eq!(rows[0]["event"]["message"]["text"], "!ping");
    assert_eq!(rows[0]["event"]["user"]["id"].as_str().unwrap().split_once(':').unwrap().0, "twitch");
    let page = world.chatbus.run(&["events", "show", id]).await;
    assert_eq!(page.code, Some(0), "{}", page.err);
    for word in ["received", "enriched", "routed", "SENT"] {
        assert!(page.out.contains(word), "{word} is missing in:\n{}", page.out);
    }
    let shown = world.chatbus.run(&["events", "show", id, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let steps = shown["timeline"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"received") && names.contains(&"enriched") && names.contains(&"outcome"),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_rule_of_ones_own_answers_with_the_users_name_and_what_matches_nothing_is_not_answered() {
    let world = World::start().await;
    world.sandbox.say("hall", "just talking").await;
    world.sandbox.say("hall", "Hello bot, how are you").await;
    let answers = world.answers(1).await;
    assert!(answers[0].to_lowercase().starts_with("hello ada"), "{answers:?}");
    let rows = world.events(&["--text", "just talking"], "FINALIZED").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        world.answers(1).await.len(),
        1,
        "nobody answers what no rule matches, nor what we said ourselves"
    );
}

#[tokio::test]
async fn a_banned_user_is_not_answered_until_the_ban_is_lifted() {
    let world = World::start().await;
    world.sandbox.say("hall", "!ping").await;
    world.answers(1).await;
    let rows = world.events(&["--text", "!ping"], "FINALIZED").await;
    let user = rows[0]["event"]["user"]["id"].as_str().unwrap().to_owned();
    let banned = world.chatbus.run(&["users", "ban", &user]).await;
    assert_eq!(banned.code, Some(0), "{}", banned.err);
    world.sandbox.say("hall", "!ping while banned").await;
    world.sandbox.say("hall", "hello bot, please").await;
    world.events(&["--text", "hello bot, please"], "FINALIZED").await;
    assert_eq!(world.answers(1).await.len(), 1, "a banned user is not answered");
    assert_eq!(world.chatbus.run(&["users", "unban", &user]).await.code, Some(0));
    world.sandbox.say("hall", "hello bot again").await;
    assert_eq!(world.answers(2).await.len(), 2);
}

#[tokio::test]
async fn a_private_answer_that_cannot_be_given_is_a_dead_letter_and_never_public() {
    let world = World::start().await;
    world.sandbox.say("hall", "!secret").await;
    let rows = world.events(&["--text", "!secret"], "ERROR").await;
    assert_eq!(rows.len(), 1);
    let letters = eventually("the dead letter is kept", SHORT, async || {
        let listed = world.chatbus.run(&["dlq", "list", "--json"]).await;
        let letters: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
        if letters.is_empty() { Err(listed.out) } else { Ok(letters) }
    })
    .await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["reason"], "unsupported");
    assert_eq!(letters[0]["original"]["message"]["text"], "!secret");
    assert!(world.sandbox.sent().await.is_empty(), "nothing private is said in public");
    let id = letters[0]["id"].as_str().unwrap();
    let dry = world.chatbus.run(&["dlq", "replay", id, "--dry-run"]).await;
    assert!(dry.out.contains("1 would be replayed"), "{}{}", dry.out, dry.err);
    // It cannot be said now either: after three replays it is not tried any more.
    for n in 1..=4 {
        let open = eventually("the letter of the last try is kept", SHORT, async || {
            let listed = world.chatbus.run(&["dlq", "list", "--state", "open", "--json"]).await;
            let letters: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
            letters.into_iter().next().ok_or(listed.out)
        })
        .await;
        let done = world.chatbus.run(&["dlq", "replay", open["id"].as_str().unwrap(), "--json"]).await;
        let done: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(done[0]["refused"].is_null(), n < 4, "{done}");
    }
}

#[tokio::test]
async fn commands_work_on_the_store_when_nothing_runs() {
    let world = World::start().await;
    world.sandbox.say("hall", "!ping").await;
    world.events(&["--text", "!ping"], "FINALIZED").await;
    let World { chatbus, mut running, .. } = world;
    running.kill().await;
    let listed = chatbus.run(&["events", "list", "--json"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let rows: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    assert!(rows.iter().any(|row| row["event"]["message"]["text"] == "!ping"), "{rows:?}");
    for (arguments, word) in [
        (&["channels", "add", "twitch", "#Yard"][..], "joined"),
        (&["channels", "list"], "yard"),
        (&["channels", "remove", "twitch", "yard"], "left"),
        (&["users", "list"], "twitch:"),
    ] {
        let done = chatbus.run(arguments).await;
        assert!(done.code == Some(0) && done.out.contains(word), "{arguments:?}: {}{}", done.out, done.err);
    }
    let unknown = chatbus.run(&["events", "show", "no-such-event"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("no event of this correlation id"), "{}", unknown.err);
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_what_would_be_right() {
    let world = World::start().await;
    let (status, said) = world.running.get("/api/v1/events?status=NONSENSE").await.unwrap();
    assert_eq!((status, &said["error"]["code"]), (400, &json!("bad_request")));
    assert!(said["error"]["message"].as_str().unwrap().contains("FINALIZED"), "{said}");
    let (status, said) = world.running.get("/api/v1/dlq?since=yesterday").await.unwrap();
    assert_eq!(status, 400, "{said}");
    let (status, _) = world.running.get("/api/v1/users/nobody").await.unwrap();
    assert_eq!(status, 404);
}
