//! What default rules are not to answer.

use serde_json::{Value, json};

use crate::fixture::{Fixture, chat, own, record};

fn reason(event: &Value) -> Option<&str> {
    let metadata = &event["metadata"];
    let reason = metadata["ignoredReason"].as_str();
    assert_eq!(metadata["ignored"].as_bool().unwrap_or(false), reason.is_some());
    reason
}

#[tokio::test]
async fn our_own_account_and_listed_bots_are_not_answered() {
    let f = Fixture::new();
    assert_eq!(reason(&f.enrich(&own("o", 0)).await), Some("self"));
    let bot = json!({"type":"chat.message.v1","source":"ingress.twitch","channel":"#a","userId":"19264788",
        "message":{"role":"user","text":"x","rawPlatformPayload":{"user":{"login":"Nightbot"}}}});
    assert_eq!(reason(&f.enrich(&record("b", 0, bot.to_string())).await), Some("listed_bot"));
    assert_eq!(reason(&f.enrich(&chat("m", 0, "1", &[])).await), None);
    let ignored = f.auth.counters().totals().ignored;
    assert_eq!(ignored, [("self", 1), ("listed_bot", 1), ("banned", 0), ("bot_loop", 0)]);
}

#[tokio::test]
async fn two_bots_that_answer_each_other_are_broken_off_and_people_are_not() {
    let f = Fixture::new();
    let mut first = None;
    for n in 0..20 {
        f.enrich(&own(&format!("o{n}"), n * 2_000)).await;
        let bot = f.enrich(&chat(&format!("b{n}"), n * 2_000 + 300, "bot", &[])).await;
        if n % 3 == 0 {
            // Somebody answers us as well, and now and then on the spot.
            let after = if n % 2 == 0 { 900 } else { 1_990 };
            let person = f.enrich(&chat(&format!("p{n}"), n * 2_000 + after, "person", &[])).await;
            assert_eq!(reason(&person), None);
        }
        if reason(&bot) == Some("bot_loop") {
            first = first.or(Some(n));
        } else {
            assert_eq!(first, None, "answered again although it goes on");
        }
    }
    // Not at the sixth: what follows right behind somebody else's words counts for nobody.
    assert!(first.is_some_and(|first| (5..10).contains(&first)), "{first:?}");
}

#[tokio::test]
async fn a_message_handed_over_again_is_marked_as_the_first_time() {
    let f = Fixture::new();
    for n in 0..6 {
        f.enrich(&own(&format!("o{n}"), n * 2_000)).await;
        for _ in 0..3 {
            let bot = f.enrich(&chat(&format!("b{n}"), n * 2_000 + 300, "bot", &[])).await;
            assert_eq!(reason(&bot).is_some(), n == 5, "message {n}");
        }
    }
}
