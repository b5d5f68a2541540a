//! What becomes of an event that the model answers, and of one it is not asked about.

use std::time::Duration;

use chatbus_llm_bot::{Budget, Budgets, Compose, LlmConfig, PersonalityConfig, ReplyRule, ReplyRules};
use chatbus_sandbox::model::ModelFault;
use serde_json::{Value, json};

use crate::rig::{KEY, Rig, config, record, says};

const ABOUT_SKY: &str =
    "You asked about \"why is the sky blue\". I am the sandbox's model and know nothing, but I heard you.";

#[tokio::test]
async fn a_prompt_gets_a_candidate_and_the_event_goes_on_with_all_its_fields() {
    for stream in [true, false] {
        let rig = Rig::with(LlmConfig { stream, temperature: Some(0.5), ..config() }).await;
        let answered = rig.answer("m-1", says("ann", "why is the sky blue?")).await;
        assert_eq!(answered.topic(), "internal.egress.v1.one");
        assert_eq!(
            answered.event["candidates"],
            json!([{
                "id": "cand-m-1", "kind": "text", "source": "llm-bot", "createdAt": "2025-11-21T17:02:01.000Z",
                "status": "proposed", "priority": 10, "text": ABOUT_SKY, "reason": "model:test-model",
            }])
        );
        assert_eq!(answered.step()["status"], "OK");
        assert_eq!(answered.event["unknown"], json!({ "kept": 1 }));
        assert_eq!(answered.event["message"]["text"], "why is the sky blue?");
        let asked = rig.model().questions().remove(0);
        assert_eq!(asked.authorization.as_deref(), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!((&asked.body["model"], &asked.body["stream"]), (&json!("test-model"), &json!(stream)));
        assert_eq!(asked.body["temperature"], 0.5);
        assert_eq!(rig.bot.counts().answered, 1);
    }
}

#[tokio::test]
async fn the_model_is_told_the_system_prompt_personalities_name_roles_and_prompts() {
    let rig = Rig::start().await;
    let mut event = says("ann", "why?");
    event["user"] = json!({ "id": "somewhere:ann", "displayName": "Ann", "roles": ["moderator"] });
    event["annotations"] = json!([
        { "kind": "prompt", "value": "Answer in French." },
        { "kind": "personality", "id": "b", "score": 2, "payload": { "text": "You are grumpy." } },
        { "kind": "personality", "id": "a", "score": 1, "payload": { "text": "You are a pirate." } },
        { "kind": "personality", "id": "c", "value": "unheard-of" },
    ]);
    rig.answer("m-1", event).await;
    let sent: Vec<(String, String)> = rig.sent(0);
    let sent: Vec<(&str, &str)> = sent.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
    assert_eq!(
        sent,
        [
            ("system", "Be a bot.\n\nYou are a pirate.\n\nYou are grumpy."),
            ("system", "The next question is from \"Ann\", whose roles are: moderator."),
            ("user", "Answer in French.\n\nwhy?"),
        ]
    );
    let counts = rig.bot.counts();
    assert_eq!((counts.personalities_resolved, counts.personalities_missing), (2, 1));
}

#[tokio::test]
async fn without_a_prompt_the_step_is_skipped_and_the_event_is_finalized() {
    let rig = Rig::start().await;
    let answered = rig.answer("m-1", says("ann", "   ")).await;
    assert_eq!((answered.topic(), &answered.event["status"]), ("internal.finalizer.v1", &json!("NONE")));
    assert_eq!((rig.model().asked(), rig.bot.counts().skipped), (0, 1));
}

#[tokio::test]
async fn a_skipped_step_goes_on_to_the_next_one() {
    let rig = Rig::start().await;
    let mut event = says("ann", " ");
    let next =
        json!({ "id": "two", "status": "PENDING", "nextTopic": "internal.ingress.v1", "maxAttempts": 1 });
    event["routingSlip"].as_array_mut().unwrap().push(next);
    let answered = rig.answer("m-1", event).await;
    assert_eq!((answered.topic(), &answered.step()["status"]), ("internal.ingress.v1", &json!("SKIP")));
}

#[tokio::test]
async fn an_empty_or_whitespace_answer_is_no_candidate_and_the_step_is_skipped() {
    let rig = Rig::start().await;
    for (n, empty) in ["", " \n ", "\"\"", "\u{200b}"].into_iter().enumerate() {
        rig.faults([ModelFault::Say(empty.into())]);
        let answered = rig.answer(&format!("m-{n}"), says("ann", "hi")).await;
        assert_eq!(answered.event["status"], "NONE", "{empty:?}");
        assert_eq!(answered.event.get("candidates"), None, "{empty:?}");
    }
}

#[tokio::test]
async fn an_answer_is_made_fit_for_the_platform_it_is_said_on() {
    let narrow = ReplyRule { max_chars: 12, one_line: true };
    let wide = ReplyRule { max_chars: 100, one_line: false };
    let by_platform = [("somewhere".to_owned(), narrow), ("elsewhere".to_owned(), wide)].into();
    let rig =
        Rig::with(LlmConfig { reply: ReplyRules { by_platform, ..ReplyRules::default() }, ..config() }).await;
    rig.faults([ModelFault::Say("\"/one two\nthree four\"".into()), ModelFault::Say("one\ntwo".into())]);
    let answered = rig.answer("m-1", says("ann", "hi")).await;
    assert_eq!(answered.text(), "\u{200b}/one two…");
    let mut event = says("ann", "hi");
    event["egress"]["destination"] = json!("elsewhere");
    assert_eq!(rig.answer("m-2", event).await.text(), "one\ntwo");
}

#[tokio::test]
async fn nobody_answers_a_banned_user() {
    let rig = Rig::start().await;
    let mut event = says("ann", "hi");
    event["user"] = json!({ "id": "somewhere:ann", "status": "banned" });
    assert_eq!(rig.answer("m-1", event).await.event["status"], "NONE");
    assert_eq!(rig.model().asked(), 0);
}

#[tokio::test]
async fn who_asks_too_often_gets_no_answer_and_others_do() {
    let user = Budget { burst: 1, every: Duration::from_secs(3600) };
    let channel = Budget { burst: 2, every: Duration::from_secs(3600) };
    let rig = Rig::with(LlmConfig { budgets: Budgets { user, channel, tracked: 10 }, ..config() }).await;
    assert!(rig.answer("m-1", says("ann", "hi")).await.text().starts_with("You asked"));
    let refused = rig.answer("m-2", says("ann", "secret words")).await;
    assert_eq!(
        (refused.topic(), &refused.event["payload"]["error"]["code"]),
        ("internal.deadletter.v1", &json!("budget"))
    );
    assert!(rig.answer("m-3", says("bob", "hi")).await.text().starts_with("You asked"));
    let refused = rig.answer("m-4", says("cat", "hi")).await;
    assert_eq!(refused.event["payload"]["error"]["message"], "the channel asks too often");
    assert_eq!((rig.model().asked(), rig.bot.counts().over_budget), (2, 2));
}

#[tokio::test]
async fn after_its_timeout_an_event_is_not_worth_a_call() {
    let rig = Rig::start().await;
    let mut event = says("ann", "hi");
    event["timeoutAt"] = json!("2001-01-01T00:00:00Z");
    let late = rig.answer("m-1", event.clone()).await;
    assert_eq!(
        (late.topic(), &late.event["payload"]["error"]["code"]),
        ("internal.deadletter.v1", &json!("timeout"))
    );
    assert_eq!(rig.model().asked(), 0);
    event["timeoutAt"] = json!("9001-01-01T00:00:00Z");
    assert!(rig.answer("m-2", event).await.text().starts_with("You asked"));
}

#[tokio::test]
async fn personalities_are_found_in_files_by_their_short_form() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pirate.yaml"), "text: Speak like a pirate.\nstatus: active\n")
        .unwrap();
    let personalities = PersonalityConfig {
        paths: vec![folder.path().to_owned()],
        compose: Compose::Replace,
        ..PersonalityConfig::default()
    };
    let rig = Rig::with(LlmConfig { personalities, ..config() }).await;
    let mut event = says("ann", "hi");
    event["annotations"] = json!([{ "kind": "personality", "value": "pirate" }]);
    rig.answer("m-1", event).await;
    assert_eq!(rig.sent(0)[0].1, "Speak like a pirate.");
}

#[tokio::test]
async fn a_step_that_is_not_ours_is_passed_on_and_one_that_failed_is_not_tried() {
    let rig = Rig::start().await;
    let mut event = says("ann", "hi");
    event["routingSlip"][0]["nextTopic"] = json!("internal.ingress.v1");
    let passed = rig.answer("m-1", event).await;
    assert_eq!((passed.topic(), &passed.step()["status"]), ("internal.ingress.v1", &json!("PENDING")));
    let mut event = says("ann", "hi");
    event["routingSlip"][0]["status"] = json!("ERROR");
    assert_eq!(rig.answer("m-2", event).await.topic(), "internal.deadletter.v1");
    assert_eq!(rig.model().asked(), 0);
}

#[tokio::test]
async fn an_event_without_a_slip_is_answered_where_it_says() {
    let rig = Rig::start().await;
    let mut event = says("ann", "why is the sky blue?");
    event["routingSlip"] = json!([]);
    event["egress"]["destination"] = json!("nonsense.topic");
    let answered = rig.answer("m-1", event).await;
    assert_eq!((answered.topic(), answered.text()), ("internal.egress.v1", ABOUT_SKY));
}

#[tokio::test]
async fn what_is_no_event_is_given_up_and_holds_nothing_back() {
    let rig = Rig::start().await;
    let mut bad = record("bad", &Value::Null);
    bad.message.body = "not json".into();
    let good = record("good", &says("ann", "hi"));
    let results = rig.batch(&[&bad, &good, &bad]).await;
    assert!(
        matches!(&results[0], Err(chatbus_bus::HandlerError::GiveUp(failure)) if failure.code == "invalid_event")
    );
    assert!(results[1].is_ok() && results[2].is_err());
}
