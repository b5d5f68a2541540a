use chatbus_connector::{ConnectionState, CredentialState};

use super::*;

#[tokio::test]
async fn channels_are_joined_when_they_are_subscribed_to_and_what_is_said_is_an_event() {
    let twitch = Twitch::start().await;
    let (rig, mut peer) = twitch.reading(&["ab", "abc"]).await;
    let status = rig.status();
    assert_eq!(status.state, ConnectionState::Connected);
    assert_eq!((status.auth.state, status.auth.user_id.as_deref()), ("ok", Some("99")));
    peer.says("ab", "m-1", "hello").await;
    let event = rig.ear.wait_for_text("hello").await;
    assert_eq!((&event["channel"], &event["userId"]), (&json!("#ab"), &json!("5")));
    assert_eq!(rig.status().counters.received, 1);
    let first = &twitch.helix.asked_of("/helix/eventsub/subscriptions")[0];
    assert_eq!((&*first.method, &first.body["type"]), ("POST", &json!("channel.chat.message")));
    assert_eq!(first.body["condition"], json!({ "broadcaster_user_id": id("ab"), "user_id": "99" }));
    rig.end().await;
    assert_eq!(peer.goodbye().await, Some(1000));
}

#[tokio::test]
async fn channels_are_added_and_taken_out_while_it_runs() {
    let twitch = Twitch::start().await;
    let (rig, _peer) = twitch.reading(&["ab"]).await;
    rig.set_channels(&["added"]);
    rig.joined(2).await;
    twitch.subscribed_by("s1", 2).await;
    rig.set_channels(&[]);
    rig.joined(1).await;
    let alone = async {
        while twitch.of_session("s1").iter().any(|(_, channel)| *channel == id("added")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, alone).await.expect("its subscriptions are removed");
    assert!(twitch.of_session("s1").contains(&("channel.chat.message".to_owned(), id("ab"))));
    rig.end().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_opened_until_there_is_one() {
    let twitch = Twitch::start().await;
    let (config, keeper) = twitch.config(&["ab"], Credential::default());
    let rig = Rig::run(config);
    rig.until(|status| status.state == ConnectionState::Error && status.auth.state == "needs_reauth").await;
    keeper.tell(bot("token", &["user:read:chat"]));
    let _peer = twitch.welcome("s1").await;
    rig.joined(1).await;
    assert_eq!(rig.status().auth.state, "ok");
    keeper.tell_state(CredentialState::NeedsReauth);
    rig.until(|status| status.auth.state == "needs_reauth" && status.joined_channels.is_empty()).await;
    rig.end().await;
}

#[tokio::test]
async fn what_is_no_frame_and_what_nobody_knows_is_kept_and_ends_nothing() {
    let twitch = Twitch::start().await;
    let (rig, mut peer) = twitch.reading(&["ab"]).await;
    peer.socket.send(Message::text("{\"metadata\":")).await.unwrap();
    peer.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    peer.frame("session_party", &json!({})).await;
    peer.send(&notification("channel.new_thing", "n-1", &json!({ "x": 1 }))).await;
    let found = rig.ear.wait_for(2, |event| event["type"] == "twitch.eventsub.v1").await;
    assert_eq!(found[0]["externalEvent"]["kind"], "eventsub.unparsed");
    assert_eq!(found[1]["externalEvent"]["kind"], "channel.new_thing");
    let counters = rig.status().counters.other;
    assert_eq!((counters["eventsubMalformed"], counters["eventsubUnknownFrames"]), (1, 1));
    peer.says("ab", "m-1", "still there").await;
    rig.ear.wait_for_text("still there").await;
    rig.end().await;
}

#[tokio::test]
async fn a_token_that_could_not_be_renewed_is_used_and_shown_as_degraded() {
    let twitch = Twitch::start().await;
    let (config, keeper) = twitch.config(&["ab"], bot("token", &["user:read:chat"]));
    let rig = Rig::run(config);
    let _peer = twitch.welcome("s1").await;
    rig.joined(1).await;
    keeper.tell_state(CredentialState::Degraded);
    let status = rig.until(|status| status.auth.state == "degraded").await;
    assert_eq!(status.joined_channels.len(), 1);
    rig.end().await;
}
