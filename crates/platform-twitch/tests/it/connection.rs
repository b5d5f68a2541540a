use std::collections::HashSet;
use std::time::Duration;

use chatbus_connector::{Availability, ConnectionState, Connector as _, Target};

use crate::corpus;
use crate::rig::{Rig, Server, config};

const HELLO: &str = "@id=m-1;room-id=42;user-id=7;display-name=Ada;tmi-sent-ts=1700000000000 \
                     :ada!ada@ada.tmi.twitch.tv PRIVMSG #a :hello";

#[tokio::test]
async fn what_is_said_in_a_channel_becomes_an_event() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    assert_eq!(peer.let_in().await, "#a");
    peer.send(HELLO).await;
    let event = rig.ear.wait_for_text("hello").await;
    assert_eq!(event["type"], "chat.message.v1");
    assert_eq!(event["channel"], "#a");
    assert_eq!(event["userId"], "7");
    assert_eq!(event["egressDestination"], "internal.egress.v1.i-1");
    assert_eq!(event["message"]["rawPlatformPayload"]["timestamp"], "2023-11-14T22:13:20.000Z");
    let status = rig.status();
    assert_eq!(status.state, ConnectionState::Connected);
    assert_eq!(status.auth.state, "anonymous");
    assert!(status.counters.received >= 2 && status.last_message_at.is_some());
    rig.end().await;
}

#[tokio::test]
async fn an_orderly_stop_is_no_trouble() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], true));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    let status = rig.connector.status();
    rig.end().await;
    let stopped = status.snapshot();
    assert_eq!(stopped.last_error.map(|error| error.code), None);
    assert_eq!(stopped.state, ConnectionState::Disconnected);
    assert!(stopped.joined_channels.is_empty());
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_says_so_meanwhile() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    drop(peer);
    let lost = rig.until(|status| status.state == ConnectionState::Reconnecting).await;
    assert!(lost.joined_channels.is_empty());
    assert_eq!(lost.last_error.map(|error| error.code).as_deref(), Some("connection_lost"));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    let back =
        rig.until(|status| status.state == ConnectionState::Connected && !status.joined_channels.is_empty());
    assert_eq!(back.await.counters.reconnects, 1);
    peer.send(HELLO).await;
    rig.ear.wait_for_text("hello").await;
    rig.end().await;
}

#[tokio::test]
async fn a_frozen_socket_is_noticed_within_forty_seconds() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    let frozen = rig.runtime.clock.instant();
    // From here on time passes as fast as nothing happens; the peer stays open and says nothing.
    tokio::time::pause();
    let status = rig.until(|status| status.state != ConnectionState::Connected).await;
    let noticed = rig.runtime.clock.instant() - frozen;
    tokio::time::resume();
    assert_eq!(status.last_error.map(|error| error.code).as_deref(), Some("connection_dead"));
    assert!(noticed >= Duration::from_secs(30) && noticed <= Duration::from_secs(40), "{noticed:?}");
    let mut again = server.welcome().await;
    again.let_in().await;
    rig.joined(1).await;
    // What was said on the frozen connection is missed.
    let gaps = rig.ear.wait_for(1, |event| event["type"] == "system.source.gap.v1").await;
    let payload = &gaps[0]["externalEvent"]["payload"];
    assert_eq!(
        (payload["reason"].as_str(), payload["channels"][0].as_str()),
        (Some("connection_dead"), Some("#a"))
    );
    drop(peer);
    rig.end().await;
}

#[tokio::test]
async fn reconnect_moves_to_a_new_connection_and_loses_nothing_that_was_read() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    peer.send_bytes(format!(":tmi.twitch.tv RECONNECT\r\n{HELLO}\r\n").as_bytes()).await;
    rig.ear.wait_for_text("hello").await;
    rig.ear.wait_for(1, |event| event["externalEvent"]["kind"] == "irc.reconnect").await;
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    rig.end().await;
}

#[tokio::test]
async fn a_refused_login_is_an_error_and_is_not_hammered() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], true));
    let mut peer = server.accept().await;
    peer.expect("CAP REQ").await;
    peer.expect("PASS oauth:secret-token").await;
    peer.expect("NICK bot").await;
    peer.send(":tmi.twitch.tv NOTICE * :Login authentication failed").await;
    let status = rig.until(|status| status.state == ConnectionState::Error).await;
    assert_eq!(status.auth.state, "needs_reauth");
    assert_eq!(status.last_error.map(|error| error.code).as_deref(), Some("login_refused"));
    let notices = rig.ear.wait_for(1, |event| event["externalEvent"]["kind"] == "notice").await;
    assert_eq!(notices.len(), 1);
    assert!(!serde_json::to_string(&rig.status()).unwrap().contains("secret-token"));
    tokio::time::pause();
    assert!(server.is_left_alone(Duration::from_secs(14)).await);
    tokio::time::resume();
    rig.end().await;
}

#[tokio::test]
async fn joins_leave_twenty_at_a_time() {
    let server = Server::start().await;
    let names: Vec<String> = (0..45).map(|n| format!("channel_{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rig = Rig::run(config(&server.url("irc"), &names, false));
    let mut peer = server.welcome().await;
    tokio::time::pause();
    let mut moments = Vec::new();
    let mut let_in = HashSet::new();
    // An answer may lose the race against time that flies; then it is asked for again, which counts.
    while let_in.len() < 45 {
        let_in.insert(peer.let_in().await);
        moments.push(rig.runtime.clock.instant());
    }
    for start in &moments {
        let within =
            moments.iter().filter(|at| *at >= start && **at < *start + Duration::from_secs(10)).count();
        assert!(within <= 20, "{within} joins in ten seconds");
    }
    assert_eq!(moments.iter().filter(|at| **at == moments[0]).count(), 20, "the first twenty leave at once");
    tokio::time::resume();
    rig.joined(45).await;
    rig.end().await;
}

#[tokio::test]
async fn a_channel_that_never_answers_is_refused_and_the_others_are_not() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a", "missing"], true));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    tokio::time::pause();
    for _ in 0..3 {
        peer.expect("JOIN #missing").await;
    }
    let status = rig.until(|status| !status.refused_channels.is_empty()).await;
    tokio::time::resume();
    assert_eq!(status.refused_channels[0].channel, "#missing");
    assert_eq!(status.refused_channels[0].code, "no_answer");
    assert!(status.joined_channels.contains("#a"));
    let target = Target::Channel("#missing".into());
    assert_eq!(rig.sink().availability(&target), Availability::Unserved);
    rig.end().await;
}

#[tokio::test]
async fn the_corpus_over_a_socket_gives_one_event_for_each_message() {
    let Some(bytes) = corpus::read("twitch-irc.txt") else { return };
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    let before = rig.ear.wait_for(1, |event| event["externalEvent"]["kind"] == "roomstate").await.len();
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    for chunk in bytes.chunks(1000) {
        peer.send_bytes(chunk).await;
    }
    for row in corpus::rows("twitch-irc-malformed.jsonl") {
        if let Some(line) = row["input"].as_str() {
            peer.send(line).await;
        }
    }
    peer.send(HELLO).await;
    rig.ear.wait_for_text("hello").await;
    let heard = rig.ear.heard();
    let ids: HashSet<&str> =
        heard[before..before + lines.len()].iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), 397, "of {} lines", lines.len());
    assert_eq!(rig.status().state, ConnectionState::Connected, "no line ended anything");
    rig.end().await;
}

#[tokio::test]
async fn a_publisher_that_takes_nothing_does_not_keep_pings_unanswered() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    rig.ear.block();
    for n in 0..500 {
        peer.send(&format!("@id=x-{n} :ada!a@a PRIVMSG #a :text {n}")).await;
    }
    peer.send("PING :are you there").await;
    peer.expect("PONG :are you there").await;
    rig.ear.unblock();
    let texts = rig.ear.wait_for(500, |event| event["type"] == "chat.message.v1").await;
    let in_order = texts.iter().enumerate().all(|(n, event)| event["message"]["text"] == format!("text {n}"));
    assert!(in_order);
    rig.end().await;
}

#[tokio::test]
async fn after_the_stop_nothing_new_is_read_but_the_connection_stays_until_all_is_said() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], true));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    let verdict = rig.say(rig.outbound("#a", "last words"));
    peer.expect("PRIVMSG #a :last words").await;
    rig.runtime.stop.cancel();
    peer.send(HELLO).await;
    peer.send("PING :x").await;
    peer.expect("PONG :x").await;
    peer.send("@id=m-9 :tmi.twitch.tv USERSTATE #a").await;
    assert!(matches!(verdict.await.unwrap(), chatbus_connector::Verdict::Delivered { .. }));
    rig.drained.cancel();
    rig.until(|status| status.state == ConnectionState::Disconnected).await;
    let heard: Vec<String> =
        rig.ear.heard().iter().map(|e| String::from_utf8_lossy(&e.body).into_owned()).collect();
    assert!(!heard.iter().any(|body| body.contains("hello")));
    assert!(heard.iter().any(|body| body.contains("last words")), "our own words are published still");
    assert_eq!(peer.next().await, None, "and the connection is closed");
    rig.end().await;
}

#[tokio::test]
async fn a_flood_of_lines_does_not_stop_the_clock() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a", "missing"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    peer.expect("JOIN #missing").await;
    rig.ear.forget();
    let flood = "@id=x :ada!a@a PRIVMSG #a :again and again\r\n".repeat(200);
    // The join that stays unanswered is asked for again after five seconds, flood or not.
    let begun = rig.runtime.clock.instant();
    let asked = async {
        loop {
            peer.send_bytes(flood.as_bytes()).await;
            if let Some(line) = peer.try_next() {
                return line;
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("the clock goes on");
    assert_eq!(line, "JOIN #missing");
    assert!(rig.runtime.clock.instant() - begun >= Duration::from_secs(4));
    rig.end().await;
}

#[tokio::test]
async fn what_was_read_before_the_stop_is_handed_over() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("irc"), &["a"], false));
    let mut peer = server.welcome().await;
    peer.let_in().await;
    rig.joined(1).await;
    rig.ear.block();
    for n in 0..100 {
        peer.send(&format!("@id=x-{n} :ada!a@a PRIVMSG #a :text {n}")).await;
        peer.send("PING :x").await;
        peer.expect("PONG :x").await;
    }
    rig.runtime.stop.cancel();
    rig.drained.cancel();
    rig.ear.unblock();
    rig.ear.wait_for(100, |event| event["type"] == "chat.message.v1").await;
    rig.end().await;
}
