//! What Discord refuses, and what becomes of it.

use std::time::Duration;

use chatbus_connector::{ConnectionState, PermanentReason, Verdict};
use chatbus_sandbox::discord::{Refusal, Scope};
use twilight_model::gateway::Intents;

use crate::rig::{Rig, general};

fn refusal(status: u16, code: u64) -> Refusal {
    Refusal { path: "/messages".to_owned(), status, code, retry_after: None, scope: Scope::User, count: 1 }
}

#[tokio::test]
async fn every_refusal_has_its_verdict_and_says_nothing() {
    let rig = Rig::connected().await;
    for (status, code, expected) in [
        (404, 10_003, "rejected 10003"),
        (403, 50_001, "rejected 50001"),
        (403, 50_007, "rejected 50007"),
        (403, 50_013, "rejected 50013"),
        (400, 50_035, "rejected 50035"),
        (400, 160_002, "rejected 160002"),
        (400, 200_000, "rejected 200000"),
        (403, 40_004, "retry 40004"),
        (503, 130_000, "retry 130000"),
        (500, 0, "unverified http_500"),
        (502, 0, "unverified http_502"),
        (403, 0, "rejected http_403"),
        (418, 99_999, "rejected 99999"),
    ] {
        rig.discord().refuse(refusal(status, code)).unwrap();
        let told = match rig.send(&format!("d-{code}-{status}"), &general(), "x").await {
            Verdict::Permanent { reason: PermanentReason::Rejected, code, .. } => format!("rejected {code}"),
            Verdict::Retry { code, .. } => format!("retry {code}"),
            Verdict::Unverified { code, .. } => format!("unverified {code}"),
            other => format!("{other:?}"),
        };
        assert_eq!(told, expected);
    }
    assert_eq!(rig.discord().sent(0), []);
    let counters = rig.snapshot().counters;
    assert_eq!(counters.other.get("unknownRefusals"), Some(&2), "what no table has is counted");
    assert_eq!(counters.other.get("invalidRequests"), Some(&5), "and what Discord counts against us");
}

#[tokio::test]
async fn a_token_that_is_refused_at_the_start_is_shown_and_not_tried_on() {
    let rig = Rig::started_after(|discord| discord.refuse_token(true)).await;
    let snapshot = rig.until(|snapshot| snapshot.state == ConnectionState::Error).await;
    assert_eq!(snapshot.auth.state, "needs_reauth");
    assert_eq!(snapshot.last_error.unwrap().code, "unauthorized");
    assert_eq!(rig.discord().counters()["requests"], 1);
}

#[tokio::test]
async fn a_token_that_is_refused_later_ends_reading_and_speaking() {
    let rig = Rig::connected().await;
    rig.discord().refuse_token(true);
    let verdict = rig.send("d-1", &general(), "x").await;
    assert!(matches!(&verdict, Verdict::Reauth { code, .. } if code == "unauthorized"), "{verdict:?}");
    let requests = rig.discord().counters()["requests"];
    assert!(matches!(rig.send("d-2", &general(), "x").await, Verdict::Reauth { .. }));
    assert_eq!(rig.discord().counters()["requests"], requests, "it is not tried again");
    rig.discord().close(4004);
    let snapshot = rig.until(|snapshot| snapshot.state == ConnectionState::Error).await;
    assert_eq!(snapshot.auth.state, "needs_reauth");
}

#[tokio::test]
async fn an_intent_that_the_gateway_does_not_allow_is_an_error_that_says_what_to_switch_on() {
    let rig = Rig::started_after(|discord| discord.grant_intents(0, true)).await;
    let snapshot = rig.until(|snapshot| snapshot.state == ConnectionState::Error).await;
    let error = snapshot.last_error.unwrap();
    assert_eq!(error.code, "missing_intent");
    assert!(error.message.contains("MESSAGE CONTENT INTENT"), "{}", error.message);
}

#[tokio::test]
async fn an_intent_that_the_application_lacks_is_told_before_and_done_without() {
    let members = Intents::GUILD_MEMBERS.bits();
    let rig = Rig::connected_after(|discord| discord.grant_intents(members, false)).await;
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.auth.state, "degraded");
    assert_eq!(snapshot.auth.missing_scopes, ["MESSAGE CONTENT INTENT"]);
    assert_eq!(snapshot.last_error.unwrap().code, "missing_intent");
    assert_eq!(rig.discord().connections()[0].intents & Intents::MESSAGE_CONTENT.bits(), 0);
}

#[tokio::test]
async fn nobody_at_the_address_is_waited_for() {
    let rig = Rig::started_after(|discord| discord.accept(false)).await;
    rig.until(|snapshot| snapshot.last_error.as_ref().is_some_and(|error| error.code == "unreachable")).await;
    rig.discord().accept(true);
    rig.until_connected().await;
    tokio::time::timeout(Duration::from_secs(10), rig.end()).await.expect("it ends");
}
