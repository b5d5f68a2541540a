use super::*;

#[tokio::test]
async fn a_session_that_moves_loses_nothing_and_says_nothing_twice() {
    let twitch = Twitch::start().await;
    let (rig, mut old) = twitch.reading(&["ab"]).await;
    let made = twitch.world.lock().unwrap().made;
    old.says("ab", "m-1", "before").await;
    old.reconnect(&format!("{}/moved", twitch.url())).await;
    let mut new = twitch.accept().await;
    old.says("ab", "m-2", "while it is opened").await;
    rig.ear.wait_for_text("while it is opened").await;
    old.says("ab", "m-3", "on both").await;
    new.welcome("s1").await;
    new.says("ab", "m-3", "on both").await;
    new.says("ab", "m-4", "after").await;
    rig.ear.wait_for_text("after").await;
    // The old one may still say what was under way.
    old.says("ab", "m-5", "late").await;
    rig.ear.wait_for_text("late").await;
    assert_eq!(old.goodbye().await, Some(1000));
    let mut heard = texts(&rig);
    heard.sort();
    assert_eq!(heard, ["after", "before", "late", "on both", "while it is opened"]);
    assert_eq!((gaps(&rig), twitch.world.lock().unwrap().made), (0, made), "no gap, nothing subscribed anew");
    assert_eq!(rig.status().joined_channels.len(), 1);
    rig.end().await;
}

#[tokio::test]
async fn a_second_order_to_move_counts_more_than_the_first() {
    let twitch = Twitch::start().await;
    let (rig, mut old) = twitch.reading(&["ab"]).await;
    old.reconnect(&format!("{}/first", twitch.url())).await;
    let mut first = twitch.accept().await;
    old.reconnect(&format!("{}/second", twitch.url())).await;
    let mut second = twitch.accept().await;
    assert_eq!(first.goodbye().await, Some(1000));
    second.welcome("s1").await;
    assert_eq!(old.goodbye().await, Some(1000));
    second.says("ab", "m-1", "hello").await;
    rig.ear.wait_for_text("hello").await;
    assert_eq!(gaps(&rig), 0);
    rig.end().await;
}

#[tokio::test]
async fn a_refused_move_leads_to_a_fresh_session_with_subscriptions_of_its_own() {
    let twitch = Twitch::start().await;
    let (rig, mut old) = twitch.reading(&["ab"]).await;
    old.reconnect(&format!("{}/stale", twitch.url())).await;
    twitch.accept().await.close(4007).await;
    let mut fresh = twitch.accept().await;
    old.says("ab", "m-1", "on the old one").await;
    rig.ear.wait_for_text("on the old one").await;
    fresh.welcome("s2").await;
    assert_eq!(old.goodbye().await, Some(1000));
    let told = gap(&rig).await;
    assert_eq!((&told["reason"], &told["channels"]), (&json!("reconnect_refused"), &json!(["#ab"])));
    twitch.subscribed_by("s2", 1).await;
    assert!(twitch.of_session("s1").is_empty(), "what is left of the old session is removed");
    fresh.says("ab", "m-2", "on the fresh one").await;
    rig.ear.wait_for_text("on the fresh one").await;
    rig.end().await;
}

#[tokio::test]
async fn an_address_that_leads_elsewhere_is_not_followed() {
    let twitch = Twitch::start().await;
    let (rig, mut old) = twitch.reading(&["ab"]).await;
    old.reconnect("ws://127.0.0.9:1/ws").await;
    let _fresh = twitch.welcome("s2").await;
    assert_eq!(gap(&rig).await["reason"], "reconnect_refused");
    rig.end().await;
}
