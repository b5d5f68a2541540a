//! Conduits and their shards.

use chatbus_sandbox::twitch_api::NewToken;
use chatbus_sandbox::twitch_irc::Say;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, EventSub, id_of};
use crate::client::sandbox;

const CONDUITS: &str = "/helix/eventsub/conduits";
const SHARDS: &str = "/helix/eventsub/conduits/shards";

#[tokio::test]
async fn a_conduit_tells_on_whichever_shard_is_connected() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    for (login, scopes) in [("bot", &["user:read:chat", "user:bot"][..]), ("hall", &["channel:bot"])] {
        sandbox.twitch_api().make_token(&NewToken::of(login, scopes)).unwrap();
    }
    let made = app.post(CONDUITS, json!({ "shard_count": 2 })).await;
    let conduit = made.body["data"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({
        "type": "channel.chat.message",
        "version": "1",
        "condition": { "broadcaster_user_id": id_of("hall"), "user_id": id_of("bot") },
        "transport": { "method": "conduit", "conduit_id": conduit },
    });
    assert_eq!(app.post("/helix/eventsub/subscriptions", body.clone()).await.status, 202);
    assert_eq!(app.post("/helix/eventsub/subscriptions", body).await.status, 409);
    let mut shard = EventSub::connect(&sandbox).await;
    let transport = json!({ "method": "websocket", "session_id": shard.session });
    let gone = json!({ "method": "websocket", "session_id": "gone" });
    let rows = json!([{ "id": "1", "transport": transport }, { "id": "2", "transport": transport }, { "id": "0", "transport": gone }]);
    let set = app.ask(Method::PATCH, SHARDS, json!({ "conduit_id": conduit, "shards": rows })).await;
    assert_eq!((set.status, &set.body["data"][0]["status"]), (202, &json!("enabled")), "{}", set.body);
    let codes: Vec<_> =
        set.body["errors"].as_array().unwrap().iter().map(|e| (e["id"].clone(), e["code"].clone())).collect();
    assert_eq!(
        codes,
        [(json!("2"), json!("invalid_parameter")), (json!("0"), json!("websocket_disconnected"))]
    );
    sandbox.twitch().say(&Say::new("hall", "ann", "hi")).await.unwrap();
    let told = shard.notified().await;
    assert_eq!(told["subscription"]["transport"], json!({ "method": "conduit", "conduit_id": conduit }));
    assert_eq!(told["event"]["message"]["text"], "hi");
    sandbox.twitch_api().drop_sessions(&shard.which());
    let listed = format!("{SHARDS}?conduit_id={conduit}");
    sandbox.twitch_api().wait_for_sessions(0).await;
    assert_eq!(app.get(&listed).await["data"][0]["status"], "websocket_disconnected");
    // A subscription outlives its shards.
    assert_eq!(sandbox.twitch_api().subscriptions()[0]["status"], "enabled");
    assert_eq!(app.get(&format!("{listed}&status=enabled")).await["data"], json!([]));
    assert_eq!(app.ask(Method::DELETE, &format!("{CONDUITS}?id={conduit}"), Value::Null).await.status, 204);
    assert!(sandbox.twitch_api().subscriptions().is_empty());
}

#[tokio::test]
async fn conduits_are_made_resized_and_bounded_and_not_for_users() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let made = app.post(CONDUITS, json!({ "shard_count": 1 })).await;
        ids.push(made.body["data"][0]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(app.post(CONDUITS, json!({ "shard_count": 1 })).await.status, 429);
    let resized = app.ask(Method::PATCH, CONDUITS, json!({ "id": ids[0], "shard_count": 7 })).await;
    assert_eq!(resized.body["data"], json!([{ "id": ids[0], "shard_count": 7 }]));
    let by_query = format!("{CONDUITS}?id={}&shard_count=8", ids[0]);
    assert_eq!(app.ask(Method::PATCH, &by_query, Value::Null).await.body["data"][0]["shard_count"], 8);
    assert_eq!(app.get(CONDUITS).await["data"].as_array().unwrap().len(), 5);
    for (method, path, body, status) in [
        (Method::POST, CONDUITS, json!({ "shard_count": 0 }), 400),
        (Method::POST, CONDUITS, json!({ "shard_count": 20_001 }), 400),
        (Method::PATCH, CONDUITS, json!({ "id": "none", "shard_count": 1 }), 404),
        (Method::PATCH, SHARDS, json!({ "conduit_id": "none", "shards": [] }), 404),
        (Method::PATCH, SHARDS, json!({ "conduit_id": ids[0], "shards": [{ "id": "0" }] }), 400),
        (Method::DELETE, "/helix/eventsub/conduits?id=none", Value::Null, 404),
        (Method::GET, "/helix/eventsub/conduits/shards?conduit_id=none", Value::Null, 404),
    ] {
        assert_eq!(
            app.ask(method.clone(), path, body.clone()).await.status,
            status,
            "{method} {path} {body}"
        );
    }
    assert_eq!(Caller::user(&sandbox, "ann", &[]).ask(Method::GET, CONDUITS, Value::Null).await.status, 401);
}
