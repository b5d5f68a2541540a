//! The least that reads a chat: a socket, lines, and for each line of chat one message that was made
//! beforehand. The lines themselves are thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, anyhow};
use bytes::{Buf as _, BytesMut};
use chatbus_runtime::CancellationToken;
use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::via::Via;

/// A connection that is in its channels.
pub(super) struct Reader {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
}

/// How far a pump is.
#[derive(Debug, Default)]
pub(super) struct Pumped {
    pub(super) acknowledged: AtomicU64,
}

const BUFFER_BYTES: usize = 256 * 1024;

// === impl Reader ===

impl Reader {
    /// Logs in and joins.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(super) async fn join(url: &str, login: &str, channels: &[String]) -> anyhow::Result<Self> {
        let address = url.strip_prefix("irc://").unwrap_or(url);
        let mut stream = TcpStream::connect(address).await.context("the sandbox does not answer")?;
        stream.set_nodelay(true)?;
        let joins: String = channels.iter().map(|channel| format!("JOIN #{channel}\r\n")).collect();
        let hello = format!(
            "CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:bench\r\nNICK {login}\r\n{joins}"
        );
        stream.write_all(hello.as_bytes()).await?;
        let mut reader = Self { stream, buffer: BytesMut::with_capacity(BUFFER_BYTES) };
        let mut joined = 0;
        while joined < channels.len() {
            reader.read().await?;
            while let Some(line) = reader.line() {
                // The end of the list of names.
                joined += usize::from(memmem::find(&line, b" 366 ").is_some());
            }
        }
        Ok(reader)
    }

    /// Reads more. Safe to drop while waiting.
    pub(super) async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(BUFFER_BYTES / 2);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 { Err(anyhow!("the sandbox hung up")) } else { Ok(()) }
    }

    /// The next whole line, with its end.
    pub(super) fn line(&mut self) -> Option<BytesMut> {
        let end = memchr(b'\n', &self.buffer)?;
        Some(self.buffer.split_to(end + 1))
    }

    /// Publishes message n for the nth line of chat, with at most so many in flight, until it is told
    /// to stop.
    ///
    /// # Errors
    /// When either connection ends.
    pub(super) async fn pump(
        mut self,
        mut via: Via,
        window: usize,
        pumped: Arc<Pumped>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut n = 0;
        loop {
            let idle = via.in_flight() == 0;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                settled = via.settle(), if !idle => {
                    settled?;
                    pumped.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                read = self.read() => read?,
            }
            while via.settle_ready()?.is_some() {
                pumped.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            while let Some(end) = memchr(b'\n', &self.buffer) {
                let (line, _) = self.buffer.split_at(end);
                if line.starts_with(b"PING") {
                    self.stream.write_all(b"PONG\r\n").await?;
                } else if memmem::find(line, b" PRIVMSG ").is_some() {
                    while via.in_flight() >= window {
                        via.settle().await?;
                        pumped.acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    via.publish(n).await?;
                    n += 1;
                }
                self.buffer.advance(end + 1);
            }
        }
    }
}
