//! One connection after the other: made, logged in to, watched, ended, waited for.

use std::time::Instant;

use chatbus_connector::ConnectionState;
use chatbus_runtime::Backoff;

use super::watchdog::{Watch, Watchdog};
use super::{News, Output, Session};
use crate::irc::limits::{CAPABILITY_TIMEOUT, CONNECT_TIMEOUT, LOGIN_TIMEOUT, RECONNECT_GRACE, STABLE_AFTER};
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
    since: Instant,
    pub(super) watchdog: Watchdog,
    /// Whether the answer to the capability request is still open.
    pub(super) asked_capabilities: bool,
    /// The server asked us to leave; at the latest then.
    leaving: Option<Instant>,
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
                Some(online.leaving.map_or(watchdog, |leaving| leaving.min(watchdog)))
            }
        }
    }
}

// === impl Session ===

impl Session {
    pub(super) fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online(_))
    }

    /// Whether the server asked us to leave, so that nothing new should be begun.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(&self.phase, Phase::Online(online) if online.leaving.is_some())
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
        let token = self.config.account.as_ref().map(|account| &account.token);
        out.push(Output::Write(Frame::login(&self.nick, token)));
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
        self.login_backoff.reset();
        if self.config.account.is_some() {
            out.push(Output::News(News::LoggedIn { user_id: None }));
        }
        out.push(Output::News(News::State(ConnectionState::Connected)));
        if std::mem::replace(&mut self.connected_before, true) {
            out.push(Output::News(News::Reconnected));
        }
        self.tick_joins(now, out);
    }

    /// The server asks us to connect anew. What is in flight may have its verdict first.
    pub(super) fn asked_to_reconnect(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let Phase::Online(online) = &mut self.phase {
            online.leaving.get_or_insert(now + RECONNECT_GRACE);
        }
        self.leave_when_idle(now, out);
    }

    /// Leaves a server that asked for it, as soon as nothing is in flight.
    pub(super) fn leave_when_idle(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Phase::Online(online) = &self.phase else { return };
        let Some(leaving) = online.leaving else { return };
        let idle = self.channels.all().all(|channel| !channel.lane.is_in_flight());
        if !idle && now < leaving {
            return;
        }
        let lasted = now >= online.since + STABLE_AFTER;
        out.push(Output::Close);
        self.lost("reconnect_requested", "the server asked us to reconnect", now, out);
        if lasted {
            // Nothing is wrong with the server, so there is nothing to wait for.
            self.phase = Phase::Waiting { until: now };
            self.tick_connection(now, out);
        }
    }

    /// The login was refused. Trying again soon would not make it right.
    pub(super) fn login_refused(&mut self, text: &str, now: Instant, out: &mut Vec<Output>) {
        out.push(Output::Close);
        self.down(now, out);
        let wait = self.login_backoff.next(&*self.entropy);
        self.phase = Phase::Waiting { until: now + wait };
        out.push(Output::News(News::Trouble { code: "login_refused", message: text.to_owned() }));
        out.push(Output::News(News::LoginRefused));
        out.push(Output::News(News::State(ConnectionState::Error)));
    }

    pub(super) fn closed(&mut self, code: &'static str, why: &str, now: Instant, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.lost(code, why, now, out);
        }
    }

    /// We left on purpose: nothing is wrong, but what is in flight stays without a verdict all the same.
    pub(super) fn stopped(&mut self, now: Instant, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.down(now, out);
        }
    }

    pub(super) fn tick_connection(&mut self, now: Instant, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Waiting { until } if now >= *until => {
                self.phase = Phase::Connecting { deadline: now + CONNECT_TIMEOUT };
                let state = if self.connected_before {
                    ConnectionState::Reconnecting
                } else {
                    ConnectionState::Connecting
                };
                out.push(Output::News(News::State(state)));
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
                Watch::Nothing => self.leave_when_idle(now, out),
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
    fn lost(&mut self, code: &'static str, why: &str, now: Instant, out: &mut Vec<Output>) {
        let lasted = matches!(&self.phase, Phase::Online(online) if now >= online.since + STABLE_AFTER);
        if lasted {
            self.backoff.reset();
        }
        self.down(now, out);
        let wait = Backoff::next(&mut self.backoff, &*self.entropy);
        self.phase = Phase::Waiting { until: now + wait };
        out.push(Output::News(News::Trouble { code, message: why.to_owned() }));
        let state =
            if self.connected_before { ConnectionState::Reconnecting } else { ConnectionState::Connecting };
        out.push(Output::News(News::State(state)));
    }

    fn down(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.is_online() {
            self.down_since = now;
        }
        self.phase = Phase::Waiting { until: now };
        for channel in self.channels.all_mut() {
            if channel.join.is_kept() && channel.join.is_joined() {
                out.push(Output::News(News::Left(std::sync::Arc::clone(&channel.name))));
            }
            channel.join.reset(now);
        }
        self.abandon_flights(out);
    }
}
