use chatbus_connector::{Availability, Target, Verdict};
use chatbus_platform_twitch::SendBy;

use super::*;

async fn reading_both(twitch: &Twitch) -> (Rig, Peer, crate::rig::Peer) {
    let (config, _keeper) = twitch.config(&["ab"], bot("token", &["user:read:chat"]));
    let rig = Rig::run(TwitchConfig { read: Read::Both, ..config });
    let mut irc = twitch.irc.welcome().await;
    irc.let_in().await;
    let peer = twitch.welcome("s1").await;
    twitch.subscribed_by("s1", 1).await;
    rig.joined(1).await;
    (rig, peer, irc)
}

async fn irc_says(irc: &mut crate::rig::Peer, message_id: &str, text: &str) {
    let line = format!(
        "@id={message_id};room-id={};user-id=5;display-name=Ada :ada!ada@ada PRIVMSG #ab :{text}",
        id("ab")
    );
    irc.send(&line).await;
}

#[tokio::test]
async fn what_both_bring_is_one_event_whichever_is_behind() {
    let twitch = Twitch::start().await;
    let (rig, mut peer, mut irc) = reading_both(&twitch).await;
    irc_says(&mut irc, "m-1", "irc first").await;
    rig.ear.wait_for_text("irc first").await;
    peer.says("ab", "m-1", "irc first").await;
    peer.says("ab", "m-2", "eventsub first").await;
    rig.ear.wait_for_text("eventsub first").await;
    irc_says(&mut irc, "m-2", "eventsub first").await;
    irc_says(&mut irc, "m-3", "irc alone").await;
    peer.says("ab", "m-4", "eventsub alone").await;
    rig.ear.wait_for_text("irc alone").await;
    rig.ear.wait_for_text("eventsub alone").await;
    let mut heard = texts(&rig);
    heard.sort();
    assert_eq!(heard, ["eventsub alone", "eventsub first", "irc alone", "irc first"]);
    assert_eq!(rig.status().counters.other["readTwice"], 2);
    rig.end().await;
}

#[tokio::test]
async fn one_goes_on_while_the_other_is_lost() {
    let twitch = Twitch::start().await;
    let (rig, mut peer, irc) = reading_both(&twitch).await;
    drop(irc);
    peer.says("ab", "m-1", "without irc").await;
    rig.ear.wait_for_text("without irc").await;
    let mut irc = twitch.irc.welcome().await;
    irc.let_in().await;
    drop(peer);
    irc_says(&mut irc, "m-2", "without eventsub").await;
    rig.ear.wait_for_text("without eventsub").await;
    rig.end().await;
}

#[tokio::test]
async fn where_only_eventsub_is_read_irc_is_there_to_speak_and_brings_nothing() {
    let twitch = Twitch::start().await;
    let (rig, mut peer) = twitch.reading(&["ab"]).await;
    let mut irc = twitch.irc.welcome().await;
    irc.let_in().await;
    irc_says(&mut irc, "m-1", "by irc").await;
    peer.says("ab", "m-2", "by eventsub").await;
    rig.ear.wait_for_text("by eventsub").await;
    assert_eq!(texts(&rig), ["by eventsub"]);
    rig.end().await;
}

#[tokio::test]
async fn where_only_eventsub_is_read_what_irc_says_is_counted() {
    let twitch = Twitch::start().await;
    let (config, _keeper) = twitch.config(&["ab"], bot("token", &["chat:read", "chat:edit"]));
    let rig = Rig::run(TwitchConfig { send: SendBy::Irc, message_limit: false, ..config });
    let mut irc = twitch.irc.welcome().await;
    irc.let_in().await;
    let (sink, target) = (rig.sink(), Target::Channel("#ab".into()));
    let mut changes = sink.changes();
    let ready = async {
        while sink.availability(&target) != Availability::Ready {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(SOON, ready).await.expect("IRC is ready");
    let verdict = rig.say(rig.outbound("#ab", "hello"));
    irc.expect("PRIVMSG #ab :hello").await;
    irc.send("@id=m-1 :tmi.twitch.tv USERSTATE #ab").await;
    assert!(matches!(verdict.await.unwrap(), Verdict::Delivered { .. }));
    let verdict = rig.say(rig.outbound("#ab", "no"));
    irc.expect("PRIVMSG #ab :no").await;
    irc.send("@msg-id=msg_of_tomorrow :tmi.twitch.tv NOTICE #ab :no").await;
    assert!(matches!(verdict.await.unwrap(), Verdict::Permanent { .. }));
    let counters = rig.status().counters;
    assert_eq!((counters.sent, counters.other["unknownRefusals"]), (1, 1));
    rig.end().await;
}
