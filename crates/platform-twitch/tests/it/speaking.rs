use std::time::Duration;

use chatbus_connector::{Availability, Outbound, PermanentReason, Target, Verdict};

use crate::rig::{Peer, Rig, Server, config};

async fn ready() -> (Server, Rig, Peer) {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a", "b"], true));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    peer.let_in().await;
    rig.joined(2).await;
    (server, rig, peer)
}

#[tokio::test]
async fn what_the_server_takes_is_delivered_and_published_as_our_own() {
    let (_server, rig, mut peer) = ready().await;
    peer.send("@user-id=99;display-name=Bot :tmi.twitch.tv GLOBALUSERSTATE").await;
    let verdict = rig.say(rig.outbound("#a", "hello there"));
    peer.expect("PRIVMSG #a :hello there").await;
    peer.send("@badges=moderator/1;color=#00FF00;display-name=Bot;id=m-1;mod=1 :tmi.twitch.tv USERSTATE #a")
        .await;
    let id = Some("m-1".to_owned());
    assert_eq!(verdict.await.unwrap(), Verdict::Delivered { provider_message_id: id });
    let event = rig.ear.wait_for_text("hello there").await;
    assert_eq!(event["metadata"]["self"], true);
    assert_eq!(event["userId"], "99");
    let raw = &event["message"]["rawPlatformPayload"];
    assert_eq!(raw["user"], serde_json::json!({"id":"99","login":"bot","displayName":"Bot"}));
    assert_eq!((raw["roomId"].as_str(), raw["isMod"].as_bool()), (Some("42"), Some(true)));
    let heard = rig.ear.heard();
    assert!(heard.iter().any(|event| event.id.as_str() == "twitch:m-1"), "the id by which others know it");
    assert_eq!(rig.status().counters.sent, 1);
    assert_eq!(rig.status().auth.user_id.as_deref(), Some("99"));
    rig.end().await;
}

#[tokio::test]
async fn our_account_on_another_connection_is_still_ourselves() {
    let (_server, rig, mut peer) = ready().await;
    peer.send("@id=m-2;user-id=99 :bot!bot@bot.tmi.twitch.tv PRIVMSG #a :from elsewhere").await;
    peer.send("@id=m-3;user-id=7 :ada!a@a PRIVMSG #a :from ada").await;
    assert_eq!(rig.ear.wait_for_text("from elsewhere").await["metadata"]["self"], true);
    assert!(rig.ear.wait_for_text("from ada").await["metadata"].is_null());
    rig.end().await;
}

#[tokio::test]
async fn a_notice_refuses_and_an_end_leaves_it_unverified() {
    let (server, rig, mut peer) = ready().await;
    let verdict = rig.say(rig.outbound("#a", "no links"));
    peer.expect("PRIVMSG").await;
    peer.send("@msg-id=msg_rejected_mandatory :tmi.twitch.tv NOTICE #a :not allowed").await;
    assert!(matches!(verdict.await.unwrap(),
        Verdict::Permanent { reason: PermanentReason::Rejected, code, .. } if code == "msg_rejected_mandatory"));
    let verdict = rig.say(rig.outbound("#b", "into the void"));
    peer.expect("PRIVMSG").await;
    drop(peer);
    assert!(matches!(verdict.await.unwrap(), Verdict::Unverified { code, .. } if code == "connection_lost"));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    peer.let_in().await;
    peer.send("PING :nothing was said again").await;
    peer.expect("PONG :nothing was said again").await;
    rig.end().await;
}

#[tokio::test]
async fn nothing_is_said_when_its_time_is_over_or_it_cannot_be() {
    let (_server, rig, mut peer) = ready().await;
    let late = Outbound { deadline: rig.runtime.clock.instant(), ..rig.outbound("#a", "too late") };
    assert_eq!(rig.sink().send(late).await, Verdict::NotNow);
    let whisper = Outbound { target: Target::User("7".into()), ..rig.outbound("#a", "psst") };
    assert!(matches!(
        rig.sink().send(whisper).await,
        Verdict::Permanent { reason: PermanentReason::Unsupported, .. }
    ));
    let blank = rig.outbound("#a", " \r\n \u{0}");
    assert!(matches!(rig.sink().send(blank).await, Verdict::Permanent { code, .. } if code == "empty_text"));
    assert_eq!(rig.sink().send(rig.outbound("#elsewhere", "x")).await, Verdict::NotNow);
    peer.send("PING :x").await;
    peer.expect("PONG :x").await;
    rig.end().await;
}

#[tokio::test]
async fn no_text_can_become_a_command_or_a_second_line() {
    let (_server, rig, mut peer) = ready().await;
    let mut outbound = rig.outbound("#a", "/ban ada\r\nQUIT :bye\0");
    outbound.reply_to = Some("m-1 :x\r\nQUIT".into());
    let verdict = rig.say(outbound);
    let tags = "@reply-parent-msg-id=m-1\\s:x\\r\\nQUIT";
    assert_eq!(peer.next().await.unwrap(), format!("{tags} PRIVMSG #a :\u{200B}/ban ada"));
    peer.send("@id=m-1 :tmi.twitch.tv USERSTATE #a").await;
    assert_eq!(peer.next().await.unwrap(), format!("{tags} PRIVMSG #a :QUIT :bye"));
    peer.send("@id=m-2 :tmi.twitch.tv USERSTATE #a").await;
    assert!(matches!(verdict.await.unwrap(), Verdict::Delivered { .. }));
    rig.end().await;
}

#[tokio::test]
async fn availability_follows_the_connection_and_tells_when_it_changes() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], true));
    let sink = rig.sink();
    let target = Target::Channel("#a".into());
    assert!(matches!(sink.availability(&target), Availability::Disconnected { .. }));
    assert_eq!(sink.availability(&Target::User("7".into())), Availability::Unserved);
    assert_eq!(sink.availability(&Target::Channel("#z".into())), Availability::Unserved);
    let mut changes = sink.changes();
    let mut peer = server.welcome().await;
    peer.let_in().await;
    let ready = async {
        while sink.availability(&target) != Availability::Ready {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ready).await.unwrap();
    let verdict = rig.say(rig.outbound("#a", "one"));
    peer.expect("PRIVMSG").await;
    peer.send("@id=m-1 :tmi.twitch.tv USERSTATE #a").await;
    verdict.await.unwrap();
    assert!(matches!(sink.availability(&target), Availability::NotBefore(_)), "one a second");
    drop(peer);
    rig.until(|status| status.joined_channels.is_empty()).await;
    assert!(matches!(sink.availability(&target), Availability::Disconnected { .. }));
    assert!(sink.capabilities().chat && !sink.capabilities().direct);
    assert_eq!(sink.default_channel().as_deref(), Some("#a"));
    assert_eq!(sink.recipient("twitch:7"), None, "whispers need Helix");
    rig.end().await;
}

#[tokio::test]
async fn without_an_account_nothing_is_served() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    assert_eq!(rig.sink().availability(&Target::Channel("#a".into())), Availability::Unserved);
    assert!(!rig.sink().capabilities().chat);
    let verdict = rig.sink().send(rig.outbound("#a", "hi")).await;
    assert!(matches!(verdict, Verdict::Permanent { reason: PermanentReason::Unsupported, .. }));
    rig.end().await;
}

#[tokio::test]
async fn silence_is_acceptance_while_the_connection_lives() {
    let (_server, rig, mut peer) = ready().await;
    let verdict = rig.say(rig.outbound("#a", "hello?"));
    peer.expect("PRIVMSG").await;
    let begun = rig.runtime.clock.instant();
    tokio::time::pause();
    // Answering PINGs, and nothing else, for as long as the verdict takes.
    let verdict = tokio::select! {
        verdict = verdict => verdict.unwrap(),
        line = peer.next() => panic!("{line:?}"),
    };
    tokio::time::resume();
    assert_eq!(verdict, Verdict::Accepted);
    let took = rig.runtime.clock.instant() - begun;
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(7), "{took:?}");
    rig.end().await;
}
