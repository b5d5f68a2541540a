//! Twitch behind HTTP, over real sockets.

mod conduits;
mod control;
mod eventsub;
mod helix;
mod oauth;
mod sessions;
mod webhooks;

use std::time::Duration;

use chatbus_sandbox::SandboxHandle;
use chatbus_sandbox::twitch_api::{NewToken, Sessions};
use futures::StreamExt as _;
use reqwest::{Method, header};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(20);
const READ: &[&str] = &["user:read:chat", "user:write:chat"];

/// An answer: status, headers, JSON body or null.
struct Answer {
    status: u16,
    headers: header::HeaderMap,
    body: Value,
}

/// Somebody who calls with a token.
struct Caller<'a> {
    sandbox: &'a SandboxHandle,
    token: String,
    client_id: String,
}

/// A client of EventSub.
struct EventSub {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
}

// === impl Caller ===

impl<'a> Caller<'a> {
    /// With a token of this account.
    fn user(sandbox: &'a SandboxHandle, login: &str, scopes: &[&str]) -> Self {
        let token =
            sandbox.twitch_api().make_token(&NewToken::of(login, scopes)).expect("a login").access_token;
        Self { sandbox, token, client_id: "client".into() }
    }

    /// With a token of the application.
    fn app(sandbox: &'a SandboxHandle) -> Self {
        let new = NewToken { client_id: "client".into(), login: None, scopes: Vec::new(), lifetime: None };
        let token = sandbox.twitch_api().make_token(&new).expect("a login").access_token;
        Self { sandbox, token, client_id: "client".into() }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        self.try_ask(method, path, body).await.expect("an answer")
    }

    async fn try_ask(&self, method: Method, path: &str, body: Value) -> reqwest::Result<Answer> {
        let request = reqwest::Client::new()
            .request(method, format!("{}{path}", self.sandbox.twitch_api().url()))
            .bearer_auth(&self.token)
            .header("Client-Id", &self.client_id);
        let request = if body.is_null() { request } else { request.json(&body) };
        answer(request).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    /// Subscribes to the chat of a channel, as its reader.
    async fn subscribe(&self, session: &str, channel: &str, reader: &str) -> Answer {
        self.post("/helix/eventsub/subscriptions", chat_of(channel, reader, session)).await
    }

    async fn say(&self, channel: &str, login: &str, text: &str) -> Answer {
        let body = json!({ "broadcaster_id": id_of(channel), "sender_id": id_of(login), "message": text });
        self.post("/helix/chat/messages", body).await
    }
}

// === impl EventSub ===

impl EventSub {
    /// Connected and welcomed.
    async fn connect(sandbox: &SandboxHandle) -> Self {
        Self::at(&sandbox.twitch_api().eventsub_url()).await
    }

    async fn at(url: &str) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("the sandbox listens");
        let mut it = Self { socket, session: String::new() };
        let welcome = it.next().await;
        assert_eq!(welcome["metadata"]["message_type"], "session_welcome", "{welcome}");
        it.session = welcome["payload"]["session"]["id"].as_str().expect("a text").to_owned();
        it
    }

    async fn message(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
        next.expect("the connection is open").expect("a frame")
    }

    async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return serde_json::from_str(&other.into_text().expect("a text")).expect("JSON"),
            }
        }
    }

    /// The next notification's payload.
    async fn notified(&mut self) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["metadata"]["message_type"], "notification", "{frame}");
        frame["payload"].clone()
    }

    /// The close code that comes next.
    async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.expect("a code").code.into();
            }
        }
    }

    fn which(&self) -> Sessions {
        Sessions { session: Some(self.session.clone()), connection: None }
    }
}

fn chat_of(channel: &str, reader: &str, session: &str) -> Value {
    json!({
        "type": "channel.chat.message",
        "version": "1",
        "condition": { "broadcaster_user_id": id_of(channel), "user_id": id_of(reader) },
        "transport": { "method": "websocket", "session_id": session },
    })
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await?;
    Ok(Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}

/// A request to the OAuth server without a token.
async fn oauth(sandbox: &SandboxHandle, path: &str, form: &str) -> (u16, Value) {
    let url = format!("{}{path}", sandbox.twitch_api().url());
    let request = reqwest::Client::new()
        .post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.to_owned());
    let answer = answer(request).await.expect("an answer");
    (answer.status, answer.body)
}

/// The id that IRC tells of a login: FNV-1a in nine digits, written out again so that a change shows.
fn id_of(login: &str) -> String {
    let hash = login.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (100_000_000 + hash % 900_000_000).to_string()
}
