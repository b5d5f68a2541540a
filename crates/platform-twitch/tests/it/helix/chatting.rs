//! What is said in channels by Helix, and when IRC says it instead.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{
    Account, AccountKeeper, Availability, Connector as _, Credential, Outbound, PermanentReason, Target,
    Verdict,
};
use chatbus_event::{Clock, Timestamp};
use chatbus_platform_twitch::irc::transport::public_roots;
use chatbus_platform_twitch::{SendBy, TwitchConfig, TwitchConnector};
use chatbus_runtime::Fence;
use chatbus_testkit::FakeClock;
use serde_json::{Value, json};

use super::{Asked, FakeTwitch, Reply, bot, clock, no, nowhere};
use crate::rig::{Peer, Rig, Server, config};

const SAY: &str = "/helix/chat/messages";
const SCOPES: [&str; 3] = ["chat:read", "chat:edit", "user:write:chat"];

/// Knows every channel by its name, and answers what is said there with this.
async fn twitch(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> FakeTwitch {
    FakeTwitch::start(move |asked, before| match asked.path.as_str() {
        "/helix/users" if asked.query.contains("nobody") => Reply::Json(200, json!({"data":[]})),
        "/helix/users" => {
            let login = asked.query.trim_start_matches("login=");
            Reply::Json(200, json!({"data":[{"id": format!("id-of-{login}"), "login": login}]}))
        }
        SAY => answer(asked, before),
        other => panic!("nobody asks for {other}"),
    })
    .await
}

fn said(id: &str) -> Reply {
    Reply::Json(200, json!({"data":[{"message_id": id, "is_sent": true}]}))
}

fn dropped(code: &str, message: &str) -> Reply {
    let reason = json!({"code": code, "message": message});
    Reply::Json(200, json!({"data":[{"message_id": "", "is_sent": false, "drop_reason": reason}]}))
}

fn delivered(id: Option<&str>) -> Verdict {
    Verdict::Delivered { provider_message_id: id.map(str::to_owned) }
}

fn rejected(code: &str, message: &str) -> Verdict {
    let reason = PermanentReason::Rejected;
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}

fn with_helix(irc: &str, twitch: &FakeTwitch, credential: Credential) -> (TwitchConfig, AccountKeeper) {
    let (bot, keeper) = Account::new(credential);
    let channels = ["a", "b", "nobody"];
    (TwitchConfig { bot, api: Some(twitch.config()), ..config(irc, &channels, true) }, keeper)
}

/// A connector that is in its channels on IRC, and has Helix besides.
async fn beside_irc(change: impl FnOnce(&mut TwitchConfig), twitch: &FakeTwitch) -> (Server, Rig, Peer) {
    let server = Server::start().await;
    let (mut config, _) = with_helix(&server.url("irc"), twitch, bot("t-1", &SCOPES));
    change(&mut config);
    let rig = Rig::run(config);
    let mut peer = server.welcome().await;
    for _ in 0..3 {
        peer.let_in().await;
    }
    rig.joined(3).await;
    (server, rig, peer)
}

/// Whether nothing was said by IRC so far.
async fn is_silent(peer: &mut Peer) {
    peer.send("PING :nothing was said").await;
    peer.expect("PONG :nothing was said").await;
}

/// A sink that has only Helix: there is no IRC server, and no limits of ours.
async fn alone(twitch: &FakeTwitch, credential: Credential) -> (Arc<TwitchConnector>, AccountKeeper) {
    alone_at(twitch, credential, clock()).await
}

async fn alone_at(
    twitch: &FakeTwitch,
    credential: Credential,
    clock: Arc<dyn Clock>,
) -> (Arc<TwitchConnector>, AccountKeeper) {
    let irc = nowhere().await.replace("http", "irc");
    let (config, keeper) = with_helix(&irc, twitch, credential);
    let config = TwitchConfig { message_limit: false, ..config };
    (Arc::new(TwitchConnector::new(config, public_roots().unwrap(), clock)), keeper)
}

fn outbound(channel: &str, text: &str) -> Outbound {
    Outbound {
        delivery_id: "d-1".into(),
        target: Target::Channel(channel.into()),
        text: text.to_owned(),
        reply_to: None,
        deadline: clock().instant() + Duration::from_secs(60),
        may_have_been_sent: false,
        fence: Fence::always(),
        event: None,
    }
}

#[tokio::test]
async fn what_twitch_takes_by_helix_is_delivered_and_irc_says_nothing() {
    let twitch = twitch(|_, _| said("m-1")).await;
    let (_server, rig, mut peer) = beside_irc(|_| {}, &twitch).await;
    let outbound = Outbound { reply_to: Some("m-0".into()), ..rig.outbound("#a", "hello there") };
    assert_eq!(rig.sink().availability(&outbound.target), Availability::Ready);
    assert_eq!(rig.sink().send(outbound).await, delivered(Some("m-1")));
    let asked = twitch.asked_of(SAY);
    assert_eq!((asked[0].method.as_str(), asked[0].authorization.as_str()), ("POST", "Bearer t-1"));
    let body = json!({"broadcaster_id":"id-of-a","sender_id":"99","message":"hello there",
        "reply_parent_message_id":"m-0"});
    assert_eq!(asked[0].body, body);
    is_silent(&mut peer).await;
    assert_eq!(rig.status().counters.sent, 1);
    let again = rig.sink().availability(&Target::Channel("#a".into()));
    assert!(matches!(again, Availability::NotBefore(_)), "one message a second");
    assert_eq!(rig.sink().availability(&Target::Channel("#b".into())), Availability::Ready);
    assert_eq!(rig.sink().availability(&Target::Channel("#elsewhere".into())), Availability::Unserved);
    assert_eq!(rig.sink().send(rig.outbound("#elsewhere", "x")).await, Verdict::NotNow);
    rig.end().await;
}

#[tokio::test]
async fn each_answer_has_its_verdict_and_is_asked_for_once() {
    let retry = |seconds, code: &str, message: &str| Verdict::Retry {
        after: Duration::from_secs(seconds),
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let unverified = |code: &str, message: &str| Verdict::Unverified {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    for (reply, expected) in [
        (said("m-1"), delivered(Some("m-1"))),
        (dropped("msg_banned", "you are banned"), rejected("msg_banned", "you are banned")),
        (dropped("channel_settings", "no"), rejected("channel_settings", "no")),
        (dropped("msg_never_seen_before", "no"), rejected("msg_never_seen_before", "no")),
        (dropped("msg_slowmode", "again in 7 seconds"), retry(7, "msg_slowmode", "again in 7 seconds")),
        (dropped("msg_ratelimit", "too fast"), retry(5, "msg_ratelimit", "too fast")),
        (no(400, "bad"), rejected("http_400", "bad")),
        (no(403, "may not"), rejected("http_403", "may not")),
        (no(422, "too long"), rejected("http_422", "too long")),
        (no(429, "slow"), retry(5, "http_429", "slow")),
        (no(500, "oops"), unverified("http_500", "oops")),
        (Reply::Json(200, Value::Null), unverified("bad_answer", "an answer without a verdict")),
    ] {
        let answer = reply.clone();
        let twitch = twitch(move |_, _| answer.clone()).await;
        let (connector, _keeper) = alone(&twitch, bot("t-1", &SCOPES)).await;
        let verdict = match connector.sink().send(outbound("#a", "hi")).await {
            Verdict::Retry { after, code, message } => {
                Verdict::Retry { after: Duration::from_secs_f64(after.as_secs_f64().round()), code, message }
            }
            verdict => verdict,
        };
        assert_eq!(verdict, expected, "{reply:?}");
        assert_eq!(twitch.asked_of(SAY).len(), 1, "{reply:?}");
        let is_unknown = format!("{reply:?}").contains("never_seen");
        let counted = connector.status().snapshot().counters.other.get("unknownRefusals").copied();
        assert_eq!(counted, is_unknown.then_some(1), "{reply:?}");
        if matches!(verdict, Verdict::Retry { .. }) {
            let later = connector.sink().availability(&Target::Channel("#a".into()));
            assert!(matches!(later, Availability::NotBefore(_)), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_and_the_text_said_once() {
    let twitch = twitch(|asked, _| match asked.authorization.as_str() {
        "Bearer new" => said("m-1"),
        _ => no(401, "Invalid OAuth token"),
    })
    .await;
    let (connector, keeper) = alone(&twitch, bot("old", &SCOPES)).await;
    let keeping = async {
        keeper.refusals().wait_for(|generation| *generation == 1).await.unwrap();
        keeper.tell(bot("new", &SCOPES));
    };
    let sink = connector.sink();
    let (verdict, ()) = tokio::join!(sink.send(outbound("#a", "hi")), keeping);
    assert_eq!(verdict, delivered(Some("m-1")));
    let used: Vec<String> = twitch.asked_of(SAY).into_iter().map(|asked| asked.authorization).collect();
    assert_eq!(used, ["Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn a_token_that_nobody_renews_leaves_it_to_irc_until_there_is_another() {
    let twitch = twitch(|_, _| no(401, "Invalid OAuth token")).await;
    let (_server, rig, mut peer) = beside_irc(|_| {}, &twitch).await;
    for text in ["one", "two"] {
        let verdict = rig.say(rig.outbound(if text == "one" { "#a" } else { "#b" }, text));
        let line = peer.expect("PRIVMSG").await;
        assert!(line.ends_with(text), "{line}");
        let channel = line.split(' ').nth(1).unwrap().to_owned();
        peer.send(&format!("@id=m-{text} :tmi.twitch.tv USERSTATE {channel}")).await;
        assert_eq!(verdict.await.unwrap(), delivered(Some(&format!("m-{text}"))));
    }
    assert_eq!(twitch.asked_of(SAY).len(), 1, "the second was not even tried");
    rig.end().await;
}

#[tokio::test]
async fn a_limit_is_waited_for_and_not_gone_around_by_irc() {
    let reset = clock().now().as_millis() / 1000 + 20;
    let twitch = twitch(move |_, _| {
        let headers = format!("Ratelimit-Remaining: 0\r\nRatelimit-Reset: {reset}\r\n");
        Reply::With(429, headers, json!({"message":"Too Many Requests"}))
    })
    .await;
    let (_server, rig, mut peer) = beside_irc(|_| {}, &twitch).await;
    let verdict = rig.sink().send(rig.outbound("#a", "hi")).await;
    let Verdict::Retry { after, code, .. } = verdict else { panic!("{verdict:?}") };
    assert!(code == "http_429" && after > Duration::from_secs(15) && after <= Duration::from_secs(20));
    for channel in ["#a", "#b"] {
        let availability = rig.sink().availability(&Target::Channel(channel.into()));
        let Availability::NotBefore(at) = availability else { panic!("{availability:?}") };
        assert!(at.saturating_duration_since(rig.runtime.clock.instant()) > Duration::from_secs(15));
    }
    is_silent(&mut peer).await;
    rig.end().await;
}

#[tokio::test]
async fn what_may_have_been_said_by_helix_is_never_said_by_irc() {
    for reply in [Reply::HangUp, Reply::Json(500, Value::Null), Reply::Json(503, Value::Null)] {
        let answer = reply.clone();
        let twitch = twitch(move |_, _| answer.clone()).await;
        let (_server, rig, mut peer) = beside_irc(|_| {}, &twitch).await;
        let verdict = rig.sink().send(rig.outbound("#a", "hi")).await;
        assert!(matches!(verdict, Verdict::Unverified { .. }), "{reply:?}: {verdict:?}");
        assert_eq!(twitch.asked_of(SAY).len(), 1);
        is_silent(&mut peer).await;
        rig.end().await;
    }
}

#[tokio::test]
async fn while_helix_is_out_of_reach_irc_says_it() {
    let twitch = twitch(|_, _| said("m-1")).await;
    let away = nowhere().await;
    let move_away = move |config: &mut TwitchConfig| {
        config.api = config.api.take().map(|mut api| {
            api.api_url = away.parse().unwrap();
            api
        });
    };
    let (_server, rig, mut peer) = beside_irc(move_away, &twitch).await;
    let verdict = rig.say(rig.outbound("#a", "hi"));
    peer.expect("PRIVMSG #a :hi").await;
    peer.send("@id=m-9 :tmi.twitch.tv USERSTATE #a").await;
    assert_eq!(verdict.await.unwrap(), delivered(Some("m-9")));
    assert!(twitch.asked().is_empty());
    assert_eq!(rig.sink().availability(&Target::Channel("#b".into())), Availability::Ready);
    rig.end().await;
}

#[tokio::test]
async fn a_question_that_says_nothing_may_stay_without_an_answer() {
    for silent in ["/helix/users", "/oauth2/validate"] {
        let twitch = FakeTwitch::start(move |asked, _| match asked.path.as_str() {
            path if path == silent => Reply::HangUp,
            "/oauth2/validate" => Reply::Json(200, json!({"user_id":"99","login":"bot","scopes":SCOPES})),
            other => panic!("nobody asks for {other}"),
        })
        .await;
        let unknown = Account::fixed(Credential { user_id: None, ..bot("t-1", &[]) });
        let (_server, rig, mut peer) = beside_irc(|config| config.bot = unknown, &twitch).await;
        let verdict = rig.say(rig.outbound("#a", "hi"));
        peer.expect("PRIVMSG #a :hi").await;
        peer.send("@id=m-9 :tmi.twitch.tv USERSTATE #a").await;
        assert_eq!(verdict.await.unwrap(), delivered(Some("m-9")), "{silent}");
        rig.end().await;
    }
}

#[tokio::test]
async fn what_irc_says_instead_counts_when_helix_speaks_again() {
    let twitch = twitch(|asked, _| match asked.authorization.as_str() {
        "Bearer new" => said("m-1"),
        _ => no(401, "Missing scope: user:write:chat"),
    })
    .await;
    let (account, keeper) = Account::new(bot("old", &[]));
    let (_server, rig, mut peer) = beside_irc(|config| config.bot = account, &twitch).await;
    for (channel, text) in [("#a", "tried by Helix first"), ("#b", "at once by IRC")] {
        let verdict = rig.say(rig.outbound(channel, text));
        peer.expect(&format!("PRIVMSG {channel} :{text}")).await;
        peer.send(&format!("@id=m-9 :tmi.twitch.tv USERSTATE {channel}")).await;
        assert_eq!(verdict.await.unwrap(), delivered(Some("m-9")));
    }
    keeper.tell(bot("new", &SCOPES));
    for channel in ["#a", "#b"] {
        let availability = rig.sink().availability(&Target::Channel(channel.into()));
        assert!(matches!(availability, Availability::NotBefore(_)), "{channel}: {availability:?}");
        assert_eq!(rig.sink().send(rig.outbound(channel, "hi")).await, Verdict::NotNow);
    }
    assert_eq!(twitch.asked_of(SAY).len(), 1);
    rig.end().await;
}

#[tokio::test]
async fn out_of_reach_and_without_irc_it_is_tried_again() {
    let twitch = twitch(|_, _| said("m-1")).await;
    let irc = nowhere().await.replace("http", "irc");
    let (mut config, _keeper) = with_helix(&irc, &twitch, bot("t-1", &SCOPES));
    config.api.as_mut().unwrap().api_url = nowhere().await.parse().unwrap();
    let connector = TwitchConnector::new(config, public_roots().unwrap(), clock());
    let verdict = connector.sink().send(outbound("#a", "hi")).await;
    assert!(matches!(&verdict, Verdict::Retry { code, .. } if code == "unreachable"), "{verdict:?}");
    let availability = connector.sink().availability(&Target::Channel("#a".into()));
    assert!(matches!(availability, Availability::NotBefore(_)), "{availability:?}");
}

#[tokio::test]
async fn without_the_scope_irc_says_it_and_without_irc_the_scope_is_named() {
    let twitch = twitch(|_, _| no(401, "Missing scope: user:write:chat")).await;
    let expected = Verdict::Reauth {
        code: "missing_scope".to_owned(),
        message: "the token lacks user:write:chat".to_owned(),
    };
    for (scopes, asked) in [(&["chat:read", "chat:edit"][..], 0), (&[], 2)] {
        let before = twitch.asked_of(SAY).len();
        let clock = FakeClock::at(Timestamp::EPOCH);
        let (connector, _keeper) = alone_at(&twitch, bot("t-1", scopes), Arc::new(clock.clone())).await;
        let target = Target::Channel("#a".into());
        assert_eq!(connector.sink().availability(&target), Availability::Ready);
        let send = async || {
            let deadline = clock.instant() + Duration::from_secs(60);
            connector.sink().send(Outbound { deadline, ..outbound("#a", "hi") }).await
        };
        assert_eq!(send().await, expected);
        let later = connector.sink().availability(&target);
        assert!(matches!(later, Availability::Disconnected { .. }), "IRC may come, here or elsewhere");
        clock.advance(Duration::from_secs(10));
        assert_eq!(connector.sink().availability(&target), Availability::Ready, "the next is told so, too");
        assert_eq!(send().await, expected);
        assert_eq!(twitch.asked_of(SAY).len() - before, asked);
    }
    let less = Account::fixed(bot("t-1", &["chat:read", "chat:edit"]));
    let (_server, rig, mut peer) = beside_irc(|config| config.bot = less, &twitch).await;
    let verdict = rig.say(rig.outbound("#a", "hi"));
    peer.expect("PRIVMSG #a :hi").await;
    peer.send("@id=m-9 :tmi.twitch.tv USERSTATE #a").await;
    assert_eq!(verdict.await.unwrap(), delivered(Some("m-9")));
    rig.end().await;
}

#[tokio::test]
async fn irc_alone_speaks_when_that_is_the_setting() {
    let twitch = twitch(|_, _| panic!("nobody asks")).await;
    let (_server, rig, mut peer) = beside_irc(|config| config.send = SendBy::Irc, &twitch).await;
    let verdict = rig.say(rig.outbound("#a", "hi"));
    peer.expect("PRIVMSG #a :hi").await;
    peer.send("@id=m-9 :tmi.twitch.tv USERSTATE #a").await;
    assert_eq!(verdict.await.unwrap(), delivered(Some("m-9")));
    assert!(rig.sink().capabilities().direct, "whispers go by Helix all the same");
    rig.end().await;
}

#[tokio::test]
async fn what_is_too_long_goes_out_in_parts_and_a_failure_says_which() {
    let text = format!("{} {} {}", "a".repeat(450), "b".repeat(450), "c".repeat(450));
    let whole = twitch(|_, before| said(&format!("m-{before}"))).await;
    let (connector, _keeper) = alone(&whole, bot("t-1", &SCOPES)).await;
    assert_eq!(connector.sink().send(outbound("#a", &text)).await, delivered(Some("m-0")));
    let parts: Vec<String> =
        whole.asked_of(SAY).iter().map(|asked| asked.body["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(parts.join(" "), text);
    let first_of_three = |what: &str| format!("{what} (the first 1 of 3 parts were said)");
    let refused = rejected("msg_banned", &first_of_three("banned"));
    for (reply, expected) in [(dropped("msg_banned", "banned"), refused), (Reply::HangUp, delivered(None))] {
        let answer = reply.clone();
        let broken = twitch(move |_, before| if before == 1 { answer.clone() } else { said("m-0") }).await;
        let (connector, _keeper) = alone(&broken, bot("t-1", &SCOPES)).await;
        match connector.sink().send(outbound("#a", &text)).await {
            Verdict::Unverified { code, message } => {
                assert_eq!(code, "connection_lost");
                assert!(message.ends_with("(the first 1 of 3 parts were said)"), "{message}");
            }
            verdict => assert_eq!(verdict, expected, "{reply:?}"),
        }
        assert_eq!(broken.asked_of(SAY).len(), 2, "nothing after it");
    }
}

#[tokio::test]
async fn the_rest_of_a_text_is_brought_after_what_was_said_of_it() {
    let text = format!("{} {}", "a".repeat(450), "b".repeat(450));
    let twitch = twitch(|_, before| match before {
        1 => dropped("msg_slowmode", "again in 1 seconds"),
        _ => said(&format!("m-{before}")),
    })
    .await;
    let (connector, _keeper) = alone(&twitch, bot("t-1", &SCOPES)).await;
    assert_eq!(connector.sink().send(outbound("#a", &text)).await, delivered(Some("m-0")));
    let asked = twitch.asked_of(SAY);
    let of = |at: usize| asked[at].body["message"].as_str().unwrap().to_owned();
    assert_eq!((asked.len(), of(1)), (3, of(2)));
}

#[tokio::test]
async fn a_duplicate_is_told_apart_or_is_what_was_said_before() {
    let duplicate_once = |_: &Asked, before: usize| match before {
        0 => dropped("msg_duplicate", "just said"),
        _ => said("m-2"),
    };
    let twitch_1 = twitch(duplicate_once).await;
    let (connector, _keeper) = alone(&twitch_1, bot("t-1", &SCOPES)).await;
    assert_eq!(connector.sink().send(outbound("#a", "hi")).await, delivered(Some("m-2")));
    let second = twitch_1.asked_of(SAY)[1].body["message"].as_str().unwrap().to_owned();
    assert!(second.starts_with("hi ") && second.len() > 3, "{second:?}");

    let twitch_2 = twitch(duplicate_once).await;
    let (connector, _keeper) = alone(&twitch_2, bot("t-1", &SCOPES)).await;
    let again = Outbound { may_have_been_sent: true, ..outbound("#a", "hi") };
    assert_eq!(connector.sink().send(again).await, delivered(None));
    assert_eq!(twitch_2.asked_of(SAY).len(), 1);

    let twitch_3 = twitch(|_, _| dropped("msg_duplicate", "just said")).await;
    let (connector, _keeper) = alone(&twitch_3, bot("t-1", &SCOPES)).await;
    let verdict = connector.sink().send(outbound("#a", "hi")).await;
    assert!(matches!(&verdict, Verdict::Retry { code, .. } if code == "msg_duplicate"), "{verdict:?}");
    assert_eq!(twitch_3.asked_of(SAY).len(), 3);
}

#[tokio::test]
async fn nothing_goes_out_under_a_lease_that_ends_or_after_its_time_or_to_nobody() {
    let twitch = twitch(|_, _| panic!("nobody says anything")).await;
    let (connector, _keeper) = alone(&twitch, bot("t-1", &SCOPES)).await;
    let now = clock().instant();
    let late = Outbound { deadline: now, ..outbound("#a", "hi") };
    let soon_over = Outbound { fence: Fence::until(now + Duration::from_secs(2)), ..outbound("#a", "hi") };
    for outbound in [late, soon_over] {
        assert_eq!(connector.sink().send(outbound).await, Verdict::NotNow);
    }
    let verdict = connector.sink().send(outbound("#nobody", "hi")).await;
    assert!(matches!(&verdict, Verdict::Permanent { code, .. } if code == "unknown_channel"), "{verdict:?}");
    let verdict = connector.sink().send(outbound("#a", " \r\n ")).await;
    assert!(matches!(&verdict, Verdict::Permanent { code, .. } if code == "empty_text"), "{verdict:?}");
}

#[tokio::test]
async fn who_moderates_may_speak_at_once_again() {
    let twitch = twitch(|_, _| said("m-1")).await;
    let (_server, rig, mut peer) = beside_irc(|_| {}, &twitch).await;
    peer.send("@badges=moderator/1;mod=1 :tmi.twitch.tv USERSTATE #a").await;
    is_silent(&mut peer).await;
    for _ in 0..3 {
        assert_eq!(rig.sink().send(rig.outbound("#a", "hi")).await, delivered(Some("m-1")));
    }
    assert_eq!(rig.sink().availability(&Target::Channel("#a".into())), Availability::Ready);
    rig.end().await;
}

#[tokio::test]
async fn a_bot_without_a_token_only_reads() {
    let twitch = twitch(|_, _| said("m-1")).await;
    let (connector, keeper) = alone(&twitch, Credential::default()).await;
    let sink = connector.sink();
    let capabilities = sink.capabilities();
    assert!(!capabilities.chat && !capabilities.direct);
    assert_eq!(sink.availability(&Target::Channel("#a".into())), Availability::Unserved);
    keeper.tell(bot("t-1", &SCOPES));
    assert!(sink.capabilities().chat && sink.capabilities().direct);
    assert_eq!(sink.send(outbound("#a", "hi")).await, delivered(Some("m-1")));
}
