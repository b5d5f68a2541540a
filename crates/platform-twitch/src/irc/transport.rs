//! Bytes to and from a server: TCP, TLS, WebSocket, or WebSocket over TLS.

mod endpoint;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::limits::MAX_LINE_BYTES;
use super::lines::LineBuffer;

pub use endpoint::{Endpoint, InvalidEndpoint, Scheme};
pub use tls::public_roots;

/// Read at once. Enough for a burst of lines; a connection that idles holds one such buffer.
const READ_BYTES: usize = 16 * 1024;
/// The WebSocket library's default of 128 KiB would be most of a connection's memory.
const WEBSOCKET_BUFFER_BYTES: usize = 4 * 1024;

/// A byte stream of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = Box<dyn Stream>;

/// The reading half of a connection.
pub(crate) enum Reader {
    Bytes(ReadHalf<Socket>),
    WebSocket(SplitStream<WebSocketStream<Socket>>),
}

/// The writing half of a connection.
pub(crate) enum Writer {
    Bytes(WriteHalf<Socket>),
    WebSocket(SplitSink<WebSocketStream<Socket>, Frame>),
}

/// Connects. The caller bounds how long this may take.
pub(crate) async fn connect(endpoint: &Endpoint, tls: Arc<ClientConfig>) -> io::Result<(Reader, Writer)> {
    let tcp = open(endpoint).await?;
    tcp.set_nodelay(true)?;
    let socket: Socket = if endpoint.scheme().is_encrypted() {
        Box::new(TlsConnector::from(tls).connect(endpoint.server_name()?, tcp).await?)
    } else {
        Box::new(tcp)
    };
    if !endpoint.scheme().is_websocket() {
        let (reader, writer) = tokio::io::split(socket);
        return Ok((Reader::Bytes(reader), Writer::Bytes(writer)));
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(WEBSOCKET_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(4 * MAX_LINE_BYTES))
        .max_frame_size(Some(4 * MAX_LINE_BYTES));
    let (socket, _) = tokio_tungstenite::client_async_with_config(endpoint.as_str(), socket, Some(config))
        .await
        .map_err(io::Error::other)?;
    let (writer, reader) = socket.split();
    Ok((Reader::WebSocket(reader), Writer::WebSocket(writer)))
}

async fn open(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(endpoint.address()).await?.collect();
    TcpStream::connect(&*addresses).await
}

// === impl Reader ===

impl Reader {
    /// Reads what is there. `false` when the server has ended the connection. Loses nothing when the
    /// future is dropped.
    pub(crate) async fn read(&mut self, lines: &mut LineBuffer) -> io::Result<bool> {
        match self {
            Self::Bytes(half) => {
                let space = lines.space();
                space.reserve(READ_BYTES);
                Ok(half.read_buf(space).await? > 0)
            }
            Self::WebSocket(half) => loop {
                let frame = match half.next().await {
                    None | Some(Ok(Frame::Close(_))) => return Ok(false),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                    Some(Ok(frame)) => frame,
                };
                if frame.is_text() || frame.is_binary() {
                    lines.space().extend_from_slice(&frame.into_data());
                    // Not every server ends the last line of a message.
                    lines.end_line();
                    return Ok(true);
                }
            },
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Writes whole lines. On a WebSocket each is a message of its own, without its line end.
    pub(crate) async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Bytes(half) => {
                half.write_all(lines).await?;
                half.flush().await
            }
            Self::WebSocket(half) => {
                for line in String::from_utf8_lossy(lines).split("\r\n").filter(|line| !line.is_empty()) {
                    half.feed(Frame::text(line.to_owned())).await.map_err(io::Error::other)?;
                }
                half.flush().await.map_err(io::Error::other)
            }
        }
    }

    /// Says that nothing more will come, as far as the server still listens.
    pub(crate) async fn close(&mut self) {
        let _ = match self {
            Self::Bytes(half) => half.shutdown().await,
            Self::WebSocket(half) => half.close().await.map_err(io::Error::other),
        };
    }
}
