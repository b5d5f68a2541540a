//! Its part of the control API: the same as the methods, from any language.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, EventSub, id_of, oauth};
use crate::client::sandbox;

async fn post(sandbox: &chatbus_sandbox::SandboxHandle, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/twitch-api{path}", sandbox.control_url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("the API answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn ok(sandbox: &chatbus_sandbox::SandboxHandle, path: &str, body: Value) -> Value {
    let (status, answer) = post(sandbox, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn get(sandbox: &chatbus_sandbox::SandboxHandle, path: &str) -> Value {
    let url = format!("{}/twitch-api{path}", sandbox.control_url());
    reqwest::get(url).await.expect("the API answers").json().await.expect("JSON")
}

#[tokio::test]
async fn tokens_are_made_and_broken_from_any_language() {
    let sandbox = sandbox().await;
    let page: Value = reqwest::get(sandbox.control_url()).await.unwrap().json().await.unwrap();
    assert_eq!(page["twitch"]["eventsub"], sandbox.twitch_api().eventsub_url());
    let made = ok(
        &sandbox,
        "/token",
        json!({ "login": "Ann", "scopes": "chat:read user:write:chat", "lifetime_seconds": 60 }),
    )
    .await;
    assert_eq!((&made["login"], &made["expires_in"]), (&json!("ann"), &json!(60)));
    assert_eq!(made["scopes"], json!(["chat:read", "user:write:chat"]));
    ok(&sandbox, "/expire", json!({ "token": made["access_token"] })).await;
    let listed = get(&sandbox, "/tokens").await;
    assert_eq!(
        (&listed[0]["state"], &listed[0]["refresh_token"]),
        (&json!("expired"), &made["refresh_token"])
    );
    let form = format!(
        "client_id=client&grant_type=refresh_token&refresh_token={}",
        made["refresh_token"].as_str().unwrap()
    );
    ok(&sandbox, "/refuse-refreshes", json!({ "login": "ann" })).await;
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await.0, 400);
    ok(&sandbox, "/refuse-refreshes", json!({ "login": "ann", "on": false })).await;
    ok(&sandbox, "/token-lifetime", json!({ "seconds": 5 })).await;
    ok(&sandbox, "/refuse", json!({ "path": "oauth2/token", "status": 502, "count": 1 })).await;
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await.0, 502);
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await.1["expires_in"], 5);
    assert_eq!(get(&sandbox, "/refreshes").await["refreshes"], json!({ "ann": 1 }));
    assert_eq!(ok(&sandbox, "/revoke", json!({ "login": "ann" })).await["tokens"], 1);
    let (_, started) = oauth(&sandbox, "/oauth2/device", "client_id=app").await;
    assert_eq!(get(&sandbox, "/devices").await, json!([started["user_code"]]));
    ok(&sandbox, "/device", json!({ "code": started["user_code"], "deny": true })).await;
    ok(&sandbox, "/grant-as", json!({ "login": "ann" })).await;
    ok(&sandbox, "/client", json!({ "client_id": "app", "secret": "s" })).await;
    let wrong = "client_id=app&client_secret=x&grant_type=client_credentials";
    assert_eq!(oauth(&sandbox, "/oauth2/token", wrong).await.0, 403);
    ok(&sandbox, "/reset", json!({})).await;
    assert_eq!(get(&sandbox, "/tokens").await, json!([]));
}

#[tokio::test]
async fn requests_and_connections_go_wrong_from_any_language() {
    let sandbox = sandbox().await;
    let ann = Caller::user(&sandbox, "ann", super::READ);
    let set =
        ok(&sandbox, "/user", json!({ "login": "hall", "display_name": "大厅", "live": true, "viewers": 3 }))
            .await;
    assert_eq!((&set["id"], &set["user"]["display_name"]), (&json!(id_of("hall")), &json!("大厅")));
    ok(&sandbox, "/drop-message", json!({ "code": "msg_rejected", "count": 1 })).await;
    assert_eq!(ann.say("hall", "ann", "a").await.body["data"][0]["drop_reason"]["code"], "msg_rejected");
    ok(&sandbox, "/lose", json!({ "path": "chat/messages", "count": 1 })).await;
    let body = json!({ "broadcaster_id": id_of("hall"), "sender_id": id_of("ann"), "message": "lost" });
    assert!(ann.try_ask(Method::POST, "/helix/chat/messages", body).await.is_err());
    ok(&sandbox, "/delay", json!({ "ms": 1, "count": 1 })).await;
    ok(&sandbox, "/whisper-rules", json!({ "dropped": true, "limited": false })).await;
    let sent = get(&sandbox, "/sent?channel=hall").await;
    assert_eq!(
        (&sent[0]["code"], &sent[1]["text"], &sent[1]["way"]),
        (&json!("msg_rejected"), &json!("lost"), &json!("helix"))
    );
    assert_eq!(get(&sandbox, "/whispers").await, json!([]));
    ok(&sandbox, "/points", json!({ "points": 100 })).await;
    let mut reader = EventSub::connect(&sandbox).await;
    let made = ann.subscribe(&reader.session, "hall", "ann").await;
    let id = &made.body["data"][0]["id"];
    let event = json!({ "broadcaster_user_id": id_of("hall"), "a": 1 });
    assert_eq!(
        ok(&sandbox, "/emit", json!({ "type": "channel.chat.message", "event": event })).await["told"],
        1
    );
    let told = reader.notified().await;
    assert_eq!(told["event"], event);
    assert_eq!(ok(&sandbox, "/repeat", json!({ "subscription": id })).await["told"], true);
    assert_eq!(reader.notified().await, told);
    for (path, body) in [
        ("/freeze", json!({})),
        ("/unfreeze", json!({})),
        ("/keepalives", json!({ "on": false })),
        ("/reconnect", json!({ "grace_ms": 60_000 })),
    ] {
        assert_eq!(ok(&sandbox, path, body).await["connections"], 1, "{path}");
    }
    let sessions = get(&sandbox, "/sessions").await;
    assert_eq!(
        (&sessions[0]["id"], &sessions[0]["keepalives"], &sessions[0]["subscriptions"]),
        (&json!(reader.session), &json!(false), &json!(1))
    );
    assert_eq!((&sessions[0]["reconnecting"], &sessions[0]["frozen"]), (&json!(true), &json!(false)));
    ok(&sandbox, "/revoke-subscription", json!({ "subscription": id })).await;
    assert_eq!(get(&sandbox, "/subscriptions").await[0]["status"], "authorization_revoked");
    ok(&sandbox, "/orphans", json!({ "conflict": false })).await;
    assert_eq!(
        ok(&sandbox, "/close", json!({ "code": 4000, "session": reader.session })).await["connections"],
        1
    );
    assert_eq!(reader.closed().await, 4000);
    assert_eq!(ok(&sandbox, "/drop", json!({ "session": "none" })).await["connections"], 0);
}

#[tokio::test]
async fn a_senseless_request_names_its_field() {
    let sandbox = sandbox().await;
    for (path, body, field) in [
        ("/token", json!({ "login": "a b" }), "login"),
        ("/token", json!({ "scopes": [1] }), "scopes"),
        ("/token", json!({ "client_id": "" }), "client_id"),
        ("/token", json!({ "lifetime_seconds": 999_999_999 }), "lifetime_seconds"),
        ("/expire", json!({}), "token"),
        ("/expire", json!({ "token": "none" }), "token"),
        ("/revoke", json!({ "token": "a", "login": "b" }), "login"),
        ("/grant-as", json!({}), "login"),
        ("/grant-as", json!({ "login": "a", "deny": true }), "login"),
        ("/device", json!({ "code": "none", "deny": true }), "code"),
        ("/user", json!({ "login": "a", "display_name": "" }), "display_name"),
        ("/user", json!({ "login": "a", "broadcaster_type": "x" }), "broadcaster_type"),
        ("/refuse", json!({ "status": 200 }), "status"),
        ("/refuse", json!({}), "status"),
        ("/drop-message", json!({ "code": "NO" }), "code"),
        ("/drop-message", json!({ "code": "a", "path": "users" }), "path"),
        ("/delay", json!({ "ms": 99_999_999 }), "ms"),
        ("/lose", json!({ "for_ms": 99_999_999 }), "for_ms"),
        ("/points", json!({}), "points"),
        ("/emit", json!({ "type": "a" }), "event"),
        ("/emit", json!({ "type": "a", "event": 1 }), "event"),
        ("/close", json!({ "code": 1005 }), "code"),
        ("/close", json!({ "code": 4000, "reason": "x".repeat(124) }), "reason"),
        ("/keepalives", json!({}), "on"),
        ("/revoke-subscription", json!({ "subscription": "none" }), "subscription"),
        ("/revoke-subscription", json!({ "subscription": "none", "status": "NO" }), "status"),
        ("/repeat", json!({ "subscription": "none" }), "subscription"),
        ("/orphans", json!({}), "conflict"),
    ] {
        let (status, answer) = post(&sandbox, path, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.starts_with(&format!("{field} ")), "{path} {body}: {status} {answer}");
    }
}
