//! One connection after the other: made, logged in to, watched, ended, waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use chatbus_connector::ConnectionState;
use chatbus_runtime::Backoff;

use super::identity::{Refusal, Voice};
use super::leaving::Leaving;
use super::watchdog::{Watch, Watchdog};
use super::{News, Output, Session};
use crate::irc::limits::{CAPABILITY_TIMEOUT, CONNECT_TIMEOUT, LOGIN_TIMEOUT, STABLE_AFTER};
use crate::irc::outgoing::Frame;

/// Where the connection stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not connected; the next try is then.
    Waiting { until: Instant },
    /// The transport is being made.
    Connecting { deadline: Instant },
    /// The login was sent.
    LoggingIn(Login),
    /// Logged in.
    Online(Online),
}

#[derive(Debug)]
pub(super) struct Login {
    deadline: Instant,
    pub(super) is_welcome: bool,
    /// Whether the answer to the capability request is open.
    pub(super) asked_capabilities: bool,
}

#[derive(Debug)]
pub(super) struct Online {
    pub(super) since: Instant,
    pub(super) watchdog: Watchdog,
    /// Whether the answer to the capability request is still open.
    pub(super) asked_capabilities: bool,
    /// We are to leave.
    pub(super) leaving: Option<Leaving>,
}

// === impl Phase ===

impl Phase {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Connecting { deadline } => Some(*deadline),
            Self::LoggingIn(login) => Some(login.deadline),
            Self::Online(online) => {
                let watchdog = online.watchdog.deadline();
                Some(online.leaving.map_or(watchdog, |leaving| leaving.at_latest.min(watchdog)))
            }
        }
    }
}

// === impl Session ===

impl Session {
    pub(super) fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online(_))
    }

    /// Whether something can be said on the newest connection, as far as the account goes.
    pub(super) fn can_speak(&self) -> bool {
        // What lacks a scope is refused when it is tried, with the reason.
        let is_able = matches!(self.identity.voice(), Voice::Able | Voice::MissingScope);
        self.is_online() && !self.identity.is_guest() && is_able
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let Phase::Online(online) = &mut self.phase {
            online.watchdog.heard(now);
        }
    }

    pub(super) fn connected(&mut self, now: Instant, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return;
        }
        let token = self.identity.assume();
        out.push(Output::Write(Frame::login(self.identity.nick(), token.as_ref())));
        let deadline = now + LOGIN_TIMEOUT;
        self.phase = Phase::LoggingIn(Login { deadline, is_welcome: false, asked_capabilities: true });
    }

    /// The server welcomed us, or answered the capability request.
    pub(super) fn advance_login(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Phase::LoggingIn(login) = &mut self.phase else { return };
        if !login.is_welcome {
            return;
        }
        if login.asked_capabilities {
            login.deadline = now + CAPABILITY_TIMEOUT;
        } else {
            self.go_online(now, out);
        }
    }

    fn go_online(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Phase::LoggingIn(login) = &self.phase else { return };
        let asked_capabilities = login.asked_capabilities;
        if asked_capabilities {
            let message = "no answer to the capability request; going on without tags".to_owned();
            out.push(Output::News(News::Trouble { code: "capabilities_unanswered", message }));
        }
        let watchdog = Watchdog::new(now);
        self.phase = Phase::Online(Online { since: now, watchdog, asked_capabilities, leaving: None });
        self.identity.accepted();
        if !self.identity.is_guest() {
            out.push(Output::News(News::LoggedIn { user_id: None }));
        }
        out.push(Output::News(News::State(ConnectionState::Connected)));
        if std::mem::replace(&mut self.connected_before, true) {
            out.push(Output::News(News::Reconnected));
        }
        self.follow_account(now);
        self.tick_joins(now, out);
    }

    /// The login was refused. Trying again soon would not make it right.
    pub(super) fn login_refused(&mut self, text: &str, now: Instant, out: &mut Vec<Output>) {
        out.push(Output::Close);
        self.down(now, out);
        let Refusal { generation, wait } = self.identity.refused(&*self.entropy, now);
        self.phase = Phase::Waiting { until: now + wait };
        out.push(Output::News(News::Trouble { code: "login_refused", message: text.to_owned() }));
        if let Some(generation) = generation {
            out.push(Output::TokenRefused(generation));
        }
        if !wait.is_zero() {
            out.push(Output::News(News::State(ConnectionState::Error)));
        }
        self.tick_connection(now, out);
    }

    pub(super) fn closed(&mut self, code: &'static str, why: &str, now: Instant, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.lost(code, why, now, out);
        }
    }

    /// We left on purpose: nothing is wrong, but what is in flight stays without a verdict all the same.
    pub(super) fn stopped(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let Some(former) = self.former.take() {
            former.ended(out);
        }
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.down(now, out);
        }
    }

    pub(super) fn tick_connection(&mut self, now: Instant, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Waiting { until } if now >= *until => {
                self.phase = Phase::Connecting { deadline: now + CONNECT_TIMEOUT };
                self.tell_that_we_connect(out);
                out.push(Output::Connect);
            }
            Phase::Connecting { deadline } if now >= *deadline => {
                out.push(Output::Close);
                self.lost("connect_timeout", "the server could not be reached in time", now, out);
            }
            Phase::LoggingIn(login) if now >= login.deadline => {
                if login.is_welcome {
                    self.go_online(now, out);
                } else {
                    out.push(Output::Close);
                    self.lost("login_timeout", "the server did not answer the login", now, out);
                }
            }
            Phase::Online(online) => match online.watchdog.tick(now) {
                Watch::Nothing => {}
                Watch::Ping(frame) => out.push(Output::Write(frame)),
                Watch::Dead(why) => {
                    out.push(Output::Close);
                    self.lost("connection_dead", why, now, out);
                }
            },
            _ => {}
        }
    }

    /// The connection is gone: what was in flight stays without a verdict, and the next try waits.
    pub(super) fn lost(&mut self, code: &'static str, why: &str, now: Instant, out: &mut Vec<Output>) {
        if let Phase::Online(online) = &self.phase {
            if now >= online.since + STABLE_AFTER {
                self.backoff.reset();
            }
            let heard_at = online.watchdog.heard_at();
            self.open_gap(code, heard_at, self.read_channels());
        }
        self.down(now, out);
        let wait = Backoff::next(&mut self.backoff, &*self.entropy);
        self.phase = Phase::Waiting { until: now + wait };
        out.push(Output::News(News::Trouble { code, message: why.to_owned() }));
        self.tell_that_we_connect(out);
    }

    /// Unless the former connection still reads.
    fn tell_that_we_connect(&self, out: &mut Vec<Output>) {
        if self.former.is_none() {
            let state = if self.connected_before {
                ConnectionState::Reconnecting
            } else {
                ConnectionState::Connecting
            };
            out.push(Output::News(News::State(state)));
        }
    }

    fn down(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.note_silence(now);
        self.phase = Phase::Waiting { until: now };
        for channel in self.channels.all_mut() {
            if channel.join.is_kept() && channel.join.is_joined() {
                out.push(Output::News(News::Left(Arc::clone(&channel.name))));
            }
            channel.join.reset(now);
        }
        self.abandon_flights(out);
    }

    /// From now on nothing can be said, if it could.
    pub(super) fn note_silence(&mut self, now: Instant) {
        if self.can_speak() {
            self.silent_since = now;
        }
    }

    /// The channels that are wanted and that the newest connection is in.
    pub(super) fn read_channels(&self) -> BTreeSet<Arc<str>> {
        let read = self.channels.all().filter(|channel| channel.join.is_kept() && channel.join.is_joined());
        read.map(|channel| Arc::clone(&channel.name)).collect()
    }
}
