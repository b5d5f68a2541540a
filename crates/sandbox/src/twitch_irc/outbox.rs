//! What waits to be written to one connection: bounded, shared by everyone who says something to it
//! and emptied by its writer alone.
//!
//! Full means: a client that reads too slowly is disconnected, as Twitch does. A frozen one (which
//! reads nothing because a test asked for it) loses what no longer fits, counted.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// Short lines are gathered into writes of about this size.
const GATHER_BYTES: usize = 64 * 1024;

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    limit: usize,
    inner: Mutex<Inner>,
    filled: Notify,
    written: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    ready: VecDeque<Bytes>,
    tail: BytesMut,
    /// Queued and not yet with the kernel.
    bytes: usize,
    frozen: bool,
    closed: bool,
    discarded: u64,
}

/// What became of something put into an [`Outbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Queued,
    /// Frozen and full, or closed: it is gone.
    Discarded,
    /// Full: the connection is to be closed.
    TooSlow,
}

// === impl Outbox ===

impl Outbox {
    /// An outbox that holds at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default(), filled: Notify::new(), written: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues whole lines, copied.
    pub(crate) fn put(&self, lines: &[u8]) -> Put {
        let mut inner = self.lock();
        let fits = inner.admit(lines.len(), self.limit);
        if fits == Put::Queued {
            inner.tail.extend_from_slice(lines);
            if inner.tail.len() >= GATHER_BYTES {
                inner.seal();
            }
            drop(inner);
            self.filled.notify_one();
        }
        fits
    }

    /// Queues whole lines, shared with other connections.
    pub(crate) fn put_shared(&self, lines: &Bytes) -> Put {
        if lines.len() < GATHER_BYTES / 4 {
            return self.put(lines);
        }
        let mut inner = self.lock();
        let fits = inner.admit(lines.len(), self.limit);
        if fits == Put::Queued {
            inner.seal();
            inner.ready.push_back(lines.clone());
            drop(inner);
            self.filled.notify_one();
        }
        fits
    }

    /// The next bytes to write; waits while there are none or the connection is frozen. `None` once
    /// closed and empty. For the one writer only.
    pub(crate) async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut inner = self.lock();
                if !inner.frozen {
                    if inner.ready.is_empty() {
                        inner.seal();
                    }
                    if let Some(bytes) = inner.ready.pop_front() {
                        return Some(bytes);
                    }
                    if inner.closed {
                        return None;
                    }
                }
            }
            self.filled.notified().await;
        }
    }

    /// Tells that so many bytes are with the kernel.
    pub(crate) fn done(&self, bytes: usize) {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        drop(inner);
        self.written.notify_waiters();
    }

    /// Waits until at most `bytes` are queued. A frozen or closed outbox is not waited for.
    pub(crate) async fn down_to(&self, bytes: usize) {
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            {
                let inner = self.lock();
                if inner.bytes <= bytes || inner.frozen || inner.closed {
                    return;
                }
            }
            written.await;
        }
    }

    /// Stops or lets go the writer.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.lock().frozen = frozen;
        self.filled.notify_one();
        self.written.notify_waiters();
    }

    /// Takes nothing more; what is queued is still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.written.notify_waiters();
    }

    /// Bytes queued, and how often something did not fit while frozen.
    pub(crate) fn fill(&self) -> (usize, u64) {
        let inner = self.lock();
        (inner.bytes, inner.discarded)
    }
}

impl Inner {
    fn admit(&mut self, bytes: usize, limit: usize) -> Put {
        if self.closed {
            return Put::Discarded;
        }
        if self.bytes + bytes > limit {
            if !self.frozen {
                return Put::TooSlow;
            }
            self.discarded += 1;
            return Put::Discarded;
        }
        self.bytes += bytes;
        Put::Queued
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let sealed = self.tail.split().freeze();
            self.ready.push_back(sealed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_out_in_order_and_the_end_comes_last() {
        let outbox = Outbox::new(1 << 20);
        assert_eq!(outbox.put(b"a\r\n"), Put::Queued);
        let big = Bytes::from(vec![b'b'; GATHER_BYTES]);
        assert_eq!(outbox.put_shared(&big), Put::Queued);
        assert_eq!(outbox.put(b"c\r\n"), Put::Queued);
        outbox.close();
        assert_eq!(outbox.put(b"d\r\n"), Put::Discarded);
        assert_eq!(outbox.next().await.as_deref(), Some(&b"a\r\n"[..]));
        assert_eq!(outbox.next().await, Some(big));
        assert_eq!(outbox.next().await.as_deref(), Some(&b"c\r\n"[..]));
        assert_eq!(outbox.next().await, None);
    }

    #[tokio::test]
    async fn a_full_outbox_says_the_client_is_too_slow_until_something_is_written() {
        let outbox = Outbox::new(4);
        assert_eq!(outbox.put(b"abcd"), Put::Queued);
        assert_eq!(outbox.put(b"e"), Put::TooSlow);
        let taken = outbox.next().await.expect("bytes");
        assert_eq!(outbox.put(b"e"), Put::TooSlow);
        outbox.done(taken.len());
        assert_eq!(outbox.put(b"e"), Put::Queued);
    }

    #[tokio::test]
    async fn a_frozen_outbox_discards_and_counts_and_nobody_waits_for_it() {
        let outbox = Outbox::new(4);
        outbox.freeze(true);
        assert_eq!(outbox.put(b"abcd"), Put::Queued);
        assert_eq!(outbox.put(b"e"), Put::Discarded);
        outbox.down_to(0).await;
        assert_eq!(outbox.fill(), (4, 1));
    }
}
