//! A connection as everybody sees it: where frames are put, and what becomes of them.
//!
//! Whoever sends writes to the socket himself when nothing else waits there: no task has to wake up for
//! a delivery. What the kernel does not take waits in the connection's queue, and the connection's task
//! writes it on. A frame's sender is told its fate exactly once, whatever happens to the connection.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use chatbus_event::Clock;
use chatbus_runtime::Fence;
use chatbus_state::Key;
use futures::task::AtomicWaker;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes, WebSocket};
use uuid::Uuid;

use crate::codes::Closing;
use crate::fate::{Fate, Offered, Promise};
use crate::socket::{Socket, Taken};

/// A connection, shared between its task and those who send to it.
pub(crate) struct Link {
    pub(crate) id: Uuid,
    /// The token's key.
    pub(crate) token: Key,
    wire: Mutex<Wire>,
    task: AtomicWaker,
}

/// The socket, and what waits to be written to it.
pub(crate) struct Wire {
    ws: WebSocket<Socket>,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    /// Senders of frames that the socket's buffer holds.
    staged: Vec<Promise>,
    /// Whether the socket's buffer may hold anything.
    is_dirty: bool,
    /// Senders of frames that the kernel has, while the last ping is not answered.
    unanswered: Vec<Promise>,
    last_ping: u32,
    is_answered: bool,
    order: Option<Order>,
    /// Takes no more frames.
    is_closed: bool,
    /// Bytes of the messages that were read, had each come in one frame with the shortest head.
    understood: u64,
    /// Whether the socket's buffers may have grown.
    is_large: bool,
    /// While bytes wait that the kernel does not take.
    stall: Option<Stall>,
}

/// The kernel takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stall {
    since: Instant,
    /// What it had taken by then.
    written: u64,
}

/// What the connection's task is told by others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Revoke,
    Drain { retry_after: f64 },
    Slow,
}

/// A frame that waits.
struct Item {
    frame: Bytes,
    fence: Option<Fence>,
    promise: Promise,
}

/// Whether all was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    Blocked,
    Broken,
}

/// A slow client's frames that wait: more than this, and it is closed.
const MAX_QUEUED_FRAMES: usize = 512;
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// Events of subscriptions wait for more than this to be read: theirs is what a slow client has left over.
const EVENT_QUEUED_FRAMES: usize = 64;
const EVENT_QUEUED_BYTES: usize = 128 * 1024;
/// The largest frame and message of a client.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Frames are small and rare: a buffer of this size is read into, and grows for larger ones.
const READ_BUFFER_BYTES: usize = 512;
/// So much is put into the socket's buffer before it is written out.
const STAGE_BYTES: usize = 8 * 1024;

/// A message that is larger makes the buffers grow, which do not shrink by themselves.
const LARGE_BYTES: usize = 4 * 1024;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(2 * STAGE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

// === impl Link ===

impl Link {
    /// A connection on a socket whose upgrade is done; `part` was read after the request already.
    pub(crate) fn new(id: Uuid, token: Key, tcp: TcpStream, part: Vec<u8>) -> Self {
        let socket = Socket::new(tcp, part.len() as u64);
        let wire = Wire {
            ws: WebSocket::from_partially_read(socket, part, Role::Server, Some(config())),
            queue: VecDeque::new(),
            queued_bytes: 0,
            staged: Vec::new(),
            is_dirty: false,
            unanswered: Vec::new(),
            last_ping: 0,
            is_answered: true,
            order: None,
            is_closed: false,
            understood: 0,
            is_large: false,
            stall: None,
        };
        Self { id, token, wire: Mutex::new(wire), task: AtomicWaker::new() }
    }

    /// Writes a frame, now when that is possible, unless the fence is lost by then.
    pub(crate) fn offer(&self, frame: Bytes, fence: &Fence, clock: &dyn Clock) -> Offered {
        let mut wire = self.lock();
        let now = clock.instant();
        if wire.is_closed || !fence.is_held(now) {
            return Offered::Known(Fate::Unsent);
        }
        let taken = wire.write_now(&frame);
        if taken == Taken::All {
            return Offered::Known(Fate::Delivered);
        }
        let (sender, mut fate) = oneshot::channel();
        let promise = Promise { sender: Some(sender), is_begun: taken == Taken::Some };
        if taken == Taken::Some {
            wire.staged.push(promise);
            wire.is_dirty = true;
        } else {
            wire.push(Item { frame, fence: Some(fence.clone()), promise });
        }
        if wire.order == Some(Order::Slow) || wire.pump(now) != Written::All {
            // The task waits for room, or ends.
            drop(wire);
            self.task.wake();
        }
        match fate.try_recv() {
            Ok(fate) => Offered::Known(fate),
            Err(_) => Offered::Later(fate),
        }
    }

    /// Takes a frame back that was offered, if nothing of it was written.
    pub(crate) fn withdraw(&self, frame: &Bytes) {
        let mut wire = self.lock();
        let before: usize = wire.queue.len();
        wire.queue.retain(|item| item.frame.as_ptr() != frame.as_ptr());
        let taken = before - wire.queue.len();
        wire.queued_bytes = wire.queued_bytes.saturating_sub(taken * frame.len());
    }

    /// Queues a frame that nobody waits for.
    pub(crate) fn tell(&self, frame: Bytes) {
        self.lock().send(frame);
        self.task.wake();
    }

    /// Whether it takes frames.
    pub(crate) fn is_open(&self) -> bool {
        !self.lock().is_closed
    }

    /// Tells the connection's task something.
    pub(crate) fn order(&self, order: Order) {
        self.lock().order.get_or_insert(order);
        self.task.wake();
    }

    /// The task waits: wake it when there is something for it.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Wire ===

impl Wire {
    /// Queues a frame of the session's own.
    pub(crate) fn send(&mut self, frame: Bytes) {
        if !self.is_closed {
            self.push(Item { frame, fence: None, promise: Promise { sender: None, is_begun: false } });
        }
    }

    /// Whether there is room for an event, which can wait where it comes from.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < EVENT_QUEUED_FRAMES && self.queued_bytes < EVENT_QUEUED_BYTES
    }

    fn push(&mut self, item: Item) {
        self.queued_bytes += item.frame.len();
        self.queue.push_back(item);
        let waits = self.staged.len().max(self.unanswered.len());
        if self.queue.len() > MAX_QUEUED_FRAMES || self.queued_bytes > MAX_QUEUED_BYTES || waits > 1024 {
            self.drop_queue();
            self.is_closed = true;
            self.order = Some(Order::Slow);
        }
    }

    /// Sends a ping; frames count as delivered again when it is answered.
    pub(crate) fn ping(&mut self) {
        self.last_ping = self.last_ping.wrapping_add(1);
        self.is_answered = false;
        let payload = Bytes::copy_from_slice(&self.last_ping.to_be_bytes());
        // What cannot be written now stands in the buffer; what breaks is met by the next read.
        let _ = self.ws.write(Message::Ping(payload));
        self.is_dirty = true;
    }

    /// A pong came.
    pub(crate) fn ponged(&mut self, payload: &[u8]) {
        if payload == self.last_ping.to_be_bytes() {
            self.is_answered = true;
            for promise in std::mem::take(&mut self.unanswered) {
                promise.resolve(Fate::Delivered);
            }
        }
    }

    /// Writes what waits, as far as the kernel takes it. Nothing is begun while something that was begun
    /// is not written.
    pub(crate) fn pump(&mut self, now: Instant) -> Written {
        let written = self.write_on(now);
        self.stall = match (written, self.stall) {
            (Written::Blocked, Some(stall)) if stall.written == self.ws.get_ref().written => Some(stall),
            (Written::Blocked, _) => Some(Stall { since: now, written: self.ws.get_ref().written }),
            (Written::All | Written::Broken, _) => None,
        };
        written
    }

    /// Writes a frame at once where nothing stands before it and the client has answered: nearly always, and
    /// then no buffer and nobody who waits is needed.
    fn write_now(&mut self, frame: &[u8]) -> Taken {
        let is_free = self.queue.is_empty() && self.staged.is_empty() && !self.is_dirty;
        if is_free && self.is_answered && self.order.is_none() && self.ws.can_write() {
            self.ws.get_mut().write_text(frame)
        } else {
            Taken::Nothing
        }
    }

    /// Since when the kernel has taken nothing although bytes wait.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.stall.map(|stall| stall.since)
    }

    fn write_on(&mut self, now: Instant) -> Written {
        loop {
            if self.is_dirty {
                match self.ws.flush() {
                    Ok(()) => {
                        self.is_dirty = false;
                        self.settle();
                    }
                    Err(error) if would_block(&error) => return Written::Blocked,
                    Err(_) => return Written::Broken,
                }
            }
            if !self.stage(now) {
                return Written::Broken;
            }
            if !self.is_dirty {
                self.shrink();
                return Written::All;
            }
        }
    }

    /// Begins with small buffers again, when they may be large and are known to be empty: everything is
    /// written, and what was read is what was understood. (A client that sends fragments or long heads is
    /// never known to be; its buffers stay as they are.)
    fn shrink(&mut self) {
        let is_empty = self.ws.can_write() && self.ws.get_ref().read == self.understood;
        if !self.is_large || !is_empty {
            return;
        }
        self.is_large = false;
        let socket = self.ws.get_mut().take();
        self.ws = WebSocket::from_raw_socket(socket, Role::Server, Some(config()));
    }

    /// Counts what a message of a client's took, at the least.
    fn understand(&mut self, payload: usize) {
        // Two bytes, the mask, and the length where the two do not hold it.
        let head = match payload {
            0..=125 => 6,
            126..=0xffff => 8,
            _ => 14,
        };
        self.understood += head + payload as u64;
        self.is_large |= payload > LARGE_BYTES;
    }

    /// Puts some of what waits into the socket's buffer; `false` when the connection is broken. A frame
    /// with a fence goes alone: while it cannot be written, none behind it is beyond recall.
    fn stage(&mut self, now: Instant) -> bool {
        let mut staged_bytes = 0;
        while staged_bytes < STAGE_BYTES
            && let Some(Item { frame, fence, mut promise }) = self.queue.pop_front()
        {
            if fence.is_some() && staged_bytes > 0 {
                self.queue.push_front(Item { frame, fence, promise });
                break;
            }
            self.queued_bytes = self.queued_bytes.saturating_sub(frame.len());
            match fence {
                Some(fence) if !fence.is_held(now) => continue,
                Some(_) => staged_bytes = STAGE_BYTES,
                None => {}
            }
            staged_bytes += frame.len();
            self.is_large |= frame.len() > LARGE_BYTES;
            // Every frame of ours is UTF-8: it was made of strings and of JSON that was checked.
            let Ok(text) = Utf8Bytes::try_from(frame) else { continue };
            promise.is_begun = true;
            self.is_dirty = true;
            if promise.sender.is_some() {
                self.staged.push(promise);
            }
            if self.ws.write(Message::Text(text)).is_err_and(|error| !would_block(&error)) {
                return false;
            }
        }
        true
    }

    /// The kernel has everything that was staged.
    fn settle(&mut self) {
        for promise in std::mem::take(&mut self.staged) {
            if self.is_answered { promise.resolve(Fate::Delivered) } else { self.unanswered.push(promise) }
        }
    }

    /// Waits until the kernel takes more.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ws.get_ref().poll_write_ready(cx)
    }

    /// The next message.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, WsError>> {
        loop {
            match self.ws.read() {
                Err(error) if would_block(&error) => match self.ws.get_ref().poll_read_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return Poll::Pending,
                },
                read => {
                    if let Ok(message) = &read {
                        self.understand(message.len());
                    }
                    // Reading answers pings and closes; what it could not write stands in the buffer.
                    self.is_dirty = true;
                    return Poll::Ready(read);
                }
            }
        }
    }

    pub(crate) fn take_order(&mut self) -> Option<Order> {
        self.order.take()
    }

    /// Writes what it can, drops the rest, and puts a close frame behind it.
    pub(crate) fn begin_close(&mut self, close: Option<(Closing, &str)>, now: Instant) {
        let _ = self.pump(now);
        self.is_closed = true;
        self.drop_queue();
        if let Some((closing, reason)) = close {
            // A close frame has room for 123 bytes.
            let reason = Utf8Bytes::from(&reason[..reason.floor_char_boundary(123)]);
            let _ = self.ws.close(Some(CloseFrame { code: closing.code().into(), reason }));
        }
    }

    /// Writes the end, tells the client that nothing more comes, and reads what it still sends into
    /// nothing, so that no reset overtakes the close frame. Ready when the client has closed.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>, discarded: &mut usize) -> Poll<()> {
        match poll_written(self, |wire| wire.ws.flush(), |wire| wire.poll_writable(cx)) {
            Poll::Ready(Ok(())) => self.settle(),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            // It may have hung up, which is seen by reading.
            Poll::Pending => return self.poll_discard(cx, discarded),
        }
        if let Poll::Ready(Err(_)) = self.ws.get_mut().poll_shutdown(cx) {
            return Poll::Ready(());
        }
        self.poll_discard(cx, discarded)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, discarded: &mut usize) -> Poll<()> {
        /// A client that goes on sending after a close has no claim to a quiet end.
        const MOST: usize = 1024 * 1024;
        let mut waste = [0; 2048];
        loop {
            match self.ws.get_mut().read(&mut waste) {
                Ok(0) => return Poll::Ready(()),
                Ok(read) => *discarded += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.ws.get_ref().poll_read_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(_) => return Poll::Ready(()),
            }
            if *discarded > MOST {
                return Poll::Ready(());
            }
        }
    }

    /// It is over: whoever still waits is told.
    pub(crate) fn end(&mut self) {
        self.is_closed = true;
        self.drop_queue();
        self.staged.clear();
        self.unanswered.clear();
    }

    fn drop_queue(&mut self) {
        self.queue = VecDeque::new();
        self.queued_bytes = 0;
    }
}

/// Flushes until all is written. That there is room again, which it may be by the time it is asked for, is
/// no end but a reason to go on: what is behind is the close frame.
fn poll_written<W>(
    wire: &mut W,
    mut flush: impl FnMut(&mut W) -> Result<(), WsError>,
    mut writable: impl FnMut(&mut W) -> Poll<io::Result<()>>,
) -> Poll<Result<(), WsError>> {
    loop {
        match flush(wire) {
            Ok(()) | Err(WsError::ConnectionClosed) => return Poll::Ready(Ok(())),
            Err(error) if would_block(&error) => match writable(wire) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            },
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

pub(crate) fn would_block(error: &WsError) -> bool {
    matches!(error, WsError::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests;
