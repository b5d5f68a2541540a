//! One WebSocket to EventSub: bytes become texts. Nothing is ever sent on it but goodbye; Twitch closes who
//! sends anything else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chatbus_runtime::CancellationToken;
use futures::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tracing::debug;
use url::Url;

use super::frames::MAX_FRAME_BYTES;
use super::session::Socket;
use crate::irc::transport::Stream;

/// After goodbye a socket is read for this long at the most: what Twitch sent before it heard of it.
const READ_ON: Duration = Duration::from_secs(5);
/// The WebSocket library's default of 128 KiB would be most of a connection's memory.
const BUFFER_BYTES: usize = 8 * 1024;
/// What a server says when it closes is kept up to here.
const CLOSE_REASON_BYTES: usize = 200;

/// What happens on a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// A text was read.
    Text(Utf8Bytes),
    /// Something else was read that is no text.
    Noise,
    /// It could not be made, or has ended.
    Closed(Option<u16>, String),
}

/// Where a socket is opened. A session that moves names an address itself, which is followed only where the
/// configured one could lead: as encrypted, and within the same domain.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    url: Url,
    tls: Arc<ClientConfig>,
}

type WebSocket = WebSocketStream<Box<dyn Stream>>;

// === impl Door ===

impl Door {
    pub(crate) fn new(url: Url, tls: Arc<ClientConfig>) -> Self {
        Self { url, tls }
    }

    /// The address to move to; `None` when it leads elsewhere.
    pub(crate) fn moved(&self, to: &str) -> Option<Self> {
        let url = Url::parse(to).ok()?;
        let is_good = url.scheme() == self.url.scheme()
            && url.username().is_empty()
            && url.password().is_none()
            && domain(&url)? == domain(&self.url)?;
        is_good.then(|| Self { url, tls: Arc::clone(&self.tls) })
    }

    async fn connect(&self) -> io::Result<WebSocket> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((&*host, port)).await?.collect();
        let tcp = TcpStream::connect(&*addresses).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = if self.url.scheme() == "wss" {
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?)
        } else {
            Box::new(tcp)
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let connecting = tokio_tungstenite::client_async_with_config(self.url.as_str(), stream, Some(config));
        Ok(connecting.await.map_err(io::Error::other)?.0)
    }
}

/// The last two labels of a host's name; of an address all of it.
fn domain(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let Some(url::Host::Domain(_)) = url.host() else { return Some(host) };
    let mut labels = host.rsplitn(3, '.');
    let (last, before) = (labels.next()?, labels.next());
    Some(before.map_or_else(|| last.to_owned(), |before| format!("{before}.{last}")))
}

/// Reads a socket until it ends, or for a while after `goodbye`.
pub(crate) async fn run(
    door: Door,
    socket: Socket,
    events: mpsc::Sender<(Socket, SocketEvent)>,
    goodbye: CancellationToken,
) {
    let connected = tokio::select! {
        connected = door.connect() => connected,
        () = goodbye.cancelled() => return,
    };
    let closed = match connected {
        Ok(stream) => read(stream, socket, &events, &goodbye).await,
        Err(error) => Some((None, error.to_string())),
    };
    if let Some((code, why)) = closed {
        debug!(event = "twitch.eventsub.socket_closed", platform = "twitch", code, "a socket has ended");
        let _ = events.send((socket, SocketEvent::Closed(code, why))).await;
    }
}

/// Why it ended; `None` when nobody listens any more.
async fn read(
    mut stream: WebSocket,
    socket: Socket,
    events: &mpsc::Sender<(Socket, SocketEvent)>,
    goodbye: &CancellationToken,
) -> Option<(Option<u16>, String)> {
    let mut said_goodbye = false;
    let late = tokio::time::sleep(Duration::MAX);
    let mut late = std::pin::pin!(late);
    loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = goodbye.cancelled(), if !said_goodbye => {
                said_goodbye = true;
                late.as_mut().set(tokio::time::sleep(READ_ON));
                let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                if stream.send(Message::Close(Some(frame))).await.is_err() {
                    return Some((None, "the server was gone".to_owned()));
                }
                continue;
            }
            () = late.as_mut() => return Some((None, "the server did not say goodbye".to_owned())),
        };
        let event = match message {
            None => return Some((None, "the server closed the connection".to_owned())),
            Some(Err(error)) => return Some((None, error.to_string())),
            Some(Ok(Message::Close(frame))) => {
                let Some(frame) = frame else { return Some((None, "closed without a code".to_owned())) };
                let mut reason = frame.reason.to_string();
                reason.truncate(reason.floor_char_boundary(CLOSE_REASON_BYTES));
                return Some((Some(frame.code.into()), reason));
            }
            Some(Ok(Message::Text(text))) => SocketEvent::Text(text),
            // The library answers pings itself. They say that the connection lives, not that the session does.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => SocketEvent::Noise,
        };
        events.send((socket, event)).await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irc::transport::public_roots;

    #[test]
    fn a_session_moves_only_where_the_configured_address_could_lead() {
        let tls = public_roots().unwrap();
        for (from, to, follows) in [
            ("wss://eventsub.wss.twitch.tv/ws", "wss://cell-a.eventsub.wss.twitch.tv/ws?challenge=x", true),
            ("wss://eventsub.wss.twitch.tv/ws", "ws://eventsub.wss.twitch.tv/ws", false),
            ("wss://eventsub.wss.twitch.tv/ws", "wss://nottwitch.tv/ws", false),
            ("wss://eventsub.wss.twitch.tv/ws", "wss://twitch.tv.example.com/ws", false),
            ("wss://eventsub.wss.twitch.tv/ws", "wss://a:b@eventsub.wss.twitch.tv/ws", false),
            ("wss://eventsub.wss.twitch.tv/ws", "nonsense", false),
            ("ws://127.0.0.1:80/ws", "ws://127.0.0.1:81/reconnect", true),
            ("ws://127.0.0.1:80/ws", "ws://127.0.0.2:80/ws", false),
            ("ws://localhost:80/ws", "ws://localhost:80/ws?id=1", true),
        ] {
            let door = Door::new(Url::parse(from).unwrap(), Arc::clone(&tls));
            assert_eq!(door.moved(to).is_some(), follows, "{from} to {to}");
        }
    }
}
