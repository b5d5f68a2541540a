use chatbus_platform_twitch::EventSubTransport;

use super::*;

fn conduit_config(twitch: &Twitch) -> TwitchConfig {
    let (config, _keeper) = twitch.config(&["ab"], bot("token", &["user:read:chat"]));
    TwitchConfig { eventsub_transport: EventSubTransport::Conduit, ..config }
}

fn conduit_types(twitch: &Twitch) -> usize {
    let world = twitch.world.lock().unwrap();
    world.subscriptions.iter().filter(|row| row["transport"]["conduit_id"] == "conduit-1").count()
}

#[tokio::test]
async fn a_session_is_a_shard_of_the_applications_conduit_and_the_next_one_takes_its_place() {
    let twitch = Twitch::start().await;
    let rig = Rig::run(conduit_config(&twitch));
    let mut peer = twitch.welcome("s1").await;
    rig.joined(1).await;
    peer.says("ab", "m-1", "hello").await;
    rig.ear.wait_for_text("hello").await;
    {
        let world = twitch.world.lock().unwrap();
        assert_eq!(world.shards[0]["transport"], json!({ "method": "websocket", "session_id": "s1" }));
        assert_eq!(world.shards[0]["id"], "0");
    }
    let asked = twitch.helix.asked_of("/helix/eventsub/subscriptions");
    assert!(asked.iter().all(|asked| asked.authorization == "Bearer app-token"), "as the application");
    let complete = async {
        while conduit_types(&twitch) < 12 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, complete).await.expect("all types");
    let made = twitch.world.lock().unwrap().made;
    twitch.world.lock().unwrap().shards[0]["status"] = json!("websocket_disconnected");
    drop(peer);
    let mut peer = twitch.welcome("s2").await;
    assert_eq!(gap(&rig).await["reason"], "connection_lost");
    rig.joined(1).await;
    peer.says("ab", "m-2", "again").await;
    rig.ear.wait_for_text("again").await;
    {
        let world = twitch.world.lock().unwrap();
        assert_eq!((world.made, world.shards.len()), (made, 1), "its subscriptions outlive the session");
        assert_eq!(world.shards[0]["transport"]["session_id"], "s2");
    }
    rig.end().await;
}

#[tokio::test]
async fn where_all_shards_are_taken_there_is_one_more() {
    let twitch = Twitch::start().await;
    {
        let mut world = twitch.world.lock().unwrap();
        world.conduits = vec![json!({ "id": "conduit-1", "shard_count": 1 })];
        world.shards = vec![json!({ "id": "0", "status": "enabled",
            "transport": { "method": "websocket", "session_id": "another" } })];
    }
    let rig = Rig::run(conduit_config(&twitch));
    let _peer = twitch.welcome("s1").await;
    rig.joined(1).await;
    {
        let world = twitch.world.lock().unwrap();
        assert_eq!(world.conduits[0]["shard_count"], 2);
        assert_eq!((world.shards.len(), &world.shards[1]["id"]), (2, &json!("1")));
    }
    rig.end().await;
}
