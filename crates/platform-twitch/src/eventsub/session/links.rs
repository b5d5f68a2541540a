//! The connections of a session: the one that is read, and the one that is to follow it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{DEFAULT_KEEPALIVE, Output, Session, Socket, WELCOME_TIMEOUT};
use crate::eventsub::frames::SessionInfo;

/// A connection that said welcome.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Socket,
    pub(super) session: Arc<str>,
    pub(super) since: Instant,
    pub(super) heard: Instant,
    pub(super) keepalive: Duration,
}

/// A connection that has not.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) socket: Socket,
    /// Whether the session is to move to it with its subscriptions.
    pub(super) is_move: bool,
    pub(super) deadline: Instant,
}

// === impl Link ===

impl Link {
    pub(super) fn new(socket: Socket, session: Arc<str>, info: &SessionInfo<'_>, now: Instant) -> Self {
        Self { socket, session, since: now, heard: now, keepalive: keepalive(info) }
    }

    /// When it is dead, if nothing is heard until then: Twitch's time and a fifth of it, at least two
    /// seconds, for what a frame may be under way.
    pub(super) fn dead_at(&self) -> Instant {
        self.heard + self.keepalive + (self.keepalive / 5).max(Duration::from_secs(2))
    }
}

/// After how long without a frame the connection is dead: Twitch lets it be 10 to 600 seconds, and a
/// server for tests less.
pub(super) fn keepalive(info: &SessionInfo<'_>) -> Duration {
    info.keepalive_timeout_seconds.map_or(DEFAULT_KEEPALIVE, |s| Duration::from_secs(s.clamp(1, 600)))
}

// === impl Session ===

impl Session {
    /// Tries a connection.
    pub(super) fn open(&mut self, url: Option<String>, now: Instant, out: &mut Vec<Output>) {
        self.sockets += 1;
        let socket = Socket(self.sockets);
        let is_move = url.is_some();
        self.next = Some(Attempt { socket, is_move, deadline: now + WELCOME_TIMEOUT });
        self.retry_at = None;
        out.push(Output::Open(socket, url));
    }

    pub(super) fn heard(&mut self, socket: Socket, now: Instant) {
        if let Some(link) = self.current.as_mut().filter(|link| link.socket == socket) {
            link.heard = now;
        }
    }

    pub(super) fn is_ours(&self, socket: Socket) -> bool {
        self.current.as_ref().is_some_and(|link| link.socket == socket)
    }
}
