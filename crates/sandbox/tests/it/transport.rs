//! IRC over WebSocket.

use chatbus_sandbox::twitch_irc::{Raw, Say, SentFilter, Transport};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::{ALL_CAPS, sandbox};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn until(socket: &mut Socket, part: &str) -> String {
    loop {
        let message = socket.next().await.expect("open").expect("a frame");
        let text = message.into_text().expect("text").to_string();
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        if text.contains(part) {
            return text;
        }
    }
}

#[tokio::test]
async fn frames_hold_one_or_more_lines_with_or_without_an_end() {
    let sandbox = sandbox().await;
    let mut request = sandbox.twitch().ws_url().into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "irc".parse().unwrap());
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "irc");
    socket.send(Message::text(ALL_CAPS)).await.unwrap();
    until(&mut socket, "CAP * ACK").await;
    socket.send(Message::text("PASS oauth:abc\r\nNICK bot\r\nJOIN #hall\r\nPING :x")).await.unwrap();
    until(&mut socket, "PONG tmi.twitch.tv :x").await;
    assert_eq!(sandbox.twitch().connections()[0].transport, Transport::Ws);
    sandbox.twitch().say(&Say::new("hall", "ann", "héllo")).await.unwrap();
    assert!(until(&mut socket, "PRIVMSG").await.ends_with("PRIVMSG #hall :héllo\r\n"));
    socket.send(Message::binary(&b"PRIVMSG #hall :from a binary frame\r\n"[..])).await.unwrap();
    until(&mut socket, "USERSTATE").await;
    assert_eq!(sandbox.twitch().sent(&SentFilter::default())[0].text, "from a binary frame");
    let raw = Raw { lines: vec![bytes::Bytes::from_static(b"a \xff b")], ..Raw::default() };
    sandbox.twitch().raw(&raw).await.unwrap();
    assert_eq!(until(&mut socket, "a ").await, "a \u{fffd} b\r\n");
    socket.send(Message::text("QUIT")).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close() || message.is_empty(), "{message:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_socket_is_dropped_and_forgotten() {
    let sandbox = sandbox().await;
    let (mut socket, _) = connect_async(sandbox.twitch().ws_url()).await.unwrap();
    socket.send(Message::text("NICK justinfan5")).await.unwrap();
    until(&mut socket, " 376 ").await;
    assert_eq!(sandbox.twitch().drop_connections(&Default::default(), false), 1);
    while let Some(Ok(_)) = socket.next().await {}
    while !sandbox.twitch().connections().is_empty() {
        tokio::task::yield_now().await;
    }
    sandbox.twitch().accept(false);
    assert!(connect_async(sandbox.twitch().ws_url()).await.is_err());
}
