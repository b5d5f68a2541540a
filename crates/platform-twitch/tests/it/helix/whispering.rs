//! What is said to one user.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{
    Account, Availability, Connector as _, Credential, Outbound, PermanentReason, Target, Verdict,
};
use chatbus_event::Clock as _;
use chatbus_platform_twitch::irc::transport::public_roots;
use chatbus_platform_twitch::{TwitchConfig, TwitchConnector};
use chatbus_runtime::Fence;
use serde_json::{Value, json};

use super::{Asked, FakeTwitch, Reply, bot, clock, no, nowhere};
use crate::rig::{Rig, Server, config};

const WHISPER: &str = "/helix/whispers";

fn taken() -> Reply {
    Reply::Json(204, Value::Null)
}

async fn connector(twitch: &FakeTwitch, credential: Credential) -> Arc<TwitchConnector> {
    let irc = nowhere().await.replace("http", "irc");
    let bot = Account::fixed(credential);
    let config = TwitchConfig { bot, api: Some(twitch.config()), ..config(&irc, &["a"], true) };
    Arc::new(TwitchConnector::new(config, public_roots().unwrap(), clock()))
}

fn whisper(text: &str) -> Outbound {
    Outbound {
        delivery_id: "d-1".into(),
        target: Target::User("7".into()),
        text: text.to_owned(),
        reply_to: None,
        deadline: clock().instant() + Duration::from_secs(60),
        may_have_been_sent: false,
        fence: Fence::always(),
        event: None,
    }
}

#[tokio::test]
async fn a_whisper_is_accepted_and_nothing_of_it_is_said_in_public() {
    let twitch = FakeTwitch::start(|_, _| taken()).await;
    let server = Server::start().await;
    let bot = Account::fixed(bot("t-1", &["user:manage:whispers"]));
    let config = TwitchConfig { bot, api: Some(twitch.config()), ..config(&server.url("irc"), &["a"], true) };
    let rig = Rig::run(config);
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    assert!(rig.sink().capabilities().direct);
    assert_eq!(rig.sink().recipient("twitch:7").as_deref(), Some("7"));
    assert_eq!(rig.sink().recipient("discord:7"), None);
    assert_eq!(rig.sink().send(whisper("psst")).await, Verdict::Accepted);
    let Asked { method, path, query, authorization, body, .. } = twitch.asked()[0].clone();
    assert_eq!(
        (method.as_str(), path.as_str(), query.as_str()),
        ("POST", WHISPER, "from_user_id=99&to_user_id=7")
    );
    assert_eq!((authorization.as_str(), body), ("Bearer t-1", json!({"message":"psst"})));
    peer.send("PING :nothing was said").await;
    peer.expect("PONG :nothing was said").await;
    rig.end().await;
}

#[tokio::test]
async fn each_answer_has_its_verdict() {
    let permanent = |reason, code: &str, message: &str| Verdict::Permanent {
        reason,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let rejected = |code: &str, message: &str| permanent(PermanentReason::Rejected, code, message);
    let reauth =
        |code: &str, message: &str| Verdict::Reauth { code: code.to_owned(), message: message.to_owned() };
    for (reply, expected) in [
        (taken(), Verdict::Accepted),
        (no(400, "strangers"), rejected("http_400", "strangers")),
        (no(403, "suspended"), rejected("http_403", "suspended")),
        (no(404, "unknown"), permanent(PermanentReason::NoRecipient, "http_404", "unknown")),
        (
            no(401, "The user in the from_user_id query parameter must have a verified phone number."),
            rejected(
                "denied",
                "refused: The user in the from_user_id query parameter must have a verified phone number.",
            ),
        ),
        (
            no(401, "Missing scope: user:manage:whispers"),
            reauth("missing_scope", "the token lacks user:manage:whispers"),
        ),
        (
            no(401, "Invalid OAuth token"),
            reauth("token_refused", "the token is refused: Invalid OAuth token"),
        ),
        (no(500, "oops"), Verdict::Unverified { code: "http_500".to_owned(), message: "oops".to_owned() }),
    ] {
        let answer = reply.clone();
        let twitch = FakeTwitch::start(move |_, _| answer.clone()).await;
        let connector = connector(&twitch, bot("t-1", &[])).await;
        assert_eq!(connector.sink().send(whisper("psst")).await, expected, "{reply:?}");
        assert_eq!(twitch.asked().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_limit_is_waited_for_and_a_lost_answer_is_unverified() {
    let reset = clock().now().as_millis() / 1000 + 20;
    let twitch = FakeTwitch::start(move |_, before| match before {
        0 => Reply::HangUp,
        _ => {
            let headers = format!("Ratelimit-Remaining: 700\r\nRatelimit-Reset: {reset}\r\n");
            Reply::With(429, headers, json!({"message":"too many"}))
        }
    })
    .await;
    let connector = connector(&twitch, bot("t-1", &["user:manage:whispers"])).await;
    let sink = connector.sink();
    let verdict = sink.send(whisper("psst")).await;
    assert!(matches!(&verdict, Verdict::Unverified { code, .. } if code == "connection_lost"), "{verdict:?}");
    let verdict = sink.send(whisper("psst")).await;
    let Verdict::Retry { after, code, .. } = verdict else { panic!("{verdict:?}") };
    assert!(code == "http_429" && after > Duration::from_secs(15), "{after:?}");
    assert!(matches!(sink.availability(&Target::User("8".into())), Availability::NotBefore(_)));
    assert_eq!(sink.send(whisper("psst")).await, Verdict::NotNow);
    assert_eq!(twitch.asked().len(), 2);
}

#[tokio::test]
async fn three_a_second_and_a_long_one_goes_out_in_parts() {
    let twitch = FakeTwitch::start(|_, _| taken()).await;
    let connector = connector(&twitch, bot("t-1", &[])).await;
    let parts: Vec<String> = ["a", "b", "c", "d"].map(|letter| letter.repeat(450)).to_vec();
    let begun = clock().instant();
    assert_eq!(connector.sink().send(whisper(&parts.join(" "))).await, Verdict::Accepted);
    assert!(clock().instant() - begun >= Duration::from_secs(1), "the fourth waits its turn");
    let said: Vec<Value> = twitch.asked().into_iter().map(|asked| asked.body["message"].clone()).collect();
    assert_eq!(said, parts);
    for _ in 0..2 {
        assert_eq!(connector.sink().send(whisper("x")).await, Verdict::Accepted);
    }
    let later = connector.sink().availability(&Target::User("7".into()));
    assert!(matches!(later, Availability::NotBefore(_)), "{later:?}");
}

#[tokio::test]
async fn without_the_scope_or_a_token_nothing_is_asked() {
    let twitch = FakeTwitch::start(|_, _| taken()).await;
    let less = connector(&twitch, bot("t-1", &["chat:edit"])).await;
    let verdict = less.sink().send(whisper("psst")).await;
    let expected = Verdict::Reauth {
        code: "missing_scope".to_owned(),
        message: "the token lacks user:manage:whispers".to_owned(),
    };
    assert_eq!(verdict, expected);
    let nobody = connector(&twitch, Credential::default()).await;
    assert!(!nobody.sink().capabilities().direct);
    assert_eq!(nobody.sink().availability(&Target::User("7".into())), Availability::Unserved);
    let verdict = nobody.sink().send(whisper("psst")).await;
    assert!(
        matches!(verdict, Verdict::Permanent { reason: PermanentReason::Unsupported, .. }),
        "{verdict:?}"
    );
    let lapsed = Outbound { fence: Fence::until(clock().instant()), ..whisper("psst") };
    assert_eq!(connector(&twitch, bot("t-1", &[])).await.sink().send(lapsed).await, Verdict::NotNow);
    assert!(twitch.asked().is_empty());
}
