//! The loops of one connection: bytes in, bytes out, a PING now and then. They decide nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::Shared;
use super::client::Line;
use super::outbox::Outbox;
use super::session::Flow;
use super::wire::LineCutter;

const READ_BYTES: usize = 64 * 1024;
/// A client with more than this unread is not read from.
const UNREAD_BYTES: usize = 1024 * 1024;
/// What is queued when a connection ends in order is given so long to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Reads lines and hands them to the server's state.
pub(super) struct Reader {
    shared: Arc<Shared>,
    line: Line,
    cutter: LineCutter,
}

/// Serves a TCP connection until it ends.
pub(super) async fn serve_tcp(shared: Arc<Shared>, stream: TcpStream, line: Line) {
    // Chat lines are small and wait for nothing.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (cut, reset, outbox) = (line.cut.clone(), line.reset.clone(), Arc::clone(&line.outbox));
    let mut halves = (read, write);
    {
        let reader = Reader::new(Arc::clone(&shared), line.clone());
        let reading = read_tcp(reader, &mut halves.0);
        let writing = write_tcp(&outbox, &mut halves.1);
        tokio::select! {
            () = cut.cancelled() => {}
            () = shared.stop.cancelled() => {}
            () = in_order(reading, writing, &outbox) => {}
            () = keep_alive(&shared, &line) => {}
        }
    }
    shared.lock().leave(line.id);
    shared.changed.notify_waiters();
    if reset.is_cancelled()
        && let Ok(stream) = halves.0.reunite(halves.1)
    {
        // Without lingering a close is a reset; what the kernel still holds is thrown away.
        let _ = stream.set_zero_linger();
    }
}

/// Reads and writes until the reading has ended and what is queued is written, or the peer is gone.
pub(super) async fn in_order(
    reading: impl Future<Output = ()>,
    writing: impl Future<Output = ()>,
    outbox: &Outbox,
) {
    tokio::pin!(reading, writing);
    tokio::select! {
        () = &mut writing => return,
        () = &mut reading => outbox.close(),
    }
    let _ = tokio::time::timeout(FLUSH, writing).await;
}

/// Sends a PING at each interval; ends when nothing at all came from one to the next.
pub(super) async fn keep_alive(shared: &Shared, line: &Line) {
    loop {
        tokio::time::sleep(shared.ping_interval).await;
        let mut world = shared.lock();
        let Some(client) = world.clients.get_mut(&line.id) else { return };
        if *client.freeze.borrow() {
            continue;
        }
        if client.awaits_pong {
            return;
        }
        client.awaits_pong = true;
        world.tell(line.id, "PING :tmi.twitch.tv\r\n");
    }
}

async fn read_tcp(mut reader: Reader, read: &mut OwnedReadHalf) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        reader.ready().await;
        buffer.clear();
        match read.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Frozen while it waited: what came is not read yet.
        reader.thawed().await;
        if reader.take(&buffer, false) == Flow::Quit {
            return;
        }
    }
}

async fn write_tcp(outbox: &Outbox, write: &mut OwnedWriteHalf) {
    while let Some(bytes) = outbox.next().await {
        let written = write.write_all(&bytes).await;
        outbox.done(bytes.len());
        if written.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, line: Line) -> Self {
        Self { shared, line, cutter: LineCutter::default() }
    }

    /// Waits until more may be read: while the client leaves the answers to what it sent unread, its
    /// next lines stay in its own buffers.
    pub(super) async fn ready(&mut self) {
        self.line.outbox.down_to(UNREAD_BYTES.min(self.shared.outbox_bytes / 2)).await;
        self.thawed().await;
    }

    /// Waits while the connection is frozen.
    pub(super) async fn thawed(&mut self) {
        // An error means that the server has forgotten the connection; the loop ends by itself then.
        let _ = self.line.frozen.wait_for(|frozen| !frozen).await;
    }

    /// Hands over the lines in these bytes; `whole` when the last one ends with them.
    pub(super) fn take(&mut self, bytes: &[u8], whole: bool) -> Flow {
        let now = self.shared.moment();
        let mut world = self.shared.lock();
        let mut flow = Flow::On;
        let before = self.cutter.overlong;
        let mut on_line = |line: &[u8]| {
            if flow == Flow::On && !line.is_empty() {
                flow = world.on_line(self.line.id, line, now);
            }
        };
        self.cutter.feed(bytes, &mut on_line);
        if whole {
            self.cutter.end(&mut on_line);
        }
        if self.cutter.overlong > before
            && let Some(client) = world.clients.get_mut(&self.line.id)
        {
            client.overlong = self.cutter.overlong;
        }
        drop(world);
        self.shared.changed.notify_waiters();
        flow
    }
}

/// Text for a WebSocket frame: frames must be UTF-8, so other bytes become U+FFFD.
pub(super) fn as_text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
