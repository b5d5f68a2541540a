//! Text messages that we send, and what becomes of them.

use std::time::Duration;

use chatbus_connector::{Availability, ConnectionState, PermanentReason, Target, Verdict};
use chatbus_runtime::Fence;
use chatbus_sandbox::twilio::{Account, Failure, Refusal};

use crate::rig::{ANN, OURS, Rig, ann, conversation, id_of, outbound};

fn fails(status: &str, code: u32) -> Failure {
    Failure { status: status.to_owned(), code }
}

pub(crate) fn refusal(status: u16, code: u32) -> Refusal {
    let message = format!("no, {ANN}");
    Refusal { scope: None, status, code, message, retry_after: None, count: Some(1) }
}

#[tokio::test]
async fn an_answer_goes_to_the_number_and_its_status_comes_back() {
    let rig = Rig::start().await;
    let sid = id_of(&rig.say(ann(), "hello").await);
    let sent = rig.twilio().sent(0);
    assert_eq!((&*sent[0].to, &*sent[0].from, &*sent[0].body), (ANN, OURS, "hello"));
    assert_eq!(sent[0].status_callback, Some(format!("{}/webhooks/twilio", rig.server)));
    assert_eq!(sent[0].sid.as_ref(), Some(&sid));
    // What comes when nobody waits any more is an event.
    let event = rig.bus.until(|event| event["externalEvent"]["payload"]["status"] == "delivered").await;
    let external = &event["externalEvent"];
    assert_eq!(
        (external["kind"].as_str(), external["source"].as_str()),
        (Some("message.status"), Some("twilio.messaging"))
    );
    assert_eq!(
        (&external["payload"]["messageSid"], external["payload"]["to"].as_str()),
        (&sid.into(), Some("…0010"))
    );
    assert_eq!((rig.status().counters.sent, rig.counted("segments")), (1, 1));
}

#[tokio::test]
async fn a_whatsapp_number_is_written_to_from_whatsapp() {
    let rig = Rig::start().await;
    id_of(&rig.say(Target::User(format!("whatsapp:{ANN}").into()), "hello").await);
    assert_eq!(rig.twilio().sent(0)[0].from, format!("whatsapp:{OURS}"));
    assert_eq!(rig.counted("segments"), 0, "there are none on WhatsApp");
}

#[tokio::test]
async fn a_service_sends_with_the_api_key_where_there_is_one() {
    let service = format!("MG{}", "0".repeat(32));
    let account = Account::default();
    let settings = [
        ("TWILIO_FROM", service.as_str()),
        ("TWILIO_API_KEY", &account.api_key),
        ("TWILIO_API_SECRET", &account.api_secret),
    ];
    let rig = Rig::with(&settings).await;
    id_of(&rig.say(ann(), "hello").await);
    assert_eq!(rig.twilio().sent(0)[0].from, service);
    assert_eq!(rig.twilio().sent(0)[0].status_callback, None, "there is no address to tell it to");
}

#[tokio::test]
async fn a_message_that_fails_while_it_is_waited_for_is_not_delivered() {
    let rig = Rig::start().await;
    rig.twilio().fail(fails("failed", 30003)).unwrap();
    let verdict = rig.say(ann(), "one").await;
    let Verdict::Permanent { reason: PermanentReason::Rejected, code, .. } = &verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(code, "30003");
    rig.twilio().fail(fails("failed", 30001)).unwrap();
    let verdict = rig.say(ann(), "two").await;
    assert!(matches!(&verdict, Verdict::Retry { code, .. } if code == "30001"), "{verdict:?}");
    assert_eq!(rig.status().counters.sent, 0);
}

#[tokio::test]
async fn one_that_fails_later_is_an_event() {
    let rig = Rig::start().await;
    rig.twilio().fail(fails("undelivered", 30006)).unwrap();
    let sid = id_of(&rig.say(ann(), "one").await);
    let event = rig.bus.until(|event| event["externalEvent"]["payload"]["status"] == "undelivered").await;
    let payload = &event["externalEvent"]["payload"];
    assert_eq!((payload["errorCode"].as_str(), payload["messageSid"].as_str()), (Some("30006"), Some(&*sid)));
}

#[tokio::test]
async fn a_status_that_does_not_come_is_not_waited_for_beyond_the_deadline() {
    let rig = Rig::start().await;
    rig.twilio().call_back(false);
    id_of(&rig.say_within(ann(), "hello", Duration::from_millis(50), Fence::always()).await);
}

#[tokio::test]
async fn what_is_too_long_goes_out_in_order_and_is_counted_in_segments() {
    let rig = Rig::start().await;
    let text = "word ".repeat(700);
    id_of(&rig.say(ann(), &text).await);
    let said = rig.said();
    assert_eq!(said.iter().map(String::len).collect::<Vec<_>>(), [1_599, 1_599, 299]);
    assert_eq!(rig.counted("segments"), 11 + 11 + 2);
    assert_eq!(rig.status().counters.sent, 1, "it is one delivery");
}

#[tokio::test]
async fn what_twilio_finds_too_long_goes_out_in_smaller_parts() {
    let rig = Rig::start().await;
    rig.twilio().refuse(refusal(400, 21617)).unwrap();
    id_of(&rig.say(ann(), &"word ".repeat(300)).await);
    assert_eq!(rig.said().iter().map(String::len).collect::<Vec<_>>(), [799, 699]);
    rig.twilio().refuse(Refusal { count: None, ..refusal(400, 21617) }).unwrap();
    let verdict = rig.say(ann(), "short").await;
    assert!(matches!(&verdict, Verdict::Permanent { code, .. } if code == "21617"), "{verdict:?}");
}

#[tokio::test]
async fn a_failure_in_the_middle_says_which_parts_went_out_and_is_never_all_said_again() {
    let rig = Rig::start().await;
    let text = "word ".repeat(700);
    rig.twilio().delay(Duration::from_millis(1));
    for (status, code, count, parts, is_unverified) in
        [(400, 30007, Some(1), 1, false), (401, 20003, Some(1), 1, true), (429, 20429, Some(1), 3, false)]
    {
        rig.twilio().call_back(true);
        let before = rig.said().len();
        let after_first = async {
            while rig.said().len() == before {
                tokio::task::yield_now().await;
            }
            rig.twilio().refuse(Refusal { count, ..refusal(status, code) }).unwrap();
        };
        let (verdict, ()) = tokio::join!(rig.say(ann(), &text), after_first);
        assert_eq!(rig.said().len() - before, parts, "{code}: {verdict:?}");
        match &verdict {
            Verdict::Delivered { .. } => assert_eq!(parts, 3),
            Verdict::Unverified { message, .. } | Verdict::Permanent { message, .. } => {
                assert!(message.ends_with("(of 3 parts the first 1 went out)"), "{message}");
                assert!(message.starts_with("no, …0010"), "{message}");
            }
            other => panic!("{code}: {other:?}"),
        }
        assert_eq!(matches!(verdict, Verdict::Unverified { .. }), is_unverified, "{code}");
        rig.until(|availability| !matches!(availability, Availability::Disconnected { .. })).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_open_and_is_not_sent_again() {
    let rig = Rig::start().await;
    rig.twilio().lose(1);
    let verdict = rig.say(ann(), "hello").await;
    assert!(matches!(&verdict, Verdict::Unverified { code, .. } if code == "connection_lost"), "{verdict:?}");
    assert_eq!(rig.said(), ["hello"]);
}

#[tokio::test]
async fn where_nobody_listens_nothing_went_out() {
    let rig = Rig::start().await;
    let (sink, connector) = (rig.sink.clone(), rig.connector.clone());
    let Rig { sandbox, runtime, .. } = rig;
    sandbox.stop().await;
    let verdict = sink.send(outbound(&runtime, ann(), "hello")).await;
    assert!(matches!(&verdict, Verdict::Retry { code, .. } if code == "unreachable"), "{verdict:?}");
    let mut changes = connector.status().changes();
    let noticed = async {
        while connector.status().snapshot().state == ConnectionState::Connected {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.expect("it is noticed");
    assert!(matches!(sink.availability(&ann()), Availability::Disconnected { .. }));
}

#[tokio::test]
async fn without_the_lease_nothing_is_sent() {
    let rig = Rig::start().await;
    let lost = Fence::until(rig.runtime.clock.instant());
    assert_eq!(rig.say_within(ann(), "hello", Duration::from_secs(9), lost).await, Verdict::NotNow);
    assert_eq!(rig.said(), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_sender_only_conversations_are_served() {
    let rig = Rig::with(&[("TWILIO_IDENTITY", "bot")]).await;
    assert_eq!(rig.sink.availability(&ann()), Availability::Unserved);
    assert_eq!(rig.sink.availability(&conversation("CH1")), Availability::Ready);
    let verdict = rig.say(ann(), "hello").await;
    assert!(
        matches!(verdict, Verdict::Permanent { reason: PermanentReason::Unsupported, .. }),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn who_opted_out_is_not_written_to_until_they_write_start() {
    let rig = Rig::start().await;
    let is_refused = |verdict: &Verdict| matches!(verdict, Verdict::Permanent { reason: PermanentReason::Rejected, code, .. } if code == "21610");
    // Twilio knows before we do.
    rig.twilio().opt_out(OURS, ANN, true);
    assert!(is_refused(&rig.say(ann(), "one").await));
    assert_eq!(rig.twilio().sent(0).len(), 1, "it was tried once");
    assert!(is_refused(&rig.say(ann(), "two").await));
    assert_eq!(rig.twilio().sent(0).len(), 1, "and not again");
    id_of(&rig.say(Target::User("+15005550011".into()), "somebody else").await);
    assert_eq!(rig.hear("start").await.status, Some(200));
    id_of(&rig.say(ann(), "three").await);
    // Or they say so.
    assert_eq!(rig.hear(" Stop ").await.status, Some(200));
    let before = rig.twilio().sent(0).len();
    assert!(is_refused(&rig.say(ann(), "four").await));
    assert_eq!(rig.twilio().sent(0).len(), before);
    assert_eq!(rig.counted("optedOut"), 3);
    assert_eq!(rig.said(), ["somebody else", "three"]);
}
