//! A connection's stream as the protocol's layer uses it: never blocks, and counts what was read and written.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use smallvec::SmallVec;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// The stream as the protocol's layer uses it: never blocks.
pub(crate) struct Socket {
    /// There but for the moment in which it changes hands.
    tcp: Option<TcpStream>,
    /// The end of a frame whose begin the kernel has; it goes before all else.
    rest: Vec<u8>,
    /// All bytes that came from it.
    pub(crate) read: u64,
    /// All bytes that it took.
    pub(crate) written: u64,
}

/// How much of a frame the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    All,
    /// The rest is written on with the next flush.
    Some,
    Nothing,
}

/// The first byte of a text frame that is whole.
const TEXT: u8 = 0x81;
/// A frame up to this size is put together on the stack, its head before it.
const AT_HAND: usize = 2048;

// === impl Socket ===

impl Socket {
    /// A stream of which so many bytes were read already.
    pub(crate) fn new(tcp: TcpStream, read: u64) -> Self {
        Self { tcp: Some(tcp), rest: Vec::new(), read, written: 0 }
    }

    /// Hands the stream over with what it counted; nothing is left here.
    pub(crate) fn take(&mut self) -> Self {
        let (tcp, rest) = (self.tcp.take(), std::mem::take(&mut self.rest));
        Self { tcp, rest, read: self.read, written: self.written }
    }

    /// Writes a text frame of a server (RFC 6455, section 5.2), past all buffers: only when those are empty,
    /// and everything before it is written.
    pub(crate) fn write_text(&mut self, text: &[u8]) -> Taken {
        let mut frame: SmallVec<[u8; AT_HAND]> = SmallVec::new();
        frame.push(TEXT);
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(len @ 0..=125), _) => frame.push(len),
            (_, Ok(len)) => {
                frame.push(126);
                frame.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(text);
        match self.write(&frame) {
            Ok(0) | Err(_) => Taken::Nothing,
            Ok(written) if written == frame.len() => Taken::All,
            Ok(written) => {
                self.rest = frame.get(written..).unwrap_or_default().to_vec();
                Taken::Some
            }
        }
    }

    fn tcp(&self) -> io::Result<&TcpStream> {
        self.tcp.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn write_rest(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            match self.tcp()?.try_write(&self.rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    self.written += written as u64;
                    self.rest.drain(..written);
                }
            }
        }
        self.rest = Vec::new();
        Ok(())
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
        if !self.rest.is_empty() {
            self.write_rest()?;
        }
        let written = self.tcp()?.try_write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { self.write_rest() }
    }
}
