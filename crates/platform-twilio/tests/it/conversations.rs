//! Conversations: what is said there, and that the bot joins them.

use std::time::Duration;

use chatbus_connector::{Notes as _, Verdict};
use chatbus_sandbox::twilio::{Refusal, Said, Scope};
use serde_json::json;

use crate::rig::{OURS, Rig, conversation, id_of};
use crate::saying::refusal;

fn said(body: &str, author: &str) -> Said {
    Said { conversation: "CH1".into(), author: author.into(), body: body.into(), sid: None }
}

#[tokio::test]
async fn what_is_said_in_a_conversation_is_answered_there() {
    let rig = Rig::start().await;
    let told = rig.twilio().say(said("hello", "ann")).await;
    assert_eq!(told.status, Some(200));
    let event = &rig.bus.events()[0];
    assert_eq!((&event["channel"], &event["userId"]), (&json!("CH1"), &json!("ann")));
    assert_eq!(event["message"]["id"], told.sid);
    let channel = event["channel"].as_str().unwrap();
    let target = conversation(&rig.sink.channel(channel).unwrap());
    let sid = id_of(&rig.say(target, "hello, Ann").await);
    let sent = &rig.twilio().sent(0)[0];
    assert_eq!((sent.sid.as_ref(), &*sent.from, &*sent.to), (Some(&sid), "bot", "CH1"));
    assert_eq!(rig.twilio().say(said("mine", "bot")).await.status, Some(200));
    assert_eq!(rig.bus.events()[1]["metadata"]["self"], true);
}

#[tokio::test]
async fn the_bot_joins_a_new_conversation_once() {
    let rig = Rig::start().await;
    for _ in 0..3 {
        assert_eq!(rig.twilio().converse(Some("CH1".into())).await.status, Some(200));
    }
    rig.twilio().say(said("hello", "ann")).await;
    assert_eq!(rig.twilio().participants("CH1"), ["bot", "ann"]);
    let kinds: Vec<_> = rig.bus.events().iter().map(|event| event["externalEvent"]["kind"].clone()).collect();
    assert!(kinds.contains(&json!("onConversationAdded")));
    // One that it hears of by what is said there.
    rig.twilio().say(Said { conversation: "CH2".into(), ..said("hi", "ann") }).await;
    assert_eq!(rig.twilio().participants("CH2"), ["ann", "bot"]);
}

#[tokio::test]
async fn a_conversation_that_cannot_be_joined_now_is_joined_when_twilio_tries_again() {
    let rig = Rig::start().await;
    let refuse = |status, code| {
        let refusal = Refusal { scope: Some(Scope::Participants), ..refusal(status, code) };
        rig.twilio().refuse(refusal).unwrap();
    };
    refuse(429, 20429);
    assert_eq!(rig.twilio().converse(Some("CH1".into())).await.status, Some(503));
    assert_eq!(rig.twilio().participants("CH1"), Vec::<String>::new());
    assert_eq!(rig.twilio().converse(Some("CH1".into())).await.status, Some(200));
    assert_eq!(rig.twilio().participants("CH1"), ["bot"]);
    // Nothing is lost because of it, and what never works is not tried for ever.
    refuse(500, 20500);
    let said_in = |conversation: &str| Said { conversation: conversation.into(), ..said("hello", "ann") };
    assert_eq!(rig.twilio().say(said_in("CH2")).await.status, Some(200));
    assert_eq!(rig.twilio().participants("CH2"), ["ann"]);
    refuse(403, 50430);
    assert_eq!(rig.twilio().converse(Some("CH3".into())).await.status, Some(200));
    rig.twilio().say(said_in("CH3")).await;
    assert_eq!(rig.twilio().participants("CH3"), ["ann"]);
    assert!(
        rig.bus.events().iter().any(|event| event["channel"] == "CH2" && event["message"]["text"] == "hello")
    );
}

#[tokio::test]
async fn a_join_that_another_instance_began_is_left_to_it_until_it_must_be_gone() {
    let rig = Rig::start().await;
    let now = rig.runtime.clock.now().as_millis();
    for (conversation, note, is_joined) in [
        ("CH1", (now - 1_000).to_string(), false),
        ("CH2", (now - 120_000).to_string(), true),
        ("CH3", "over".to_owned(), false),
        ("CH4", "no moment".to_owned(), true),
    ] {
        rig.notes.put(&format!("twilio.joined.{conversation}"), note.clone().into()).await.unwrap();
        assert_eq!(rig.twilio().converse(Some(conversation.into())).await.status, Some(200));
        assert_eq!(rig.twilio().participants(conversation).len(), usize::from(is_joined), "{note}");
    }
}

#[tokio::test]
async fn with_a_service_its_conversations_are_meant_and_without_an_identity_nothing_is_joined() {
    let service = format!("IS{}", "0".repeat(32));
    let settings = [("TWILIO_CHAT_SERVICE_SID", service.as_str()), ("TWILIO_IDENTITY", "bot")];
    let rig = Rig::with(&settings).await;
    rig.twilio().converse(Some("CH1".into())).await;
    id_of(&rig.say(conversation("CH1"), "hello").await);
    let rig = Rig::with(&[("TWILIO_FROM", OURS)]).await;
    rig.twilio().converse(Some("CH1".into())).await;
    assert_eq!(rig.twilio().participants("CH1"), Vec::<String>::new());
    id_of(&rig.say(conversation("CH1"), "hello").await);
    assert_eq!(rig.twilio().sent(0)[0].from, "system");
}

#[tokio::test]
async fn a_conversation_that_is_not_there_or_is_no_conversation_is_refused() {
    let rig = Rig::start().await;
    let verdict = rig.say(conversation("CH404"), "hello").await;
    assert!(matches!(&verdict, Verdict::Permanent { code, .. } if code == "20404"), "{verdict:?}");
    for bad in ["", "#hall", "CH/../../x", "CH1?x"] {
        assert_eq!(rig.sink.channel(bad), None, "{bad}");
        let verdict = rig.say(conversation(bad), "hello").await;
        assert!(
            matches!(&verdict, Verdict::Permanent { code, .. } if code == "bad_conversation"),
            "{verdict:?}"
        );
    }
    assert_eq!(rig.sink.default_channel(), None, "nothing is public");
}

#[tokio::test]
async fn conversations_are_said_in_at_once() {
    let rig = Rig::start().await;
    for n in 0..20 {
        rig.twilio().converse(Some(format!("CH{n}"))).await;
    }
    rig.twilio().delay(Duration::from_millis(300));
    let started = rig.runtime.clock.instant();
    let all = (0..20).map(|n| {
        let name = format!("CH{n}");
        let rig = &rig;
        async move { rig.say(conversation(&name), "hello").await }
    });
    let verdicts = futures::future::join_all(all).await;
    verdicts.iter().for_each(|verdict| drop(id_of(verdict)));
    let took = rig.runtime.clock.instant() - started;
    assert!(took < Duration::from_secs(4), "one after another takes six seconds: {took:?}");
}
