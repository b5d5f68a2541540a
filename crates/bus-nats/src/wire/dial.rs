//! From an address to a server that lets us in: TCP, INFO, TLS, CONNECT, and a PING to be sure.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use chatbus_bus::{BusError, BusErrorKind};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::frames::{self, Frame, Next};
use crate::access::{Access, Endpoint};

/// What a server says of itself.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) server_name: String,
    pub(crate) version: String,
    pub(crate) max_payload: usize,
    pub(crate) headers: bool,
    /// Other servers of the cluster, as `host:port`.
    pub(crate) connect_urls: Vec<String>,
    tls_required: bool,
    tls_available: bool,
    nonce: String,
}

/// A connection that is ready for use.
pub(crate) struct Dialled {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// What was read beyond the handshake.
    pub(crate) buffer: BytesMut,
    pub(crate) info: ServerInfo,
}

/// What a server says before a session begins.
enum Greeting {
    Info(Bytes),
    Pong,
    Error(String),
    Other,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects. The caller bounds the time.
///
/// # Errors
/// `Closed` when the server is out of reach or does not let us in now, `Misconfigured` when it
/// never will.
pub(crate) async fn dial(access: &Access, endpoint: &Endpoint) -> Result<Dialled, BusError> {
    let failed = |e: io::Error| BusError::closed(format!("NATS server {endpoint}")).caused_by(e);
    let mut tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let Greeting::Info(info) = next(&mut tcp, &mut buffer).await.map_err(failed)? else {
        return Err(BusError::closed(format!("NATS server {endpoint} did not introduce itself")));
    };
    let info: ServerInfo = serde_json::from_slice(&info).map_err(|e| {
        BusError::closed(format!("NATS server {endpoint} introduced itself badly")).caused_by(e)
    })?;

    let wants_tls = endpoint.tls || access.tls_required;
    if wants_tls && !info.tls_required && !info.tls_available {
        return Err(misconfigured(format!("NATS server {endpoint} offers no TLS, and TLS is asked for")));
    }
    let encrypted = wants_tls || info.tls_required;
    let mut stream: Box<dyn Stream> = if encrypted {
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|e| misconfigured(format!("NATS server {endpoint} has no valid name")).caused_by(e))?;
        let connector = TlsConnector::from(Arc::clone(&access.tls));
        Box::new(connector.connect(name, tcp).await.map_err(failed)?)
    } else {
        Box::new(tcp)
    };

    let connect = connect_line(access, endpoint, &info, encrypted)?;
    stream.write_all(connect.as_bytes()).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    loop {
        match next(&mut stream, &mut buffer).await.map_err(failed)? {
            Greeting::Pong => break,
            Greeting::Error(why) => {
                return Err(BusError::closed(format!("NATS server {endpoint} refused us: {why}")));
            }
            Greeting::Info(_) | Greeting::Other => {}
        }
    }
    let (reader, writer) = tokio::io::split(stream);
    Ok(Dialled { reader: Box::new(reader), writer: Box::new(writer), buffer, info })
}

/// CONNECT and PING. Holds secrets: it is written and dropped.
fn connect_line(
    access: &Access,
    endpoint: &Endpoint,
    info: &ServerInfo,
    encrypted: bool,
) -> Result<String, BusError> {
    let connect = json!({
        "verbose": false, "pedantic": false, "tls_required": encrypted, "lang": "rust",
        "name": "chatbus", "version": env!("CARGO_PKG_VERSION"), "protocol": 1,
        "echo": true, "headers": true, "no_responders": true,
    });
    let serde_json::Value::Object(mut connect) = connect else {
        return Err(misconfigured("CONNECT is no object".into()));
    };
    access.identity(endpoint, &info.nonce)?.add_to(&mut connect);
    Ok(format!("CONNECT {}\r\nPING\r\n", serde_json::Value::Object(connect)))
}

async fn next(stream: &mut (impl AsyncRead + Unpin + ?Sized), buffer: &mut BytesMut) -> io::Result<Greeting> {
    loop {
        if let Next::Whole(frame, len) = frames::next(buffer)? {
            let greeting = match frame {
                Frame::Info(info) => Greeting::Info(Bytes::copy_from_slice(info)),
                Frame::Pong => Greeting::Pong,
                Frame::Error(why) => Greeting::Error(why),
                Frame::Ping | Frame::Ok | Frame::Message(_) => Greeting::Other,
            };
            buffer.advance(len);
            return Ok(greeting);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn misconfigured(what: String) -> BusError {
    BusError::new(BusErrorKind::Misconfigured, what)
}

// === impl ServerInfo ===

impl ServerInfo {
    /// Major and minor version; `None` when it cannot be told.
    pub(crate) fn release(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.trim_start_matches('v').split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_a_version() {
        let of = |version: &str| ServerInfo { version: version.into(), ..ServerInfo::default() }.release();
        assert_eq!(of("2.10.27"), Some((2, 10)));
        assert_eq!(of("2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(of("weird"), None);
    }
}
