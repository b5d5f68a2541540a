//! The control API over HTTP.

use chatbus_sandbox::SandboxHandle;
use reqwest::header;
use serde_json::{Value, json};

use crate::client::{Client, sandbox, tags};

fn http() -> reqwest::Client {
    reqwest::Client::builder().build().expect("a client needs nothing")
}

async fn post(sandbox: &SandboxHandle, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", sandbox.control_url());
    let answer = http().post(url).json(&body).send().await.expect("the API answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn ok(sandbox: &SandboxHandle, path: &str, body: Value) -> Value {
    let (status, answer) = post(sandbox, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn get(sandbox: &SandboxHandle, path: &str) -> Value {
    let url = format!("{}{path}", sandbox.control_url());
    http().get(url).send().await.expect("the API answers").json().await.expect("JSON")
}

#[tokio::test]
async fn the_front_page_names_addresses_and_every_path_is_there() {
    let sandbox = sandbox().await;
    let page = get(&sandbox, "/").await;
    assert_eq!(page["twitch"]["irc"], sandbox.twitch().irc_url());
    assert_eq!(page["twitch"]["irc_ws"], sandbox.twitch().ws_url());
    for endpoint in page["endpoints"].as_array().unwrap() {
        let (method, path) = endpoint["request"].as_str().unwrap().split_once(' ').unwrap();
        if method == "GET" {
            assert!(get(&sandbox, path).await.get("error").is_none(), "{path}");
        } else {
            let (status, answer) = post(&sandbox, path, json!({ "mistake": 1 })).await;
            assert_eq!(status, 400, "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_test_in_any_language_speaks_and_reads_back() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    let body = json!({ "channel": "#hall", "login": "ann", "text": "hi {n}", "count": 2, "tags": { "bits": 5, "color": null } });
    let said = ok(&sandbox, "/twitch/say", body).await;
    for message in said["messages"].as_array().unwrap() {
        let heard = bot.until("PRIVMSG").await;
        assert_eq!(tags(&heard)["id"], message["id"].as_str().unwrap());
        assert_eq!(tags(&heard)["bits"], "5");
        assert_eq!(message["told"], 1);
    }
    bot.say("#hall", "an answer").await;
    let sent = get(&sandbox, "/twitch/sent?channel=%23hall").await;
    assert_eq!(sent[0]["text"], "an answer");
    assert_eq!((&sent[0]["accepted"], &sent[0]["code"]), (&json!(true), &Value::Null));
    for key in ["seq", "at", "channel", "login", "tags", "connection", "id"] {
        assert!(sent[0].get(key).is_some(), "{key}");
    }
    let at = sent[0]["at"].as_str().unwrap();
    for (since, count) in [("1", 0), ("0", 1), (at, 1), ("2000-01-01T00:00:00+01:00", 1)] {
        let rows = get(&sandbox, &format!("/twitch/sent?since={since}")).await;
        assert_eq!(rows.as_array().unwrap().len(), count, "{since}");
    }
    let connections = get(&sandbox, "/twitch/connections").await;
    assert_eq!(connections[0]["login"], "bot");
    assert_eq!(connections[0]["channels"], json!(["hall"]));
    assert_eq!(get(&sandbox, "/twitch/joins").await[0]["channel"], "hall");
    assert_eq!(get(&sandbox, "/twitch/logins").await[0]["accepted"], true);
    assert_eq!(get(&sandbox, "/twitch/counters").await["counters"]["accepted"], 1);
}

#[tokio::test]
async fn raw_lines_come_as_texts_as_hex_and_from_a_file() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    let file = std::env::temp_dir().join(format!("chatbus-sandbox-raw-{}.txt", std::process::id()));
    std::fs::write(&file, b"from a file\r\n\xfe\n").unwrap();
    let body = json!({ "lines": ["text é", { "hex": "ff0041" }], "rate": 1000 });
    assert_eq!(ok(&sandbox, "/twitch/raw", body).await["lines"], 2);
    let (_, answer) = post(&sandbox, "/twitch/raw", json!({ "file": file, "channel": "hall" })).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(answer, json!({ "lines": 2, "bytes": 16, "connections": 1 }));
    for expected in ["text é".as_bytes(), b"\xff\0A", b"from a file", b"\xfe"] {
        assert_eq!(bot.bytes().await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn faults_and_settings_are_reachable() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    ok(&sandbox, "/twitch/refuse", json!({ "channel": "#hall", "code": "msg_banned", "count": 1 })).await;
    assert!(bot.say("#hall", "a").await.contains("msg_banned"));
    ok(&sandbox, "/twitch/channel", json!({ "channel": "hall", "slow_seconds": 30, "emote_only": true }))
        .await;
    assert!(bot.line().await.starts_with("@emote-only=1;room-id="));
    assert!(bot.say("#hall", "b").await.contains("msg_emoteonly"));
    ok(&sandbox, "/twitch/role", json!({ "channel": "hall", "login": "bot", "moderator": true })).await;
    assert!(bot.say("#hall", "c").await.contains(";mod=1;"));
    ok(&sandbox, "/twitch/ban", json!({ "channel": "hall", "login": "bot" })).await;
    assert!(bot.line().await.contains("CLEARCHAT #hall :bot"));
    ok(&sandbox, "/twitch/ban", json!({ "channel": "hall", "login": "bot", "on": false })).await;
    ok(&sandbox, "/twitch/silence", json!({ "channel": "hall" })).await;
    bot.send("PRIVMSG #hall :d").await;
    assert!(bot.pending().await.is_empty());
    ok(&sandbox, "/twitch/silence", json!({ "channel": "hall", "on": false })).await;
    ok(&sandbox, "/twitch/slow-verdicts", json!({ "channel": "hall", "ms": 200 })).await;
    bot.send("PRIVMSG #hall :e").await;
    assert!(bot.pending().await.is_empty());
    assert!(bot.line().await.contains("USERSTATE"));
    ok(&sandbox, "/twitch/suspend", json!({ "channel": "gone" })).await;
    bot.send("JOIN #gone").await;
    assert!(bot.line().await.contains("msg_channel_suspended"));
    let rules = ok(&sandbox, "/twitch/rules", json!({ "messages": false, "channel_gap_ms": 5 })).await;
    assert_eq!(
        (&rules["messages"], &rules["joins"], &rules["channel_gap_ms"]),
        (&json!(false), &json!(true), &json!(5))
    );
    ok(&sandbox, "/twitch/token", json!({ "token": "oauth:old", "state": "expired" })).await;
    let mut late = Client::connect(sandbox.twitch().irc_addr()).await;
    late.send("PASS oauth:old\r\nNICK late").await;
    assert!(late.line().await.ends_with(":Login authentication failed"));
    assert_eq!(ok(&sandbox, "/twitch/freeze", json!({ "login": "bot" })).await["connections"], 1);
    assert_eq!(ok(&sandbox, "/twitch/unfreeze", json!({})).await["connections"], 2);
    assert_eq!(ok(&sandbox, "/twitch/reconnect", json!({ "login": "bot" })).await["connections"], 1);
    assert_eq!(bot.line().await, ":tmi.twitch.tv RECONNECT");
    ok(&sandbox, "/twitch/accept", json!({ "on": false })).await;
    ok(&sandbox, "/twitch/reset", json!({})).await;
    let report = ok(&sandbox, "/twitch/flood", json!({ "channel": "hall", "count": 10 })).await;
    assert_eq!(report["sent"], 10);
    assert_eq!(tags(&bot.until("PRIVMSG").await)["id"], report["first_id"].as_str().unwrap());
    let viewers = json!({ "channels": ["hall"], "count": 5, "rate": 1000 });
    assert_eq!(ok(&sandbox, "/twitch/viewers", viewers).await["said"].as_array().unwrap().len(), 5);
    assert_eq!(
        ok(&sandbox, "/twitch/drop", json!({ "reset": true, "login": "bot" })).await["connections"],
        1
    );
    assert!(bot.ends().await);
}

#[tokio::test]
async fn a_senseless_request_names_its_field() {
    let sandbox = sandbox().await;
    for (path, body, field) in [
        ("/twitch/say", json!({ "login": "a", "text": "b" }), "channel"),
        ("/twitch/say", json!({ "channel": "a b", "login": "a", "text": "b" }), "channel"),
        ("/twitch/say", json!({ "channel": "a", "login": 5, "text": "b" }), "login"),
        ("/twitch/say", json!({ "channel": "a", "login": "a", "text": "b", "count": -1 }), "count"),
        ("/twitch/say", json!({ "channel": "a", "login": "a", "text": "b", "rate": 0 }), "rate"),
        ("/twitch/say", json!({ "channel": "a", "login": "a", "text": "b", "tags": { "a": [] } }), "tags"),
        ("/twitch/say", json!({ "channel": "a", "login": "a", "text": "b", "tags": { "a b": "c" } }), "tags"),
        ("/twitch/say", json!({ "channel": "a", "login": "a", "text": "b", "tyop": 1 }), "tyop"),
        ("/twitch/say", json!([]), "body"),
        ("/twitch/raw", json!({}), "lines"),
        ("/twitch/raw", json!({ "lines": [] }), "lines"),
        ("/twitch/raw", json!({ "lines": [{ "hex": "0" }] }), "lines"),
        ("/twitch/raw", json!({ "lines": ["a"], "file": "b" }), "file"),
        ("/twitch/raw", json!({ "file": "/nowhere/at/all" }), "file"),
        ("/twitch/raw", json!({ "file": "/dev/zero" }), "file"),
        ("/twitch/flood", json!({ "channel": "a" }), "count"),
        ("/twitch/flood", json!({ "channel": "nobody_here", "count": 1 }), "channel"),
        ("/twitch/refuse", json!({ "code": "NO SUCH\r\n" }), "code"),
        ("/twitch/role", json!({ "channel": "a", "login": "b", "moderator": "yes" }), "moderator"),
        (
            "/twitch/channel",
            json!({ "channel": "a", "followers_only_minutes": -2 }),
            "followers_only_minutes",
        ),
        ("/twitch/token", json!({ "token": "a", "state": "fine" }), "state"),
        ("/twitch/token", json!({ "state": "bad" }), "token"),
        ("/twitch/accept", json!({}), "on"),
        ("/twitch/drop", json!({ "connection": "one" }), "connection"),
        ("/twitch/slow-verdicts", json!({ "channel": "a", "ms": 99_999_999 }), "ms"),
    ] {
        let (status, answer) = post(&sandbox, path, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.starts_with(&format!("{field} ")), "{path} {body}: {status} {answer}");
    }
    assert!(
        get(&sandbox, "/twitch/sent?since=lately").await["error"].as_str().unwrap().starts_with("since ")
    );
    assert!(get(&sandbox, "/nowhere").await["error"].is_string());
    assert!(get(&sandbox, "/twitch/say").await["error"].is_string());
}

#[tokio::test]
async fn web_pages_of_others_are_refused() {
    let sandbox = sandbox().await;
    let http = http();
    let url = format!("{}/twitch/reset", sandbox.control_url());
    let foreign = http.post(&url).header(header::ORIGIN, "https://example.com").body("{}");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let rebound = http.post(&url).header(header::HOST, "example.com").body("{}");
    assert_eq!(rebound.send().await.unwrap().status(), 403);
    let plain = http.post(&url).header(header::CONTENT_TYPE, "text/plain").body("{}");
    assert_eq!(plain.send().await.unwrap().status(), 200);
}
