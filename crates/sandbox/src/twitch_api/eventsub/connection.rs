//! One connection of EventSub: what its loop holds, what the hub knows of it, what tests read of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_event::Timestamp;
use chatbus_runtime::CancellationToken;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use super::frames::Close;

/// Frames that may wait for one connection.
pub(super) const MAX_QUEUED: usize = 8_192;
/// Keepalives are sent this much ahead of the timeout that clients are told.
const KEEPALIVE_MARGIN: Duration = Duration::from_millis(500);

/// What a connection's loop is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    Text(String),
    Close(Close),
}

/// What the loop of a connection holds.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: u64,
    pub(super) outs: mpsc::Receiver<Out>,
    /// Told when its deadline or its freezing changed.
    pub(super) stirred: Arc<Notify>,
    /// Cancelled: ends without a close frame.
    pub(super) cut: CancellationToken,
}

/// A session as tests read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// The number of the connection, counting up from 1.
    pub connection: u64,
    /// When the connection came.
    pub connected_at: Timestamp,
    /// The keepalive timeout the client was told, in seconds.
    pub keepalive_timeout_seconds: u64,
    /// Whether keepalives are sent.
    pub keepalives: bool,
    /// Whether nothing is read and written.
    pub frozen: bool,
    /// Whether the client was told to come to another URL.
    pub reconnecting: bool,
    /// Whether another connection has taken its session over.
    pub replaced: bool,
    /// Subscriptions that are enabled.
    pub subscriptions: usize,
}

/// A connection as the hub knows it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: String,
    pub(super) since: Timestamp,
    pub(super) outs: mpsc::Sender<Out>,
    pub(super) stirred: Arc<Notify>,
    pub(super) cut: CancellationToken,
    pub(super) keepalive: Duration,
    pub(super) keepalives: bool,
    pub(super) frozen: bool,
    pub(super) last_sent: Instant,
    /// Until then it must have a subscription.
    pub(super) unused_at: Option<Instant>,
    /// The word of the URL it was sent to, until it was used; and when it is closed.
    pub(super) reconnect: Option<(Option<String>, Instant)>,
}

// === impl Connection ===

impl Connection {
    /// When the next keepalive is due.
    pub(super) fn keepalive_at(&self) -> Instant {
        self.last_sent + self.keepalive.saturating_sub(KEEPALIVE_MARGIN)
    }
}
