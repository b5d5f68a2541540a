use chatbus_connector::ConnectionState;

use super::*;

fn codes(rig: &Rig) -> Vec<(String, String)> {
    rig.status().refused_channels.into_iter().map(|refused| (refused.channel, refused.code)).collect()
}

fn pair(channel: &str, code: &str) -> (String, String) {
    (channel.to_owned(), code.to_owned())
}

#[tokio::test]
async fn a_type_without_its_scope_is_left_out_and_the_others_go_on() {
    let twitch = Twitch::start().await;
    twitch.refuse("stream.online", 403, "subscription missing proper authorization");
    twitch.refuse("channel.raid", 429, "max total cost exceeded");
    twitch.refuse("channel.chat.clear", 403, "subscription missing proper authorization");
    let rig = twitch.rig(&["ab"]);
    let _peer = twitch.welcome("s1").await;
    rig.joined(1).await;
    let status = rig.until(|status| status.counters.other.get("eventsubRefusedTypes") == Some(&3)).await;
    assert_eq!(status.auth.missing_scopes, ["moderator:read:followers", "user:read:chat"]);
    assert!(status.refused_channels.is_empty());
    assert!(twitch.of_session("s1").contains(&("channel.update".to_owned(), id("ab"))));
    rig.end().await;
}

#[tokio::test]
async fn channels_that_are_nobodys_or_refused_are_shown_as_such() {
    let twitch = Twitch::start().await;
    let rig = twitch.rig(&["ab", "nobody"]);
    let _peer = twitch.welcome("s1").await;
    rig.joined(1).await;
    rig.until(|status| !status.refused_channels.is_empty()).await;
    assert_eq!(codes(&rig), [pair("#nobody", "channel_not_found")]);
    rig.end().await;
}

#[tokio::test]
async fn when_all_is_refused_the_session_is_not_made_again_and_again() {
    let twitch = Twitch::start().await;
    for row in chatbus_platform_twitch::eventsub::types::TABLE {
        twitch.refuse(row.name, 403, "subscription missing proper authorization");
    }
    let rig = twitch.rig(&["ab"]);
    let mut peer = twitch.welcome("s1").await;
    rig.until(|status| status.state == ConnectionState::Error).await;
    assert_eq!(peer.goodbye().await, Some(1000));
    assert_eq!(codes(&rig), [pair("#ab", "missing_scope")]);
    // Another list of channels is a reason to try again.
    twitch.world.lock().unwrap().refusals.clear();
    rig.set_channels(&["abc"]);
    let _peer = twitch.welcome("s2").await;
    rig.joined(2).await;
    rig.end().await;
}

#[tokio::test]
async fn a_revocation_takes_the_channel_out_and_says_why() {
    for (code, auth) in [
        ("user_removed", "ok"),
        ("version_removed", "ok"),
        ("moderator_removed", "ok"),
        ("authorization_revoked", "needs_reauth"),
    ] {
        let twitch = Twitch::start().await;
        let (rig, mut peer) = twitch.reading(&["ab", "abc"]).await;
        let gone = json!({ "id": "sub-1", "status": code, "type": "channel.chat.message", "version": "1",
            "condition": { "broadcaster_user_id": id("ab"), "user_id": "99" } });
        peer.frame("revocation", &json!({ "subscription": gone })).await;
        rig.joined(1).await;
        assert_eq!(codes(&rig), [pair("#ab", code)]);
        assert_eq!(rig.status().auth.state, auth, "{code}");
        peer.says("abc", "m-1", "the other goes on").await;
        rig.ear.wait_for_text("the other goes on").await;
        rig.end().await;
    }
}

#[tokio::test]
async fn what_a_session_before_left_behind_is_removed() {
    let twitch = Twitch::start().await;
    let orphan = json!({ "id": "orphan", "status": "websocket_disconnected", "type": "channel.chat.message",
        "version": "1", "condition": { "broadcaster_user_id": id("ab"), "user_id": "99" },
        "transport": { "method": "websocket", "session_id": "s0" } });
    let other = json!({ "id": "other", "status": "enabled", "type": "channel.chat.message", "version": "1",
        "condition": { "broadcaster_user_id": id("ab"), "user_id": "99" },
        "transport": { "method": "websocket", "session_id": "elsewhere" } });
    twitch.world.lock().unwrap().subscriptions = vec![orphan, other];
    let (rig, _peer) = twitch.reading(&["ab"]).await;
    let ids = |twitch: &Twitch| -> Vec<String> {
        let world = twitch.world.lock().unwrap();
        world.subscriptions.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!ids(&twitch).contains(&"orphan".to_owned()) && ids(&twitch).contains(&"other".to_owned()));
    rig.end().await;
}
