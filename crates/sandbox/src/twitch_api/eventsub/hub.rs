//! All of EventSub's state: connections, their sessions, subscriptions, conduits. Here is the life of a
//! connection; subscribing and telling are beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_event::Entropy;
use chatbus_runtime::CancellationToken;
use tokio::sync::{Notify, mpsc};

use super::conduit::Conduit;
use super::connection::{Connection, Line, MAX_QUEUED, Out, SessionView};
use super::frames::{self, Close, SessionFrame};
use super::subscription::{DISCONNECTED, Subscription};
use super::webhook::Post;
use crate::twitch_irc::Moment;

/// A client must have subscribed to something by then.
const UNUSED_AFTER: Duration = Duration::from_secs(10);
/// A client must have come to the new URL by then.
pub(super) const RECONNECT_GRACE: Duration = Duration::from_secs(30);
/// The keepalive timeout when the client asks for none.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(10);

/// The state.
#[derive(Debug)]
pub(in crate::twitch_api) struct Hub {
    pub(super) connections: BTreeMap<u64, Connection>,
    /// The connection that each session speaks on.
    pub(super) sessions: BTreeMap<String, u64>,
    pub(super) subscriptions: BTreeMap<u64, Subscription>,
    pub(super) conduits: BTreeMap<String, Conduit>,
    pub(super) posts: mpsc::Sender<Post>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// `ws://…/ws`.
    url: String,
    max_connections: usize,
    pub(super) last_id: u64,
    /// Whether subscriptions of sessions that are gone stand in the way of equal new ones.
    pub(super) orphans_conflict: bool,
    /// Notifications that nobody could be told.
    pub(super) undeliverable: u64,
}

// === impl Hub ===

impl Hub {
    pub(in crate::twitch_api) fn new(
        url: String,
        max_connections: usize,
        posts: mpsc::Sender<Post>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            conduits: BTreeMap::new(),
            posts,
            entropy,
            url,
            max_connections,
            last_id: 0,
            orphans_conflict: true,
            undeliverable: 0,
        }
    }

    /// A connection has come, to the usual URL or to that of a reconnect.
    pub(super) fn arrive(
        &mut self,
        keepalive: Duration,
        reconnect: Option<&str>,
        now: Moment,
    ) -> Result<Line, Close> {
        if self.connections.len() >= self.max_connections {
            return Err(frames::FULL);
        }
        let session = match reconnect {
            None => self.fresh(),
            Some(word) => self.take_over(word, now).ok_or(frames::INVALID_RECONNECT)?,
        };
        self.last_id += 1;
        let id = self.last_id;
        let (outs, line_outs) = mpsc::channel(MAX_QUEUED);
        let stirred = Arc::new(Notify::new());
        let cut = CancellationToken::new();
        let keepalive =
            if reconnect.is_some() { self.keepalive_of(&session).unwrap_or(keepalive) } else { keepalive };
        let connection = Connection {
            session: session.clone(),
            since: now.wall,
            outs,
            stirred: Arc::clone(&stirred),
            cut: cut.clone(),
            keepalive,
            keepalives: true,
            frozen: false,
            last_sent: now.mono,
            unused_at: reconnect.is_none().then(|| now.mono + UNUSED_AFTER),
            reconnect: None,
        };
        self.connections.insert(id, connection);
        self.sessions.insert(session.clone(), id);
        let frame = SessionFrame { id: &session, connected_at: now.wall };
        let welcome = frames::welcome(&self.fresh(), now.wall, frame, keepalive.as_secs());
        self.put(id, Out::Text(welcome), now.mono);
        Ok(Line { id, outs: line_outs, stirred, cut })
    }

    /// The session whose client was sent to this URL, once. Its old connection stays until its time is over or
    /// the client closes it.
    fn take_over(&mut self, word: &str, now: Moment) -> Option<String> {
        let old = self.connections.values_mut().find_map(|connection| match &mut connection.reconnect {
            Some((asked, until)) if asked.as_deref() == Some(word) && now.mono < *until => {
                *asked = None;
                Some(connection.session.clone())
            }
            _ => None,
        })?;
        Some(old)
    }

    fn keepalive_of(&self, session: &str) -> Option<Duration> {
        let connection = self.connections.get(self.sessions.get(session)?)?;
        Some(connection.keepalive)
    }

    /// Sends a connection's client to another URL, if its session has not been taken over already.
    pub(super) fn send_away(&mut self, id: u64, grace: Duration, now: Moment) {
        if !self.speaks(id) {
            return;
        }
        let (word, message_id) = (self.fresh(), self.fresh());
        let url = format!("{}?reconnect_id={word}", self.url);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.reconnect = Some((Some(word), now.mono.checked_add(grace).unwrap_or(now.mono)));
        let frame = SessionFrame { id: &connection.session, connected_at: connection.since };
        let text = frames::reconnect(&message_id, now.wall, frame, &url);
        self.put(id, Out::Text(text), now.mono);
        self.stir(id);
    }

    /// When something is to happen to a connection by itself.
    pub(super) fn deadline(&self, id: u64) -> Option<Instant> {
        let connection = self.connections.get(&id)?;
        let keepalive = (connection.keepalives && self.speaks(id)).then(|| connection.keepalive_at());
        let unused = connection.unused_at;
        let grace = connection.reconnect.as_ref().map(|(_, until)| *until);
        [keepalive, unused, grace].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn on_time(&mut self, id: u64, now: Moment) {
        let speaks = self.speaks(id);
        let in_use = self.in_use(id);
        let message_id = self.fresh();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.reconnect.as_ref().is_some_and(|(_, until)| *until <= now.mono) {
            return self.put(id, Out::Close(frames::GRACE_OVER), now.mono);
        }
        if connection.unused_at.is_some_and(|at| at <= now.mono) {
            connection.unused_at = None;
            if !in_use {
                return self.put(id, Out::Close(frames::UNUSED), now.mono);
            }
        }
        if connection.keepalives && speaks && connection.keepalive_at() <= now.mono {
            self.put(id, Out::Text(frames::keepalive(&message_id, now.wall)), now.mono);
        }
    }

    /// The client sent something that it must not.
    pub(super) fn on_traffic(&mut self, id: u64, now: Moment) {
        self.put(id, Out::Close(frames::SENT_TRAFFIC), now.mono);
    }

    /// A connection has ended; its session with it, unless another one speaks for that now.
    pub(super) fn leave(&mut self, id: u64, now: Moment) {
        let speaks = self.speaks(id);
        let Some(connection) = self.connections.remove(&id) else { return };
        if !speaks {
            return;
        }
        self.sessions.remove(&connection.session);
        for subscription in self.subscriptions.values_mut() {
            if subscription.session() == Some(connection.session.as_str()) && subscription.is_enabled() {
                subscription.status = DISCONNECTED.to_owned();
                subscription.disconnected_at = Some(now.wall);
            }
        }
        for conduit in self.conduits.values_mut() {
            conduit.session_gone(&connection.session, now.wall);
        }
    }

    /// Hands something to a connection's loop. A client that does not read is cut off, unless it is frozen: then
    /// what does not fit is lost.
    pub(super) fn put(&mut self, id: u64, out: Out, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_sent = now;
        if connection.outs.try_send(out).is_err() {
            self.undeliverable += 1;
            if !connection.frozen {
                connection.cut.cancel();
            }
        }
    }

    /// Frames waiting for whoever is furthest behind and not frozen.
    pub(in crate::twitch_api) fn backlog(&self) -> usize {
        let behind = self.connections.values().filter(|connection| !connection.frozen);
        behind.map(|connection| MAX_QUEUED - connection.outs.capacity()).max().unwrap_or_default()
    }

    /// Whether nothing is to be read from and written to it.
    pub(super) fn is_frozen(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.frozen)
    }

    pub(super) fn stir(&self, id: u64) {
        if let Some(connection) = self.connections.get(&id) {
            connection.stirred.notify_one();
        }
    }

    /// Whether the session of a connection speaks on this one.
    fn speaks(&self, id: u64) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        self.sessions.get(&connection.session) == Some(&id)
    }

    fn in_use(&self, id: u64) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        let session = connection.session.as_str();
        self.subscriptions.values().any(|s| s.session() == Some(session) && s.is_enabled())
            || self.conduits.values().any(|conduit| conduit.has_session(session))
    }

    pub(in crate::twitch_api) fn views(&self) -> Vec<SessionView> {
        let view = |(id, connection): (&u64, &Connection)| SessionView {
            id: connection.session.clone(),
            connection: *id,
            connected_at: connection.since,
            keepalive_timeout_seconds: connection.keepalive.as_secs(),
            keepalives: connection.keepalives,
            frozen: connection.frozen,
            reconnecting: connection.reconnect.is_some(),
            replaced: !self.speaks(*id),
            subscriptions: self
                .subscriptions
                .values()
                .filter(|s| s.session() == Some(connection.session.as_str()) && s.is_enabled())
                .count(),
        };
        self.connections.iter().map(view).collect()
    }

    /// As at the start, but connections stay.
    pub(in crate::twitch_api) fn reset(&mut self) {
        self.subscriptions.clear();
        self.conduits.clear();
        self.orphans_conflict = true;
        self.undeliverable = 0;
        for connection in self.connections.values_mut() {
            connection.frozen = false;
            connection.keepalives = true;
            connection.stirred.notify_one();
        }
    }

    pub(super) fn fresh(&self) -> String {
        self.entropy.uuid().to_string()
    }
}

#[cfg(test)]
mod tests;
