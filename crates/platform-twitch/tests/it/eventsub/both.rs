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
