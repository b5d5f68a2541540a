//! Every refusal, over a real socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use chatbus_connector::{Availability, ConnectionState, MemoryNotes, PermanentReason, Verdict};
use chatbus_runtime::CancellationToken;
use chatbus_sandbox::twilio::{Account, Refusal, Scope};

use chatbus_testkit::test_runtime;
use tokio::net::TcpListener;

use crate::rig::{Nobody, OURS, Rig, ann, build, conversation, id_of, outbound};
use crate::saying::refusal;

fn class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Retry { .. } => "retry",
        Verdict::Reauth { .. } => "reauth",
        Verdict::Permanent { reason: PermanentReason::NoRecipient, .. } => "no recipient",
        Verdict::Permanent { reason: PermanentReason::Rejected, .. } => "rejected",
        Verdict::Unverified { .. } => "unverified",
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_refusal_has_its_verdict_and_nothing_is_sent() {
    let rig = Rig::start().await;
    rig.twilio().converse(Some("CH1".into())).await;
    for (status, code, expected) in [
        (400, 21211, "no recipient"),
        (400, 21214, "no recipient"),
        (400, 21217, "no recipient"),
        (400, 21401, "no recipient"),
        (400, 21421, "no recipient"),
        (400, 21614, "no recipient"),
        (403, 21408, "rejected"),
        (400, 21606, "rejected"),
        (400, 21611, "retry"),
        (400, 21612, "rejected"),
        (400, 30001, "retry"),
        (400, 30003, "rejected"),
        (400, 30004, "rejected"),
        (400, 30005, "rejected"),
        (400, 30006, "rejected"),
        (400, 30007, "rejected"),
        (400, 30008, "rejected"),
        (400, 30022, "retry"),
        (403, 50430, "rejected"),
        (404, 20404, "rejected"),
        (500, 20500, "unverified"),
        (503, 20503, "unverified"),
    ] {
        for target in [ann(), conversation("CH1")] {
            rig.twilio().refuse(refusal(status, code)).unwrap();
            let verdict = rig.say(target, "hello").await;
            assert_eq!(class(&verdict), expected, "{code}: {verdict:?}");
            assert!(format!("{verdict:?}").contains(&code.to_string()), "{verdict:?}");
            assert!(!format!("{verdict:?}").contains("5550010"), "{verdict:?}");
        }
    }
    assert_eq!(rig.said(), Vec::<String>::new());
    assert_eq!(rig.counted("unknownCodes"), 0);
    rig.twilio().refuse(refusal(400, 99_999)).unwrap();
    assert_eq!(class(&rig.say(ann(), "hello").await), "rejected");
    assert_eq!(rig.counted("unknownCodes"), 1);
}

#[tokio::test]
async fn too_many_requests_keep_the_account_quiet_for_as_long_as_twilio_says() {
    let rig = Rig::start().await;
    let quiet = Refusal { retry_after: Some(7), ..refusal(429, 20429) };
    rig.twilio().refuse(quiet).unwrap();
    let verdict = rig.say(ann(), "hello").await;
    assert!(
        matches!(verdict, Verdict::Retry { after, .. } if after == Duration::from_secs(7)),
        "{verdict:?}"
    );
    assert!(matches!(rig.sink.availability(&conversation("CH1")), Availability::NotBefore(_)));
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_and_works_again_when_it_is_good() {
    let rig = Rig::start().await;
    let good = rig.twilio().account();
    rig.twilio().set_account(Account {
        auth_token: "another".into(),
        api_secret: "x".into(),
        ..good.clone()
    });
    let verdict = rig.say(ann(), "hello").await;
    assert!(matches!(&verdict, Verdict::Reauth { code, .. } if code == "20003"), "{verdict:?}");
    assert!(matches!(rig.sink.availability(&ann()), Availability::Disconnected { .. }));
    let status = rig.connector.status();
    let mut changes = status.changes();
    let told = async {
        while status.snapshot().auth.state != "needs_reauth" {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told");
    assert_eq!(rig.status().state, ConnectionState::Error);
    assert_eq!(rig.status().last_error.unwrap().code, "20003");
    rig.twilio().set_account(good);
    rig.until(|availability| availability == Availability::Ready).await;
    assert_eq!((rig.status().state, rig.status().auth.state), (ConnectionState::Connected, "ok"));
    id_of(&rig.say(ann(), "hello").await);
}

#[tokio::test]
async fn a_suspended_account_and_a_twilio_that_fails_are_not_the_same() {
    let rig = Rig::start().await;
    let account = rig.twilio().account();
    rig.twilio().set_account(Account { status: "suspended".into(), ..account.clone() });
    rig.twilio().refuse(refusal(401, 20003)).unwrap();
    rig.say(ann(), "makes it look").await;
    let state = |wanted: ConnectionState| {
        let status = rig.connector.status();
        async move {
            let mut changes = status.changes();
            let seen = async {
                while status.snapshot().state != wanted {
                    changes.changed().await.unwrap();
                }
            };
            tokio::time::timeout(Duration::from_secs(20), seen).await.expect("it is told");
            status.snapshot().last_error
        }
    };
    let error = state(ConnectionState::Error).await.unwrap();
    assert!(error.message.contains("suspended"), "{error:?}");
    rig.twilio().set_account(account);
    state(ConnectionState::Connected).await;
    rig.twilio().refuse(Refusal { scope: Some(Scope::Account), ..refusal(500, 20500) }).unwrap();
    rig.twilio().refuse(refusal(401, 20003)).unwrap();
    rig.say(ann(), "makes it look").await;
    let error = state(ConnectionState::Reconnecting).await.unwrap();
    assert_eq!(error.code, "no_answer");
    assert_eq!(rig.status().auth.state, "ok", "nobody was refused");
    state(ConnectionState::Connected).await;
}

#[tokio::test]
async fn a_server_in_twilios_place_that_knows_messages_only_is_used_and_an_odd_answer_of_it_leaves_it_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/behind/a/path", listener.local_addr().unwrap());
    let said = async || (StatusCode::CREATED, r#"{"sid":"SM1"}"#);
    let odd = async || (StatusCode::OK, "<html>");
    let router = Router::new()
        .route("/behind/a/path/2010-04-01/Accounts/AC1/Messages.json", post(said))
        .route("/behind/a/path/v1/Conversations/CH1/Messages", post(odd));
    let runtime = test_runtime(1);
    runtime.spawn("server", async { axum::serve(listener, router).await.unwrap() });
    let pairs = [
        ("TWILIO_ACCOUNT_SID", "AC1"),
        ("TWILIO_AUTH_TOKEN", "x"),
        ("TWILIO_FROM", OURS),
        ("TWILIO_API_URL", &*url),
        ("TWILIO_CONVERSATIONS_URL", &format!("{url}/")),
    ];
    let connector = build(&pairs, &runtime, Arc::new(MemoryNotes::default()));
    let sink = connector.sink();
    runtime.spawn(
        "connector",
        Arc::clone(&connector).run(runtime.clone(), Arc::new(Nobody), CancellationToken::new()),
    );
    let mut changes = sink.changes();
    let ready = async {
        while sink.availability(&ann()) != Availability::Ready {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("it is used");
    assert_eq!(id_of(&sink.send(outbound(&runtime, ann(), "hello")).await), "SM1");
    let verdict = sink.send(outbound(&runtime, conversation("CH1"), "hello")).await;
    assert!(matches!(&verdict, Verdict::Unverified { code, .. } if code == "bad_answer"), "{verdict:?}");
}
