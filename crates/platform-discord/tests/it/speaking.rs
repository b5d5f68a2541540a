//! What is said, and how often.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{Availability, Connector as _, Outbound, Target, Verdict};
use chatbus_runtime::Fence;
use chatbus_sandbox::discord::{BOTS_ID, GENERAL_ID, Refusal, Say, Scope};
use serde_json::json;

use crate::rig::{Rig, general};

fn id_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Delivered { provider_message_id: Some(id) } => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_text_is_said_once_under_a_nonce_and_mentions_nobody() {
    let rig = Rig::connected().await;
    let parent = rig.say("ada", "hello?");
    let outbound = Outbound {
        reply_to: Some(parent.id.as_str().into()),
        ..rig.outbound("d-1", &general(), "@everyone hello")
    };
    let verdict = rig.sink().send(outbound).await;
    let sent = rig.discord().sent(0);
    assert_eq!(sent.len(), 1);
    assert_eq!(id_of(&verdict), sent[0].id);
    assert_eq!((sent[0].channel.as_str(), sent[0].text.as_str()), (GENERAL_ID, "@everyone hello"));
    assert_eq!(sent[0].allowed_mentions, json!({ "parse": [], "replied_user": false }));
    assert_eq!(sent[0].reply_to.as_deref(), Some(&*parent.id));
    assert_eq!(sent[0].nonce.as_deref().map(str::len), Some(25));
    assert_eq!(rig.snapshot().counters.sent, 1);
}

#[tokio::test]
async fn a_lost_answer_is_learnt_by_sending_again_and_nothing_is_said_twice() {
    let rig = Rig::connected().await;
    rig.discord().lose(1);
    let verdict = rig.send("d-1", &general(), "once").await;
    assert!(matches!(verdict, Verdict::Unverified { .. }), "{verdict:?}");
    let verdict = rig.send("d-1", &general(), "once").await;
    let sent = rig.discord().sent(0);
    assert_eq!((id_of(&verdict), sent.len(), sent[0].repeats), (&*sent[0].id, 1, 1));
}

#[tokio::test]
async fn a_direct_message_reaches_its_user_and_nobody_else() {
    let rig = Rig::connected().await;
    let said = rig
        .discord()
        .say(&Say { login: "ada".to_owned(), text: "psst".to_owned(), ..Say::default() })
        .unwrap();
    let user = rig.sink().recipient(&format!("discord:{}", said.user)).unwrap();
    for n in 0..2 {
        let before = rig.discord().counters()["requests"];
        id_of(&rig.send(&format!("d-{n}"), &Target::User(Arc::clone(&user)), "psst yourself").await);
        let requests = rig.discord().counters()["requests"] - before;
        assert_eq!(requests, 2 - n, "the conversation is remembered");
    }
    for sent in rig.discord().sent(0) {
        assert_eq!((sent.user.as_deref(), &sent.channel), (Some(&*said.user), &said.channel));
    }
    let verdict = rig.send("d-9", &Target::User("4242".into()), "nobody").await;
    assert!(matches!(&verdict, Verdict::Permanent { code, .. } if code == "50033"), "{verdict:?}");
    assert_eq!(rig.discord().sent(0).len(), 2);
}

#[tokio::test]
async fn a_long_text_goes_out_in_parts_that_wait_for_room() {
    let rig = Rig::connected().await;
    rig.discord().limit_messages(1, Duration::from_millis(50));
    let verdict = rig.send("d-1", &general(), &"word ".repeat(1000)).await;
    let sent = rig.discord().sent(0);
    assert_eq!(sent.iter().map(|sent| sent.text.len()).collect::<Vec<_>>(), [1999, 1999, 999]);
    assert_eq!(id_of(&verdict), sent[0].id);
    assert_eq!(rig.discord().counters()["requests_refused"], 0, "none was tried too early");
}

#[tokio::test]
async fn a_long_text_goes_on_after_the_part_that_failed() {
    let rig = Rig::connected().await;
    let text = "word ".repeat(1000);
    let limited = Refusal {
        path: "/messages".to_owned(),
        status: 429,
        code: 20_016,
        retry_after: Some(Duration::from_millis(20)),
        scope: Scope::User,
        count: 1,
    };
    rig.discord().limit_messages(1, Duration::from_millis(300));
    let target = general();
    let (verdict, ()) = tokio::join!(rig.send("d-1", &target, &text), async {
        while rig.discord().sent(0).is_empty() {
            tokio::task::yield_now().await;
        }
        rig.discord().refuse(limited).unwrap();
    });
    let told = "parts 1 to 1 of 3 went out";
    assert!(matches!(&verdict, Verdict::Retry { message, .. } if message.starts_with(told)), "{verdict:?}");
    assert_eq!(rig.send("d-1", &general(), &text).await, Verdict::NotNow, "nothing was begun");
    let mut verdicts = Vec::new();
    while !matches!(verdicts.last(), Some(Verdict::Delivered { .. })) {
        if let Availability::NotBefore(at) = rig.sink().availability(&general()) {
            tokio::time::sleep_until(at.into()).await;
        }
        verdicts.push(rig.send("d-1", &general(), &text).await);
        assert!(verdicts.len() < 10, "{verdicts:?}");
    }
    let sent = rig.discord().sent(0);
    assert_eq!(sent.iter().map(|sent| sent.text.len()).collect::<Vec<_>>(), [1999, 1999, 999]);
    assert!(sent.iter().all(|sent| sent.repeats == 0), "what went out is not sent again");
    assert_eq!(id_of(verdicts.last().unwrap()), sent[0].id);
}

#[tokio::test]
async fn a_limit_that_lasts_is_not_waited_for_between_parts() {
    let rig = Rig::connected().await;
    rig.discord().limit_messages(2, Duration::from_secs(60));
    let verdict = rig.send("d-1", &general(), &"word ".repeat(1000)).await;
    let Verdict::Retry { after, message, .. } = verdict else { panic!("{verdict:?}") };
    assert!(message.starts_with("parts 1 to 2 of 3 went out"), "{message}");
    assert!(after > Duration::from_secs(30), "it is tried again once there is room: {after:?}");
}

#[tokio::test]
async fn who_loses_the_lease_between_parts_says_no_more() {
    let rig = Rig::connected().await;
    rig.discord().limit_messages(1, Duration::from_millis(300));
    let fence = Fence::always();
    let text = "word ".repeat(1000);
    let outbound = Outbound { fence: fence.clone(), ..rig.outbound("d-1", &general(), &text) };
    let sink = rig.sink();
    let (verdict, ()) = tokio::join!(sink.send(outbound), async {
        while rig.discord().sent(0).is_empty() {
            tokio::task::yield_now().await;
        }
        fence.lose();
    });
    assert!(matches!(&verdict, Verdict::Retry { code, .. } if code == "lease_lost"), "{verdict:?}");
    assert_eq!(rig.discord().sent(0).len(), 1);
}

#[tokio::test]
async fn a_global_limit_holds_back_every_channel_and_asks_nothing_meanwhile() {
    let rig = Rig::connected().await;
    let after = Duration::from_millis(400);
    let refusal = Refusal {
        path: "/messages".to_owned(),
        status: 429,
        code: 0,
        retry_after: Some(after),
        scope: Scope::Global,
        count: 1,
    };
    rig.discord().refuse(refusal).unwrap();
    let verdict = rig.send("d-1", &general(), "too much").await;
    assert!(matches!(&verdict, Verdict::Retry { after: told, .. } if *told == after), "{verdict:?}");
    let requests = rig.discord().counters()["requests"];
    let elsewhere = Target::Channel(BOTS_ID.into());
    let Availability::NotBefore(until) = rig.sink().availability(&elsewhere) else {
        panic!("it is available")
    };
    assert_eq!(rig.send("d-2", &elsewhere, "wait").await, Verdict::NotNow);
    assert_eq!(rig.discord().counters()["requests"], requests, "nothing was asked");
    assert!(rig.connector.share().unwrap().refusals().borrow().is_some(), "other instances are told");
    tokio::time::sleep_until(until.into()).await;
    id_of(&rig.send("d-2", &elsewhere, "now").await);
}

#[tokio::test]
async fn a_bucket_that_is_empty_holds_back_its_channel_alone() {
    let rig = Rig::connected().await;
    rig.discord().limit_messages(1, Duration::from_secs(60));
    id_of(&rig.send("d-1", &general(), "the last").await);
    assert!(matches!(rig.sink().availability(&general()), Availability::NotBefore(_)));
    assert_eq!(rig.send("d-2", &general(), "one too many").await, Verdict::NotNow);
    id_of(&rig.send("d-3", &Target::Channel(BOTS_ID.into()), "elsewhere").await);
}

#[tokio::test]
async fn who_has_lost_the_lease_says_nothing() {
    let rig = Rig::connected().await;
    let fence = Fence::always();
    fence.lose();
    let outbound = Outbound { fence, ..rig.outbound("d-1", &general(), "late") };
    assert_eq!(rig.sink().send(outbound).await, Verdict::NotNow);
    assert_eq!(rig.discord().sent(0), []);
}

#[tokio::test]
async fn channels_go_by_id_and_by_the_names_of_the_guild() {
    let rig = Rig::connected().await;
    let sink = rig.sink();
    for (name, id) in
        [(GENERAL_ID, Some(GENERAL_ID)), ("#bots", Some(BOTS_ID)), ("nowhere", None), ("", None)]
    {
        assert_eq!(sink.channel(name).as_deref(), id, "{name}");
    }
    assert_eq!(sink.default_channel().as_deref(), Some(GENERAL_ID));
}
