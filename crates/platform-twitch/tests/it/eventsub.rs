//! The connector against a Twitch that does what the test says: Helix over HTTP and EventSub over WebSockets,
//! on real sockets.

mod both;
mod conduit;
mod losing;
mod moving;
mod reading;
mod refusing;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbus_connector::{Account, AccountKeeper, Credential};
use chatbus_platform_twitch::{Read, TwitchConfig};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::helix::{Asked, FakeTwitch, Reply, bot, no};
use crate::rig::{Rig, Server, config};

const SOON: Duration = Duration::from_secs(10);

/// Helix and EventSub.
struct Twitch {
    helix: FakeTwitch,
    world: Arc<Mutex<World>>,
    listener: TcpListener,
    irc: Server,
}

/// What Helix knows.
#[derive(Default)]
struct World {
    subscriptions: Vec<Value>,
    made: usize,
    /// How creating a type is answered, each time.
    refusals: Vec<(&'static str, u16, &'static str)>,
    conduits: Vec<Value>,
    shards: Vec<Value>,
}

/// One socket, seen from EventSub.
struct Peer {
    socket: WebSocketStream<TcpStream>,
}

// === impl Twitch ===

impl Twitch {
    async fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let helix = {
            let world = Arc::clone(&world);
            FakeTwitch::start(move |asked, _| world.lock().unwrap().answer(asked)).await
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { helix, world, listener, irc: Server::start().await }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    fn config(&self, channels: &[&str], credential: Credential) -> (TwitchConfig, AccountKeeper) {
        let (bot, keeper) = Account::new(credential);
        let config = TwitchConfig {
            read: Read::EventSub,
            api: Some(self.helix.config()),
            eventsub_url: format!("{}/ws", self.url()).parse().unwrap(),
            bot,
            ..config(&self.irc.url("irc"), channels, false)
        };
        (config, keeper)
    }

    /// A running connector.
    fn rig(&self, channels: &[&str]) -> Rig {
        Rig::run(self.config(channels, bot("token", &["user:read:chat"])).0)
    }

    /// The next socket.
    async fn accept(&self) -> Peer {
        let (socket, _) =
            tokio::time::timeout(SOON, self.listener.accept()).await.expect("a socket").unwrap();
        Peer { socket: tokio_tungstenite::accept_async(socket).await.unwrap() }
    }

    async fn welcome(&self, session: &str) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome(session).await;
        peer
    }

    /// Connected, and reading these channels.
    async fn reading(&self, channels: &[&str]) -> (Rig, Peer) {
        let rig = self.rig(channels);
        let peer = self.welcome("s1").await;
        rig.joined(channels.len()).await;
        self.subscribed_by("s1", channels.len()).await;
        (rig, peer)
    }

    fn refuse(&self, kind: &'static str, status: u16, message: &'static str) {
        self.world.lock().unwrap().refusals.push((kind, status, message));
    }

    /// The types that a session is subscribed to, with the ids of their channels.
    fn of_session(&self, session: &str) -> BTreeSet<(String, String)> {
        let world = self.world.lock().unwrap();
        let rows = world.subscriptions.iter().filter(|row| row["transport"]["session_id"] == session);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.map(|row| (text(&row["type"]), text(&row["condition"]["broadcaster_user_id"]))).collect()
    }

    /// Waits until a session has all of what is wanted in so many channels.
    async fn subscribed_by(&self, session: &str, channels: usize) {
        let all = async {
            // What needs `user:read:chat`, and what needs nothing; followers need another scope.
            while self.of_session(session).len() < 11 * channels + 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SOON, all).await.is_err() {
            panic!("{session} has {:?}", self.of_session(session));
        }
    }
}

// === impl World ===

impl World {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match (&*asked.method, &*asked.path) {
            (_, "/oauth2/token") => {
                Reply::Json(200, json!({ "access_token": "app-token", "expires_in": 3600 }))
            }
            ("GET", "/helix/users") => {
                let logins = asked.query.split('&').filter_map(|pair| pair.strip_prefix("login="));
                // A user's id is the length of the login, and what is called so is nobody.
                let users = logins.filter(|login| *login != "nobody");
                Reply::Json(
                    200,
                    json!({ "data": users.map(|l| json!({ "id": id(l), "login": l })).collect::<Vec<_>>() }),
                )
            }
            ("GET", "/helix/eventsub/subscriptions") => {
                Reply::Json(200, json!({ "data": self.subscriptions, "pagination": {} }))
            }
            ("POST", "/helix/eventsub/subscriptions") => self.create(&asked.body),
            ("DELETE", "/helix/eventsub/subscriptions") => {
                let gone = asked.query.strip_prefix("id=").unwrap_or_default();
                self.subscriptions.retain(|row| row["id"] != gone);
                Reply::Json(204, Value::Null)
            }
            ("GET", "/helix/eventsub/conduits") => Reply::Json(200, json!({ "data": self.conduits })),
            ("POST", "/helix/eventsub/conduits") => {
                self.conduits.push(json!({ "id": "conduit-1", "shard_count": asked.body["shard_count"] }));
                Reply::Json(200, json!({ "data": self.conduits }))
            }
            ("PATCH", "/helix/eventsub/conduits") => {
                self.conduits[0]["shard_count"] = asked.body["shard_count"].clone();
                Reply::Json(200, json!({ "data": self.conduits }))
            }
            ("GET", "/helix/eventsub/conduits/shards") => Reply::Json(200, json!({ "data": self.shards })),
            ("PATCH", "/helix/eventsub/conduits/shards") => {
                let mut shard = asked.body["shards"][0].clone();
                shard["status"] = json!("enabled");
                self.shards.retain(|row| row["id"] != shard["id"]);
                self.shards.push(shard);
                Reply::Json(202, json!({ "data": self.shards, "errors": [] }))
            }
            (method, path) => no(404, &format!("{method} {path}")),
        }
    }

    fn create(&mut self, body: &Value) -> Reply {
        let kind = body["type"].as_str().unwrap();
        if let Some((_, status, message)) = self.refusals.iter().find(|(refused, ..)| *refused == kind) {
            return no(*status, message);
        }
        let is_same = |row: &&Value| {
            ["type", "condition", "transport"].iter().all(|member| row[member] == body[member])
        };
        if self.subscriptions.iter().any(|row| is_same(&row)) {
            return no(409, "subscription already exists");
        }
        self.made += 1;
        let mut row = body.clone();
        row["id"] = json!(format!("sub-{}", self.made));
        row["status"] = json!("enabled");
        self.subscriptions.push(row.clone());
        Reply::Json(202, json!({ "data": [row] }))
    }
}

fn id(login: &str) -> String {
    format!("10{}", login.len())
}

// === impl Peer ===

impl Peer {
    async fn welcome(&mut self, session: &str) {
        self.welcome_for(session, 10).await;
    }

    async fn welcome_for(&mut self, session: &str, keepalive: u64) {
        let session = json!({ "id": session, "status": "connected", "keepalive_timeout_seconds": keepalive });
        self.frame("session_welcome", &json!({ "session": session })).await;
    }

    async fn reconnect(&mut self, url: &str) {
        let session = json!({ "id": "s1", "status": "reconnecting", "reconnect_url": url });
        self.frame("session_reconnect", &json!({ "session": session })).await;
    }

    async fn frame(&mut self, kind: &str, payload: &Value) {
        let metadata = json!({ "message_id": format!("{kind}-1"), "message_type": kind,
            "message_timestamp": "2026-01-02T03:04:05Z" });
        self.send(&json!({ "metadata": metadata, "payload": payload })).await;
    }

    /// Somebody says something in a channel.
    async fn says(&mut self, channel: &str, message_id: &str, text: &str) {
        self.send(&said(channel, message_id, text)).await;
    }

    async fn send(&mut self, frame: &Value) {
        // The client may have left; tests look at what it did, not at this.
        let _ = self.socket.send(Message::text(frame.to_string())).await;
    }

    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "bye".into() };
        let _ = self.socket.close(Some(frame)).await;
    }

    /// The client's goodbye: the code, and that it said nothing else.
    async fn goodbye(&mut self) -> Option<u16> {
        match tokio::time::timeout(SOON, self.socket.next()).await.expect("a goodbye") {
            Some(Ok(Message::Close(frame))) => frame.map(|frame| frame.code.into()),
            None | Some(Err(_)) => None,
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }
}

/// A notification of a chat message.
fn said(channel: &str, message_id: &str, text: &str) -> Value {
    notification(
        "channel.chat.message",
        &format!("n-{message_id}"),
        &json!({
            "broadcaster_user_id": id(channel), "broadcaster_user_login": channel, "broadcaster_user_name": channel,
            "chatter_user_id": "5", "chatter_user_login": "ada", "chatter_user_name": "Ada",
            "message_id": message_id, "color": "", "badges": [], "message_type": "text", "cheer": null, "reply": null,
            "message": { "text": text, "fragments": [{ "type": "text", "text": text, "emote": null }] },
        }),
    )
}

fn notification(kind: &str, notification_id: &str, event: &Value) -> Value {
    json!({
        "metadata": { "message_id": notification_id, "message_type": "notification",
            "message_timestamp": "2026-01-02T03:04:05Z", "subscription_type": kind, "subscription_version": "1" },
        "payload": { "subscription": { "id": "sub", "type": kind }, "event": event },
    })
}

/// The texts that were heard, in order.
fn texts(rig: &Rig) -> Vec<String> {
    let bodies =
        rig.ear.heard().into_iter().map(|event| serde_json::from_slice::<Value>(&event.body).unwrap());
    bodies.filter_map(|body| body["message"]["text"].as_str().map(str::to_owned)).collect()
}

fn is_gap(event: &Value) -> bool {
    event["type"] == "system.source.gap.v1"
}

async fn gap(rig: &Rig) -> Value {
    rig.ear.wait_for(1, is_gap).await[0]["externalEvent"]["payload"].clone()
}

fn gaps(rig: &Rig) -> usize {
    let heard = rig.ear.heard();
    heard.iter().filter(|event| is_gap(&serde_json::from_slice(&event.body).unwrap())).count()
}
