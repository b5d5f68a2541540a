//! The policy is asked before every send, and its word is final.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbus_connector::Verdict;
use chatbus_delivery::{Answer, Policy, Question};
use serde_json::json;

use crate::world::World;

/// Denies what says `bad`, softens what says `rude`, and writes down what it was asked.
#[derive(Default)]
struct Strict(Mutex<Vec<String>>);

impl Policy for Strict {
    fn ask(&self, question: &Question<'_>) -> Answer {
        let Question { platform, channel, source, event_type, token, text, .. } = question;
        let asked = format!("{platform} {channel:?} {source} {event_type} {token:?} {text}");
        self.0.lock().unwrap().push(asked);
        match *text {
            "bad" => Answer::Deny { rule: "no-bad".into() },
            "rude" => Answer::Replace { rule: "soft".into(), text: "kind".into() },
            "empty" => Answer::Replace { rule: "soft".into(), text: "  ".into() },
            _ => Answer::Allow,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_one_dead_letter_and_what_is_replaced_is_said_otherwise() {
    let mut world = World::new();
    let policy = Arc::new(Strict::default());
    world.policy = Some(policy.clone());
    let engine = world.running().await;
    for text in ["bad", "rude", "empty", "fine"] {
        world.say("#a", text).await;
    }
    world.until_finalized(4).await;
    let outcomes = world.one_outcome_each(4).await;
    assert_eq!(outcomes.values().filter(|why| *why == "denied").count(), 2, "{outcomes:?}");
    assert_eq!(world.brook.texts("#a"), ["kind", "fine"]);
    let letters = world.dead_letters().await;
    assert!(letters.iter().any(|l| l["payload"]["error"]["message"] == "the policy no-bad says no"));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_again_for_each_attempt_and_told_who_asked() {
    let mut world = World::new();
    let policy = Arc::new(Strict::default());
    world.policy = Some(policy.clone());
    let busy = Verdict::Retry { after: Duration::from_secs(1), code: "busy".into(), message: "wait".into() };
    world.brook.answers("kind", [busy]);
    let engine = world.running().await;
    world.say_with("#a", "rude", json!({"metadata": {"tokenId": "tok_1"}})).await;
    world.until_finalized(1).await;
    world.one_outcome_each(1).await;
    assert_eq!(world.brook.texts("#a"), ["kind"], "the second attempt is softened too");
    let asked = policy.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.starts_with("brook Some(\"#a\")")), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.ends_with("Some(\"tok_1\") rude")), "{asked:?}");
    engine.stop().await;
}
