//! A client of the gateway.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::wait::SHORT;

/// A connection that was told that it is one.
#[derive(Debug)]
pub(crate) struct WsClient {
    socket: WebSocketStream<TcpStream>,
    /// `connection.ready`.
    pub(crate) ready: Value,
    /// The subprotocol that the server chose.
    pub(crate) protocol: Option<String>,
}

/// Why a connection ended, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// With this close code.
    Code(u16),
    /// Answered with this HTTP status.
    Http(u16),
    /// Without a word.
    Broken(String),
}

// === impl WsClient ===

impl WsClient {
    /// As programs connect.
    pub(crate) async fn connect(url: &str, token: &str) -> Result<Self, Closed> {
        Self::open(
            url,
            |request| {
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            },
            None,
        )
        .await
    }

    /// As browsers connect, which cannot set headers.
    pub(crate) async fn from_browser(url: &str, token: &str) -> Result<Self, Closed> {
        Self::open(
            url,
            |request| {
                let protocols = format!("chatbus.v1, bearer.{token}");
                request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
                request.headers_mut().insert("origin", "http://localhost:3000".parse().unwrap());
            },
            None,
        )
        .await
    }

    /// With so little room in its kernel that what it does not read stays with the server.
    pub(crate) async fn with_little_room(url: &str, token: &str) -> Result<Self, Closed> {
        Self::open(
            url,
            |request| {
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            },
            Some(64 * 1024),
        )
        .await
    }

    async fn open(url: &str, with: impl Fn(&mut Request), room: Option<u32>) -> Result<Self, Closed> {
        let address = url.trim_start_matches("http://");
        let opening = async {
            let mut request = format!("ws://{address}/ws/v1").into_client_request().unwrap();
            with(&mut request);
            let socket = TcpSocket::new_v4().map_err(|error| broken(&error))?;
            if let Some(bytes) = room {
                socket.set_recv_buffer_size(bytes).map_err(|error| broken(&error))?;
            }
            let stream = socket.connect(address.parse().unwrap()).await.map_err(|error| broken(&error))?;
            stream.set_nodelay(true).map_err(|error| broken(&error))?;
            let (socket, response) = match client_async(request, stream).await {
                Ok(opened) => opened,
                Err(Error::Http(response)) => return Err(Closed::Http(response.status().as_u16())),
                Err(error) => return Err(broken(&error)),
            };
            let protocol = response.headers().get("sec-websocket-protocol");
            let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
            let mut client = Self { socket, ready: Value::Null, protocol };
            client.ready = client.next().await?;
            assert_eq!(client.ready["type"], "connection.ready", "{}", client.ready);
            Ok(client)
        };
        tokio::time::timeout(SHORT, opening).await.unwrap_or_else(|late| Err(broken(&late)))
    }

    /// The next frame. May be dropped while it waits, without a loss.
    pub(crate) async fn next(&mut self) -> Result<Value, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(
                        frame.map_or(broken(&"a close without a code"), |f| Closed::Code(f.code.into()))
                    );
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(&error)),
                None => return Err(broken(&"the end")),
            }
        }
    }

    /// The next frame, which comes soon.
    pub(crate) async fn soon(&mut self) -> Value {
        tokio::time::timeout(SHORT, self.next()).await.expect("a frame").unwrap()
    }

    /// The text of the next frame, which is a delivery.
    pub(crate) async fn text(&mut self) -> String {
        let frame = self.soon().await;
        assert_eq!(frame["type"], "chat.message.received", "{frame}");
        frame["payload"]["text"].as_str().unwrap().to_owned()
    }

    /// That nothing comes for so long.
    pub(crate) async fn silent(&mut self, time: Duration) {
        if let Ok(frame) = tokio::time::timeout(time, self.next()).await {
            panic!("nothing was to come: {frame:?}");
        }
    }

    /// How it ends, whatever comes before.
    pub(crate) async fn ended(&mut self) -> Closed {
        let ending = async {
            loop {
                if let Err(closed) = self.next().await {
                    return closed;
                }
            }
        };
        tokio::time::timeout(SHORT, ending).await.expect("it ends")
    }

    pub(crate) async fn say(&mut self, id: &str, text: &str) {
        let frame =
            json!({ "type": "chat.message.send", "payload": { "text": text }, "metadata": { "id": id } });
        self.send(&frame).await;
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Asks for what came after a place; gives the texts, or none when it is not recovered.
    pub(crate) async fn resume(&mut self, epoch: &Value, seq: &Value) -> Option<Vec<String>> {
        self.send(&json!({ "type": "connection.resume", "payload": { "epoch": epoch, "seq": seq } })).await;
        let resumed = self.soon().await;
        assert_eq!(resumed["type"], "connection.resumed", "{resumed}");
        let mut texts = Vec::new();
        for _ in 0..resumed["payload"]["messages"].as_u64().unwrap() {
            texts.push(self.text().await);
        }
        (resumed["payload"]["recovered"] == true).then_some(texts)
    }
}

fn broken(error: &impl ToString) -> Closed {
    Closed::Broken(error.to_string())
}
