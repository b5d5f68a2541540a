//! What was missed is said, and what can be fetched is.

use chatbus_sandbox::discord::{BOTS_ID, GENERAL_ID};
use serde_json::json;

use crate::rig::{Rig, say};

#[tokio::test]
async fn a_session_that_is_gone_leaves_a_gap_that_is_told_and_filled() {
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    rig.discord().accept(false);
    rig.discord().drop_connections();
    rig.discord().invalidate();
    rig.say("ada", "missed");
    rig.say("bob", "missed too");
    rig.discord().accept(true);
    let gap = rig.ear.wait("system.source.gap.v1", |_| true).await;
    let event = &gap["externalEvent"];
    assert_eq!(event["source"], "discord.gateway");
    let payload = &event["payload"];
    assert_eq!((&payload["platform"], &payload["reason"]), (&json!("discord"), &json!("invalid_session")));
    assert_eq!(payload["channels"], json!([GENERAL_ID, BOTS_ID]));
    assert_eq!((&payload["backfilled"], &payload["open"]), (&json!(2), &json!([])));
    assert!(payload["from"].as_str() <= payload["to"].as_str());
    rig.say("ada", "live again");
    rig.ear.wait_text("live again").await;
    assert_eq!(rig.ear.texts(), ["one", "missed", "missed too", "live again"]);
    let fetched = rig.ear.wait_text("missed").await;
    assert_eq!((&fetched["channel"], &fetched["egress"]["type"]), (&json!(GENERAL_ID), &json!("chat")));
}

#[tokio::test]
async fn the_next_process_tells_what_the_last_one_left_unheard() {
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    let left = rig.end().await;
    left.0.discord().invalidate();
    say(left.0.discord(), "ada", "between");
    let rig = Rig::again(left).await;
    let gap = rig.ear.wait("system.source.gap.v1", |_| true).await;
    assert_eq!(gap["externalEvent"]["payload"]["backfilled"], 1);
    assert_eq!(rig.ear.texts(), ["one", "between"]);
}

#[tokio::test]
async fn a_gap_that_cannot_be_filled_says_which_channels_are_open() {
    use chatbus_sandbox::discord::{Refusal, Scope};
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    let path = format!("/channels/{GENERAL_ID}/messages");
    let refusal =
        Refusal { path, status: 403, code: 50_001, retry_after: None, scope: Scope::User, count: 1 };
    rig.discord().refuse(refusal).unwrap();
    rig.discord().invalidate();
    let gap = rig.ear.wait("system.source.gap.v1", |_| true).await;
    assert_eq!(gap["externalEvent"]["payload"]["open"], json!([GENERAL_ID]));
}

#[tokio::test]
async fn before_the_first_session_nothing_was_missed() {
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    assert_eq!(rig.ear.heard().len(), 1);
}
