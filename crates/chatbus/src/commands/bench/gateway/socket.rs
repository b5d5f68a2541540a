//! A client of the gateway that costs next to nothing, so that its process leaves the cores to what is
//! measured: it asks for the upgrade, counts text frames, and answers pings.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// An open connection that has been told `connection.ready`.
pub(super) struct Socket {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// What a frame is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Ping,
    Close,
    Other,
}

/// The end of the answer's head.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The largest head we expect.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Connections from one address of ours: there are at most 28,000 ports on each.
const PER_ADDRESS: usize = 10_000;

// === impl Socket ===

impl Socket {
    /// Connects client n.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn connect(addr: SocketAddr, token: &str, n: usize) -> anyhow::Result<Self> {
        let own = u8::try_from(2 + n / PER_ADDRESS).context("too many clients")?;
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, own), 0)))?;
        let mut stream = socket.connect(addr).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /ws/v1 HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut socket = Self { stream, rest: Vec::new() };
        let end = loop {
            if let Some(end) = memchr::memmem::find(&socket.rest, HEAD_END) {
                break end + HEAD_END.len();
            }
            anyhow::ensure!(socket.rest.len() < MAX_HEAD_BYTES, "the answer's head has no end");
            socket.fill().await?;
        };
        if !socket.rest.starts_with(b"HTTP/1.1 101 ") {
            bail!("the upgrade was refused: {}", String::from_utf8_lossy(&socket.rest));
        }
        socket.rest.drain(..end);
        let mut is_ready = false;
        socket.take(|_| is_ready = true)?;
        while !is_ready {
            socket.fill().await?;
            socket.take(|_| is_ready = true)?;
        }
        socket.rest.shrink_to_fit();
        Ok(socket)
    }

    /// Hands each text frame to `each`, until the server closes; says how it did.
    pub(super) async fn listen(mut self, each: impl Fn(&[u8])) -> anyhow::Error {
        loop {
            if let Err(error) = self.fill().await {
                return error;
            }
            if let Err(error) = self.take(&each) {
                return error;
            }
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        loop {
            self.stream.readable().await?;
            let mut buffer = [0; 8 * 1024];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => bail!("the server hung up"),
                Ok(read) => {
                    self.rest.extend_from_slice(buffer.get(..read).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the frames that are whole.
    fn take(&mut self, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut at = 0;
        while let Some((kind, payload, end)) = frame(self.rest.get(at..).unwrap_or_default()) {
            match kind {
                Kind::Text => each(payload),
                // Small, on a socket that is hardly written: the kernel has room for it.
                Kind::Ping => drop(self.stream.try_write(&pong(payload))),
                Kind::Close => bail!("the server closed: {}", String::from_utf8_lossy(payload)),
                Kind::Other => {}
            }
            at += end;
        }
        self.rest.drain(..at);
        Ok(())
    }
}

/// The first frame of a server, if it is whole: what it is, what it carries, where it ends.
fn frame(bytes: &[u8]) -> Option<(Kind, &[u8], usize)> {
    let (first, length) = (*bytes.first()?, *bytes.get(1)? & 0x7f);
    let (begin, length): (usize, usize) = match length {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let end = begin.checked_add(length)?;
    let kind = match first & 0x0f {
        1 => Kind::Text,
        8 => Kind::Close,
        9 => Kind::Ping,
        _ => Kind::Other,
    };
    Some((kind, bytes.get(begin..end)?, end))
}

/// A pong with this payload of at most 125 bytes, masked with nothing, which is a mask.
fn pong(payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..payload.len().min(125)).unwrap_or_default();
    let mut out = vec![0x8a, 0x80 | u8::try_from(payload.len()).unwrap_or_default(), 0, 0, 0, 0];
    out.extend_from_slice(payload);
    out
}

/// A text frame as a server writes it.
pub(super) fn text_frame(payload: &[u8]) -> Vec<u8> {
    let mut out = match u16::try_from(payload.len()) {
        Ok(short) if short < 126 => vec![0x81, payload.len().to_le_bytes()[0]],
        Ok(length) => [&[0x81, 126][..], &length.to_be_bytes()].concat(),
        Err(_) => [&[0x81, 127][..], &(payload.len() as u64).to_be_bytes()].concat(),
    };
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_once_they_are_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = text_frame(&payload);
            assert_eq!(frame(&bytes[..bytes.len() - 1]), None, "{length}");
            let end = bytes.len();
            bytes.push(0x89);
            assert_eq!(frame(&bytes), Some((Kind::Text, &payload[..], end)), "{length}");
        }
        assert_eq!(frame(&[0x89, 1, b'a']), Some((Kind::Ping, &b"a"[..], 3)));
        assert_eq!(pong(b"a"), [0x8a, 0x81, 0, 0, 0, 0, b'a']);
    }
}
