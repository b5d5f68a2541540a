//! What is published to the generic topic, by its platform.

use serde_json::{Value, json};

use super::rig::{GENERAL, World};
use crate::harness::{SHORT, eventually};

#[tokio::test]
async fn what_is_sent_reaches_each_platform_in_public_and_in_private_and_ends_with_its_id() {
    let world = World::start().await;
    let ada = world.sandbox.post_to("twitch-api/user", json!({ "login": "ada" })).await;
    let ada = ada["id"].as_str().unwrap();
    let said = world.sandbox.post_to("discord/say", json!({ "login": "bea", "text": "hi" })).await;
    let bea = said["user"].as_str().unwrap();
    let begun = world.sandbox.post_to("twilio/conversation", json!({})).await;
    let conversation = begun["sid"].as_str().unwrap();

    for (to, status, has_id) in [
        ("twitch:#hall".to_owned(), "SENT", true),
        // Twitch answers whispers without a verdict and without an id.
        (format!("dm:twitch:{ada}"), "ACCEPTED", false),
        (format!("discord:{GENERAL}"), "SENT", true),
        (format!("dm:discord:{bea}"), "SENT", true),
        ("twilio:+15557777".to_owned(), "SENT", true),
        (format!("twilio:{conversation}"), "SENT", true),
    ] {
        let outcome = world.outcome(&to, &format!("hello {to}")).await;
        assert_eq!(outcome["status"], status, "{to}: {outcome}");
        assert_eq!(outcome["providerMessageId"].is_string(), has_id, "{to}: {outcome}");
    }

    let texts = |all: &Value, name: &str| -> Vec<String> {
        let all = all.as_array().unwrap().iter();
        all.map(|one| one[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    let sandbox = &world.sandbox;
    assert_eq!(texts(&sandbox.get_from("twitch-api/sent").await, "text"), ["hello twitch:#hall"]);
    assert_eq!(
        texts(&sandbox.get_from("twitch-api/whispers").await, "text"),
        [format!("hello dm:twitch:{ada}")]
    );
    let discord = sandbox.get_from("discord/sent").await;
    assert_eq!(
        texts(&discord, "text"),
        [format!("hello discord:{GENERAL}"), format!("hello dm:discord:{bea}")]
    );
    assert_ne!(discord[0]["channel"], discord[1]["channel"], "what is private has a channel of its own");
    let mut twilio = texts(&sandbox.get_from("twilio/sent").await, "body");
    twilio.sort();
    let mut wanted = ["hello twilio:+15557777".to_owned(), format!("hello twilio:{conversation}")];
    wanted.sort();
    assert_eq!(twilio, wanted);
}

#[tokio::test]
async fn what_a_platform_refuses_for_good_is_a_dead_letter_with_its_code() {
    let world = World::start().await;
    for (refuse, asked, to, reason, code) in [
        (
            "twitch-api/drop-message",
            json!({ "code": "msg_banned", "count": 1 }),
            "twitch:#hall".to_owned(),
            "rejected",
            "msg_banned",
        ),
        (
            "discord/refuse",
            json!({ "status": 403, "code": 50_013, "count": 1 }),
            format!("discord:{GENERAL}"),
            "rejected",
            "50013",
        ),
        (
            "twilio/refuse",
            json!({ "status": 400, "code": 21_211, "what": "messages", "count": 1 }),
            "twilio:+15557777".to_owned(),
            "no_recipient",
            "21211",
        ),
        (
            "twilio/refuse",
            json!({ "status": 400, "code": 21_610, "what": "messages", "count": 1 }),
            "twilio:+15558888".to_owned(),
            "rejected",
            "21610",
        ),
    ] {
        world.sandbox.post_to(refuse, asked).await;
        let outcome = world.outcome(&to, "no").await;
        assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("FAILED"), &json!(code)), "{to}");
        let id = outcome["correlationId"].clone();
        let letter = eventually("the dead letter", SHORT, async || {
            let letters = world.running.records("internal.deadletter.v1").await;
            let mut of = letters.iter().filter(|letter| letter["event"]["correlationId"] == id);
            of.next().map(|letter| letter["event"].clone()).ok_or(format!("none of {to}"))
        })
        .await;
        assert_eq!(letter["payload"]["reason"], reason, "{to}: {letter}");
    }
}

#[tokio::test]
async fn what_a_platform_refuses_for_now_is_said_once_when_it_may() {
    let world = World::start().await;
    world
        .sandbox
        .post_to(
            "twitch-api/refuse",
            json!({ "status": 429, "path": "chat/messages", "retry_after_ms": 300, "count": 1 }),
        )
        .await;
    world
        .sandbox
        .post_to(
            "discord/refuse",
            json!({ "status": 429, "scope": "user", "retry_after_ms": 300, "count": 1 }),
        )
        .await;
    world
        .sandbox
        .post_to(
            "twilio/refuse",
            json!({ "status": 429, "code": 20_429, "retry_after": 1, "what": "messages", "count": 1 }),
        )
        .await;
    for to in ["twitch:#hall".to_owned(), format!("discord:{GENERAL}"), "twilio:+15557777".to_owned()] {
        let outcome = world.outcome(&to, "later").await;
        assert_eq!(outcome["status"], "SENT", "{to}: {outcome}");
    }
    for path in ["twitch-api/sent", "discord/sent", "twilio/sent"] {
        let sent = world.sandbox.get_from(path).await;
        let is_said = |one: &&Value| one["status"] != "refused" && one["accepted"] != false;
        assert_eq!(sent.as_array().unwrap().iter().filter(is_said).count(), 1, "{path}: {sent}");
    }
}
