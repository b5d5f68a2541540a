//! Raw lines to clients: exactly these bytes and CRLF, whatever they are.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::client::Who;
use super::outbox::{Outbox, Put};
use super::pace::Pace;
use super::{BadRequest, TwitchIrc, names};

/// Bytes of one call.
pub const MAX_RAW_BYTES: usize = 64 * 1024 * 1024;
/// Lines written at one time when no rate is asked for.
const BATCH: u64 = 256;
const LOW_WATER: usize = 256 * 1024;

/// Lines to be told to clients as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Raw {
    /// Without line ends; CRLF is put after each.
    pub lines: Vec<Bytes>,
    /// Only to connections that have joined this channel.
    pub channel: Option<String>,
    /// Only to this connection.
    pub connection: Option<u64>,
    /// Lines in a second; `None` is as fast as it goes.
    pub rate: Option<f64>,
}

/// What was replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RawReport {
    /// Lines told.
    pub lines: u64,
    /// Their bytes, CRLF included.
    pub bytes: u64,
    /// Connections that were told the last line.
    pub connections: usize,
}

// === impl Raw ===

impl Raw {
    /// The lines of a file's bytes: cut at LF, a CR before it and an empty last line left out.
    pub fn from_file_bytes(bytes: &Bytes) -> Self {
        let mut lines: Vec<Bytes> = Vec::new();
        let mut start = 0;
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            lines.push(bytes.slice(start..at));
            start = at + 1;
        }
        if start < bytes.len() {
            lines.push(bytes.slice(start..));
        }
        for line in &mut lines {
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
        }
        Self { lines, ..Self::default() }
    }
}

// === impl TwitchIrc ===

impl TwitchIrc {
    /// Tells these lines to every connection that is logged in and meant, in order. Returns when all
    /// of it is with the kernel, but for frozen connections.
    ///
    /// # Errors
    /// When the request makes no sense; names the field.
    pub async fn raw(&self, raw: &Raw) -> Result<RawReport, BadRequest> {
        let total: usize = raw.lines.iter().map(|line| line.len() + 2).sum();
        if raw.lines.is_empty() || total > MAX_RAW_BYTES {
            return Err(BadRequest::new("lines", "holds no line, or more than 64 MiB"));
        }
        let channel = match raw.channel.as_deref().map(names::login) {
            Some(None) => return Err(BadRequest::new("channel", "is no channel name")),
            Some(name) => name,
            None => None,
        };
        let who = Who { connection: raw.connection, login: None, channel };
        let clock = &*self.shared.runtime.clock;
        let pace = Pace::new(raw.rate, clock);
        let count = u64::try_from(raw.lines.len()).unwrap_or(u64::MAX);
        let mut report = RawReport::default();
        let mut lines = raw.lines.iter();
        while report.lines < count && !self.shared.stop.is_cancelled() {
            let now_many = pace.next(report.lines, BATCH.min(count - report.lines), clock).await;
            let mut block = BytesMut::new();
            for line in lines.by_ref().take(usize::try_from(now_many).unwrap_or(usize::MAX)) {
                block.extend_from_slice(line);
                block.extend_from_slice(b"\r\n");
            }
            report.lines += now_many;
            report.bytes += u64::try_from(block.len()).unwrap_or_default();
            let block = block.freeze();
            let targets = self.raw_targets(&who);
            report.connections = targets.len();
            for outbox in &targets {
                outbox.down_to(LOW_WATER).await;
                if outbox.put_shared(&block) == Put::TooSlow {
                    // One block over 8 MiB: a line that long is written in its own time.
                    outbox.down_to(0).await;
                    outbox.put_shared(&block);
                }
            }
        }
        for outbox in self.raw_targets(&who) {
            outbox.down_to(0).await;
        }
        Ok(report)
    }

    fn raw_targets(&self, who: &Who) -> Vec<Arc<Outbox>> {
        let world = self.shared.lock();
        let logged_in = world.clients.values().filter(|client| client.login.is_some());
        logged_in.filter(|client| client.fits(who)).map(|client| Arc::clone(&client.line.outbox)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_its_line_ends_and_nothing_else_is_touched() {
        let raw = Raw::from_file_bytes(&Bytes::from_static(b"a \r\n\xff\0\n\n last\rone\r\n"));
        assert_eq!(raw.lines, [&b"a "[..], b"\xff\0", b"", b" last\rone"]);
        assert_eq!(Raw::from_file_bytes(&Bytes::from_static(b"x")).lines, [&b"x"[..]]);
    }
}
