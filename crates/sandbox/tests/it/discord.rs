//! Discord, spoken to as its clients do: bare HTTP and a bare WebSocket.

use chatbus_sandbox::SandboxHandle;
use chatbus_sandbox::discord::{BOT_ID, GENERAL_ID, GUILD_ID, MODERATOR_ROLE_ID};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::client::sandbox;

struct Gateway(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn ask(sandbox: &SandboxHandle, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let url = format!("{}/api/v10{path}", sandbox.discord().url());
    let request =
        reqwest::Client::new().request(method, url).header("authorization", "Bot token").json(&body);
    let answer = request.send().await.expect("it answers");
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn control(sandbox: &SandboxHandle, path: &str, body: Value) -> Value {
    let url = format!("{}/discord/{path}", sandbox.control_url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("it answers");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

impl Gateway {
    async fn connect(sandbox: &SandboxHandle) -> Self {
        let url = format!("{}/?v=10&encoding=json", sandbox.discord().gateway_url());
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("it is there");
        let mut gateway = Self(socket);
        assert_eq!(gateway.next().await["op"], 10);
        gateway
    }

    async fn send(&mut self, op: u64, data: Value) {
        let frame = json!({ "op": op, "d": data }).to_string();
        self.0.send(Message::Text(frame.into())).await.expect("it is open");
    }

    async fn next(&mut self) -> Value {
        match self.0.next().await.expect("a frame").expect("it is open") {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            Message::Close(frame) => json!({ "close": frame.map(|frame| u16::from(frame.code)) }),
            other => json!({ "odd": other.to_string() }),
        }
    }

    /// The next dispatch, its name and what it tells.
    async fn dispatch(&mut self) -> (String, Value) {
        let frame = self.next().await;
        assert_eq!(frame["op"], 0, "{frame}");
        (frame["t"].as_str().unwrap_or_default().to_owned(), frame["d"].clone())
    }

    async fn identified(sandbox: &SandboxHandle, intents: u64) -> (Self, String) {
        let mut gateway = Self::connect(sandbox).await;
        gateway.send(2, json!({ "token": "token", "intents": intents, "properties": {} })).await;
        let (name, ready) = gateway.dispatch().await;
        assert_eq!((name.as_str(), &ready["user"]["id"]), ("READY", &json!(BOT_ID)));
        assert_eq!(gateway.dispatch().await.0, "GUILD_CREATE");
        let session = ready["session_id"].as_str().unwrap_or_default().to_owned();
        (gateway, session)
    }
}

#[tokio::test]
async fn a_session_is_told_what_it_asked_for_and_resumed_with_what_it_missed() {
    let sandbox = sandbox().await;
    let (mut gateway, session) = Gateway::identified(&sandbox, 1 | 1 << 9 | 1 << 15).await;
    let body =
        json!({ "channel": "general", "login": "ada", "text": "hi", "roles": ["Moderators"], "nick": "A" });
    let said = control(&sandbox, "say", body).await;
    control(&sandbox, "say", json!({ "login": "ada", "text": "in private" })).await;
    control(&sandbox, "edit", json!({ "message": said["id"], "text": "hello" })).await;
    let (name, message) = gateway.dispatch().await;
    assert_eq!(
        (name.as_str(), &message["id"], &message["guild_id"]),
        ("MESSAGE_CREATE", &said["id"], &json!(GUILD_ID))
    );
    assert_eq!(message["member"]["roles"], json!([MODERATOR_ROLE_ID]));
    let (name, message) = gateway.dispatch().await;
    assert_eq!(
        (name.as_str(), &message["content"]),
        ("MESSAGE_UPDATE", &json!("hello")),
        "nobody asked for the private one"
    );
    gateway.send(1, json!(4)).await;
    assert_eq!(gateway.next().await["op"], 11);
    assert_eq!(control(&sandbox, "drop", json!({})).await["connections"], 1);
    control(&sandbox, "delete", json!({ "message": said["id"] })).await;
    let mut gateway = Gateway::connect(&sandbox).await;
    gateway.send(6, json!({ "token": "token", "session_id": session, "seq": 4 })).await;
    assert_eq!(gateway.dispatch().await.0, "MESSAGE_DELETE");
    assert_eq!(gateway.dispatch().await.0, "RESUMED");
    control(&sandbox, "invalidate", json!({})).await;
    assert_eq!(gateway.next().await, json!({ "op": 9, "d": false, "t": null, "s": null }));
    gateway.send(6, json!({ "token": "token", "session_id": session, "seq": 4 })).await;
    assert_eq!(gateway.next().await["op"], 9);
}

#[tokio::test]
async fn who_is_not_let_in_hears_why() {
    let sandbox = sandbox().await;
    sandbox.discord().grant_intents(0, false);
    for (identify, code) in [
        (json!({ "token": "", "intents": 1 }), 4004),
        (json!({ "token": "t", "intents": 1_u64 << 40 }), 4013),
        (json!({ "token": "t", "intents": 1 << 15 }), 4014),
        (json!({ "token": "t", "intents": 1, "shard": [2, 2] }), 4010),
    ] {
        let mut gateway = Gateway::connect(&sandbox).await;
        gateway.send(2, identify).await;
        assert_eq!(gateway.next().await, json!({ "close": code }));
    }
    sandbox.discord().refuse_token(true);
    assert_eq!(ask(&sandbox, Method::GET, "/users/@me", json!({})).await.0, 401);
}

#[tokio::test]
async fn a_nonce_that_is_enforced_says_a_thing_once() {
    let sandbox = sandbox().await;
    let path = format!("/channels/{GENERAL_ID}/messages");
    let say = |nonce: &'static str, enforce: bool| {
        let body = json!({ "content": "x", "nonce": nonce, "enforce_nonce": enforce });
        ask(&sandbox, Method::POST, &path, body)
    };
    let (_, first) = say("a", true).await;
    assert_eq!(say("a", true).await.1["id"], first["id"]);
    assert_ne!(say("b", true).await.1["id"], first["id"]);
    assert_ne!(say("a", false).await.1["id"], first["id"]);
    assert_eq!(sandbox.discord().sent(0).len(), 3);
    assert_eq!(sandbox.discord().sent(0)[0].repeats, 1);
    assert_eq!(say("twenty-six-characters-long", true).await.0, 400);
}

#[tokio::test]
async fn messages_are_read_in_pages_and_refusals_are_what_was_asked_for() {
    let sandbox = sandbox().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let said =
            control(&sandbox, "say", json!({ "channel": "general", "login": "ada", "text": n.to_string() }))
                .await;
        ids.push(said["id"].as_str().unwrap_or_default().to_owned());
    }
    let path = format!("/channels/{GENERAL_ID}/messages?limit=2&after={}", ids[1]);
    let (_, page) = ask(&sandbox, Method::GET, &path, json!({})).await;
    let got: Vec<&str> =
        page.as_array().into_iter().flatten().filter_map(|message| message["id"].as_str()).collect();
    assert_eq!(got, [&*ids[3], &*ids[2]], "the two oldest behind it, the newest of them first");
    let refusal = json!({ "status": 429, "scope": "global", "retry_after_ms": 1500, "path": "/users" });
    control(&sandbox, "refuse", refusal).await;
    let (status, answer) = ask(&sandbox, Method::GET, "/users/@me", json!({})).await;
    assert_eq!(
        (status.as_u16(), &answer["retry_after"], &answer["global"]),
        (429, &json!(1.5), &json!(true))
    );
    assert_eq!(ask(&sandbox, Method::GET, "/users/@me", json!({})).await.0, 200);
    assert_eq!(
        ask(&sandbox, Method::POST, "/channels/1/messages", json!({ "content": "x" })).await.1["code"],
        10_003
    );
}
