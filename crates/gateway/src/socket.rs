//! A connection's stream as the protocol's layer uses it: never blocks, and counts what was read and written.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// The stream as the protocol's layer uses it: never blocks.
pub(crate) struct Socket {
    /// There but for the moment in which it changes hands.
    pub(crate) tcp: Option<TcpStream>,
    /// All bytes that came from it.
    pub(crate) read: u64,
    /// All bytes that it took.
    pub(crate) written: u64,
}

// === impl Socket ===

impl Socket {
    fn tcp(&self) -> io::Result<&TcpStream> {
        self.tcp.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_read_ready(cx)
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_write_ready(cx)
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tcp {
            Some(tcp) => AsyncWrite::poll_shutdown(Pin::new(tcp), cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.tcp()?.try_read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.tcp()?.try_write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
