//! The WebSocket session with EventSub as a pure state machine, over all of its connections.
//!
//! It is fed what happened and when, and says what to do: open a socket, close one, subscribe, publish. It
//! reads no clock and does no I/O.
//!
//! A session that Twitch moves elsewhere (`session_reconnect`) keeps its subscriptions and loses nothing: the
//! old socket is read until the new one says welcome. A session that is lost any other way is gone with its
//! subscriptions, and Twitch tells nobody what happened until there is another: that is a [`Output::Gap`].
//!
//! Source: Twitch's "Getting events using WebSockets".

mod closing;
mod links;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::ConnectionState;
use chatbus_event::Entropy;
use chatbus_runtime::Backoff;

use super::frames::{Frame, SessionInfo};
use super::recent::Recent;
pub use closing::{Closing, Then, closing};
use links::{Attempt, Link};

/// How long a connection may take to be made, and how long Twitch may take to say welcome.
pub const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// A session that lasted this long was a good one: the wait after it is the first one again.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Without a frame for this long a connection is dead, where Twitch does not say when.
pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(10);

/// Names a socket; each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Socket(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Whether there is anything to be read, and a token to read it with. Until it is said there is not:
    /// Twitch closes sessions that nobody subscribes with.
    Wanted(bool),
    /// A socket could not be made, or has ended: with this code, if with any; why, for people.
    Closed(Socket, Option<u16>, &'a str),
    /// A frame was read.
    Frame(Socket, &'a Frame<'a>),
    /// Bytes were read that are no frame.
    Noise(Socket),
    /// Everything that is wanted was asked for in this session.
    Subscribed(&'a str),
    /// Time has passed.
    Tick,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make a socket to this address, or to the configured one.
    Open(Socket, Option<String>),
    /// Say goodbye on a socket. What it still brings is fed in.
    Close(Socket),
    /// There is a session without subscriptions: subscribe with it, within ten seconds.
    Subscribe(Arc<str>),
    /// The session has moved, and its subscriptions with it.
    Moved(Arc<str>),
    /// There is no session any more.
    Lost,
    /// The notification that was just fed in is new: it is an event.
    Publish,
    /// The revocation that was just fed in is of our subscriptions.
    Revoked,
    /// Twitch told nobody what happened between these moments.
    Gap {
        /// When something was heard last.
        from: Instant,
        /// From when on everything is heard again.
        to: Instant,
        /// Why, as a stable code.
        reason: &'static str,
    },
    /// Something to be shown.
    News(News),
}

/// Something to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The connection's state.
    State(ConnectionState),
    /// A session was made again, or moved.
    Reconnected,
    /// A notification was sent again.
    Repeated,
    /// A frame of a kind that is not known.
    UnknownFrame,
    /// Something went wrong.
    Trouble {
        /// A stable code.
        code: &'static str,
        /// For people.
        message: String,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    entropy: Arc<dyn Entropy>,
    backoff: Backoff,
    is_wanted: bool,
    /// The connection that has our subscriptions.
    current: Option<Link>,
    /// The one that is to take its place.
    next: Option<Attempt>,
    /// When the next one is tried.
    retry_at: Option<Instant>,
    /// Since when nothing is heard, and why.
    deaf: Option<(Instant, &'static str)>,
    recent: Recent,
    sockets: u64,
    connected_before: bool,
}

// === impl Session ===

impl Session {
    /// One that is not wanted yet. The waits before reconnects double from `initial` to `max`.
    pub fn new(initial: Duration, max: Duration, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            backoff: Backoff::new(initial, max),
            is_wanted: false,
            current: None,
            next: None,
            retry_at: None,
            deaf: None,
            recent: Recent::new(),
            sockets: 0,
            connected_before: false,
        }
    }

    /// Takes in what happened, and adds what is to be done to `out`.
    pub fn on(&mut self, input: Input<'_>, now: Instant, out: &mut Vec<Output>) {
        match input {
            Input::Wanted(is_wanted) => self.wanted(is_wanted, now, out),
            Input::Closed(socket, code, why) => self.closed(socket, code, why, now, out),
            Input::Noise(socket) => self.heard(socket, now),
            Input::Frame(socket, frame) => {
                self.heard(socket, now);
                self.frame(socket, frame, now, out);
            }
            Input::Subscribed(session) => self.subscribed(session, now, out),
            Input::Tick => {}
        }
        self.tick(now, out);
    }

    /// When a [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let retry = self.retry_at.filter(|_| self.is_wanted && self.next.is_none());
        let dead = self.current.as_ref().map(Link::dead_at);
        let attempt = self.next.as_ref().map(|next| next.deadline);
        [retry, dead, attempt].into_iter().flatten().min()
    }

    /// The session that has our subscriptions.
    pub fn id(&self) -> Option<&str> {
        self.current.as_ref().map(|link| &*link.session)
    }

    fn frame(&mut self, socket: Socket, frame: &Frame<'_>, now: Instant, out: &mut Vec<Output>) {
        match frame {
            // Whatever socket still brings it: one that was left may have been in the middle of it.
            Frame::Notification(told) if self.recent.is_new(&told.message_id, now) => {
                out.push(Output::Publish);
            }
            Frame::Notification(_) => out.push(Output::News(News::Repeated)),
            Frame::Welcome(info) => self.welcome(socket, info, now, out),
            Frame::Reconnect(info) => self.move_to(socket, info, now, out),
            Frame::Revocation(_) if self.is_ours(socket) => out.push(Output::Revoked),
            Frame::Revocation(_) | Frame::Keepalive => {}
            Frame::Unknown(_) => out.push(Output::News(News::UnknownFrame)),
        }
    }

    fn wanted(&mut self, is_wanted: bool, now: Instant, out: &mut Vec<Output>) {
        if self.is_wanted == is_wanted {
            return;
        }
        self.is_wanted = is_wanted;
        if is_wanted {
            self.retry_at = Some(now);
            return;
        }
        let sockets = [self.current.take().map(|l| l.socket), self.next.take().map(|n| n.socket)];
        out.extend(sockets.into_iter().flatten().map(Output::Close));
        out.push(Output::Lost);
        // Nobody wants to know what happens meanwhile.
        (self.retry_at, self.deaf) = (None, None);
    }

    fn subscribed(&mut self, session: &str, now: Instant, out: &mut Vec<Output>) {
        if self.id() == Some(session)
            && let Some((from, reason)) = self.deaf.take()
        {
            out.push(Output::Gap { from, to: now, reason });
        }
    }

    fn welcome(&mut self, socket: Socket, info: &SessionInfo<'_>, now: Instant, out: &mut Vec<Output>) {
        let Some(next) = self.next.take_if(|next| next.socket == socket) else {
            if let Some(current) = self.current.as_mut().filter(|link| link.socket == socket) {
                current.keepalive = links::keepalive(info);
            }
            return;
        };
        let session: Arc<str> = (*info.id).into();
        let old = self.current.replace(Link::new(socket, Arc::clone(&session), info, now));
        self.retry_at = None;
        if let Some(old) = &old {
            out.push(Output::Close(old.socket));
        }
        out.push(Output::News(News::State(ConnectionState::Connected)));
        if std::mem::replace(&mut self.connected_before, true) {
            out.push(Output::News(News::Reconnected));
        }
        if next.is_move {
            // The old socket was read until now, unless it was lost on the way.
            if let Some((from, reason)) = self.deaf.take() {
                out.push(Output::Gap { from, to: now, reason });
            }
            out.push(Output::Moved(session));
        } else {
            if old.is_some() {
                // Its subscriptions end with it, and the new ones are still to be made.
                self.deaf.get_or_insert((now, "reconnect_refused"));
            }
            out.push(Output::Subscribe(session));
        }
    }

    fn move_to(&mut self, socket: Socket, info: &SessionInfo<'_>, now: Instant, out: &mut Vec<Output>) {
        let Some(url) = info.reconnect_url.as_deref().filter(|_| self.is_ours(socket)) else { return };
        // A second order while the first is being followed: the newer address counts.
        if let Some(stale) = self.next.take() {
            out.push(Output::Close(stale.socket));
        }
        self.open(Some(url.to_owned()), now, out);
    }

    fn closed(&mut self, socket: Socket, code: Option<u16>, why: &str, now: Instant, out: &mut Vec<Output>) {
        let closing = closing(code);
        let told = |out: &mut Vec<Output>| {
            let message = format!("{}: {why}", closing.means);
            out.push(Output::News(News::Trouble { code: closing.name, message }));
        };
        if let Some(next) = self.next.take_if(|next| next.socket == socket) {
            told(out);
            self.attempt_failed(&next, closing.then, now, out);
        } else if self.current.as_ref().is_some_and(|link| link.socket == socket) {
            told(out);
            self.lost(closing.name, closing.then, now, out);
        }
    }

    /// The current connection is gone.
    fn lost(&mut self, reason: &'static str, then: Then, now: Instant, out: &mut Vec<Output>) {
        let Some(link) = self.current.take() else { return };
        if now >= link.since + STABLE_AFTER {
            self.backoff.reset();
        }
        // One that was lost before it had subscriptions does not make what is missed any shorter.
        self.deaf.get_or_insert((link.heard, reason));
        out.push(Output::Lost);
        out.push(Output::News(News::State(ConnectionState::Reconnecting)));
        if self.next.is_none() {
            self.retry(then, now);
        }
    }

    fn attempt_failed(&mut self, attempt: &Attempt, then: Then, now: Instant, out: &mut Vec<Output>) {
        // A move that failed is no reason to wait: the old socket lasts for some seconds only.
        self.retry(if attempt.is_move { Then::AtOnce } else { then }, now);
        if self.current.is_none() {
            let state = if self.connected_before {
                ConnectionState::Reconnecting
            } else {
                ConnectionState::Connecting
            };
            out.push(Output::News(News::State(state)));
        }
    }

    fn retry(&mut self, then: Then, now: Instant) {
        let wait = match then {
            // Only once: whoever is sent away again and again has to wait.
            Then::AtOnce if self.backoff.attempts() == 0 => {
                let _ = self.backoff.next(&*self.entropy);
                Duration::ZERO
            }
            _ => self.backoff.next(&*self.entropy),
        };
        self.retry_at = Some(now + wait);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let Some(late) = self.next.take_if(|next| now >= next.deadline) {
            out.push(Output::Close(late.socket));
            let message = "no session within the time".to_owned();
            out.push(Output::News(News::Trouble { code: "welcome_timeout", message }));
            self.attempt_failed(&late, Then::Later, now, out);
        }
        if let Some(silent) = self.current.as_ref().filter(|link| now >= link.dead_at()) {
            out.push(Output::Close(silent.socket));
            let message = format!("nothing was heard for {:?}", now.saturating_duration_since(silent.heard));
            out.push(Output::News(News::Trouble { code: "keepalive_missed", message }));
            self.lost("keepalive_missed", Then::Later, now, out);
        }
        if self.is_wanted && self.next.is_none() && self.retry_at.is_some_and(|at| now >= at) {
            self.open(None, now, out);
        }
    }
}

#[cfg(test)]
mod tests;
