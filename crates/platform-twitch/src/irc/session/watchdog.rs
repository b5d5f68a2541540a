//! Notices a connection that is dead without having been closed.

use std::time::{Duration, Instant};

use crate::irc::grammar::Message;
use crate::irc::limits::{PING_INTERVAL, PONG_TIMEOUT, UNANSWERED_PINGS};
use crate::irc::outgoing::Frame;

/// PINGs on one connection, and what came back.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// When anything was last read.
    heard: Instant,
    next_ping: Instant,
    asked: Option<Asked>,
    /// When the newest PING that was answered had been sent.
    answered: Option<Instant>,
    unanswered: u32,
    count: u64,
}

#[derive(Debug)]
struct Asked {
    token: String,
    at: Instant,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Nothing,
    Ping(Frame),
    Dead(&'static str),
}

const TOKEN: &str = "chatbus-";

// === impl Watchdog ===

impl Watchdog {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            next_ping: now + PING_INTERVAL,
            asked: None,
            answered: None,
            unanswered: 0,
            count: 0,
        }
    }

    /// When anything was last read.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard
    }

    /// Something was read.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A PONG was read. How long it took when it answers our PING; `None` when it answers nothing.
    /// Servers differ in what they put in it, so only a token of ours that is not the newest one is
    /// told apart.
    pub(super) fn pong(&mut self, message: &Message<'_>, now: Instant) -> Option<Duration> {
        let token = message.last_param().unwrap_or_default();
        let asked = self.asked.take_if(|asked| !token.starts_with(TOKEN) || token == asked.token)?;
        self.answered = Some(asked.at);
        self.unanswered = 0;
        Some(now.saturating_duration_since(asked.at))
    }

    /// Whether the server answered a PING that was sent at `moment` or later.
    pub(super) fn answered_since(&self, moment: Instant) -> bool {
        self.answered.is_some_and(|at| at >= moment)
    }

    /// Asks now, unless a PING that was sent at `moment` or later is under way.
    pub(super) fn probe(&mut self, moment: Instant, now: Instant) -> Option<Frame> {
        if self.asked.as_ref().is_some_and(|asked| asked.at >= moment) {
            return None;
        }
        Some(self.ask(now))
    }

    pub(super) fn tick(&mut self, now: Instant) -> Watch {
        if let Some(asked) = self.asked.take_if(|asked| now >= asked.at + PONG_TIMEOUT) {
            if self.heard <= asked.at {
                return Watch::Dead("nothing was heard after a PING");
            }
            self.unanswered += 1;
            if self.unanswered >= UNANSWERED_PINGS {
                return Watch::Dead("no PONG came back");
            }
        }
        if now >= self.next_ping { Watch::Ping(self.ask(now)) } else { Watch::Nothing }
    }

    pub(super) fn deadline(&self) -> Instant {
        match &self.asked {
            Some(asked) => self.next_ping.min(asked.at + PONG_TIMEOUT),
            None => self.next_ping,
        }
    }

    fn ask(&mut self, now: Instant) -> Frame {
        self.count += 1;
        let token = format!("{TOKEN}{}", self.count);
        let frame = Frame::ping(&token);
        self.asked = Some(Asked { token, at: now });
        self.next_ping = now + PING_INTERVAL;
        frame
    }
}
