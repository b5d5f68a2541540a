use chatbus_connector::ConnectionState;

use super::*;

#[tokio::test]
async fn a_lost_socket_is_made_again_and_the_gap_is_told() {
    let twitch = Twitch::start().await;
    let (rig, mut peer) = twitch.reading(&["ab", "abc"]).await;
    peer.says("ab", "m-1", "before").await;
    rig.ear.wait_for_text("before").await;
    drop(peer);
    rig.until(|status| status.joined_channels.is_empty()).await;
    let mut peer = twitch.welcome("s2").await;
    let told = gap(&rig).await;
    assert_eq!((&told["platform"], &told["reason"]), (&json!("twitch"), &json!("connection_lost")));
    assert_eq!(told["channels"], json!(["#ab", "#abc"]));
    assert!(told["from"].as_str() < told["to"].as_str(), "{told}");
    rig.joined(2).await;
    peer.says("ab", "m-2", "after").await;
    rig.ear.wait_for_text("after").await;
    assert_eq!((texts(&rig), gaps(&rig)), (vec!["before".to_owned(), "after".to_owned()], 1));
    let status = rig.status();
    assert_eq!((status.state, status.counters.reconnects), (ConnectionState::Connected, 1));
    rig.end().await;
}

#[tokio::test]
async fn silence_ends_a_connection_that_is_not_closed() {
    let twitch = Twitch::start().await;
    let rig = twitch.rig(&["ab"]);
    let mut frozen = twitch.accept().await;
    frozen.welcome_for("s1", 1).await;
    rig.joined(1).await;
    twitch.subscribed_by("s1", 1).await;
    let mut peer = twitch.welcome("s2").await;
    assert_eq!(gap(&rig).await["reason"], "keepalive_missed");
    assert_eq!(frozen.goodbye().await, Some(1000));
    peer.says("ab", "m-1", "hello").await;
    rig.ear.wait_for_text("hello").await;
    rig.end().await;
}

#[tokio::test]
async fn each_close_code_is_followed_by_a_fresh_session() {
    let twitch = Twitch::start().await;
    let (rig, mut peer) = twitch.reading(&["ab"]).await;
    for (n, code) in (4000..=4007).enumerate() {
        peer.close(code).await;
        let session = format!("s{}", n + 2);
        peer = twitch.welcome(&session).await;
        rig.ear.wait_for(n + 1, is_gap).await;
        twitch.subscribed_by(&session, 1).await;
    }
    peer.says("ab", "m-1", "hello").await;
    rig.ear.wait_for_text("hello").await;
    assert!(rig.status().last_error.is_some());
    rig.end().await;
}
