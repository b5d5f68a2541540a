//! One connection's session: every decision, as values. No socket, no clock, no randomness.
//!
//! It is told what happened and when, and says what to do, in order. Once it has said
//! [`Output::Close`] it says nothing more.

mod bot;
pub(crate) mod limits;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_connector::Accepted;
use chatbus_event::Timestamp;
use uuid::Uuid;

use crate::codes::{Closing, ErrorCode};
use crate::egress::{Refused, Saying, TargetParser};
use crate::frames::{self, Durable, Feed, Filter, Problem, Request};
use crate::tokens::Token;
use bot::Bot;
use limits::{Count, Window};

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) mono: Instant,
    pub(crate) wall: Timestamp,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// The connection is open.
    Opened,
    /// A text frame.
    Text(Bytes),
    /// A ping of the client's, which the protocol's layer answers.
    Pinged,
    /// A pong.
    Ponged,
    /// Something that may not come.
    Violation(Closing),
    /// What became of a publication.
    Answered { number: u32, correlation_id: Uuid, accepted: Accepted },
    /// What became of a saying.
    Said { number: u32, correlation_id: String, delivery_id: String, taken: Result<(), Refused> },
    /// What the histories hold after the place asked for, in order; `None` when something is gone.
    Recalled(Option<Vec<Bytes>>),
    /// A subscription has begun.
    Subscribed { feed: Feed },
    /// A subscription did not begin, or is over; why.
    Unsubscribed { feed: Feed, why: Refused },
    /// What became of a place that was to be forgotten.
    Forgotten { number: u32, feed: Feed, forgotten: Result<(), String> },
    /// An event of a subscription, to be known by this cursor. Cursors grow.
    Event { feed: Feed, cursor: u64, body: Bytes },
    /// Whether there is no room for events because the client does not read.
    Crowded(bool),
    /// The token ended; why.
    Revoked(&'static str),
    /// Too much waits to be read by the client.
    Slow,
    /// Since when the client has taken nothing of what waits; `None` when it takes it, or nothing waits.
    Stalled(Option<Instant>),
    /// The instance stops.
    Draining { retry_after: f64 },
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    /// Write this text frame.
    Send(Bytes),
    /// Publish this; the answer comes with its number.
    Publish { number: u32, id: Option<String>, text: String, channel: Option<String> },
    /// Have this said; the answer comes with its number.
    Say { number: u32, saying: Box<Saying> },
    /// The client knows that the bus has this delivery, and may be told its outcome.
    Acked { delivery_id: String },
    /// Ask the histories what came after this.
    Recall { epoch: String, seq: u64 },
    /// Begin to listen, within [`ACK_WITHIN`].
    Subscribe { feed: Feed, filter: Filter, durable: Durable },
    /// Listen no more.
    Unsubscribe { feed: Feed },
    /// Forget this place, when the subscription to it has ended where it `ends`; the answer comes with its
    /// number.
    Forget { number: u32, feed: Feed, durable: Durable, ends: bool },
    /// The event with this cursor is done with, or is to come again.
    Settle { feed: Feed, cursor: u64, acked: bool },
    /// Send a ping.
    Ping,
    /// Close with this code and reason.
    Close { closing: Closing, reason: Cow<'static, str> },
}

/// What the session stands on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) token: Arc<Token>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) parse_target: TargetParser,
    /// The last frame of the user before this connection.
    pub(crate) seq: u64,
}

/// Who serves.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) instance: String,
    pub(crate) epoch: String,
}

/// A connection's session.
#[derive(Debug)]
pub(crate) struct Session {
    terms: Terms,
    next_ping: Instant,
    /// Pings since the last pong.
    missed: u8,
    sends: Window<SENDS>,
    others: Count,
    strikes: Window<STRIKES>,
    waiting: VecDeque<Waiting>,
    /// Of bots that subscribed.
    bot: Option<Box<Bot>>,
    stalled_since: Option<Instant>,
    next_number: u32,
    is_recalling: bool,
    is_closed: bool,
}

/// A publication that is not acknowledged.
#[derive(Debug)]
struct Waiting {
    number: u32,
    id: Option<String>,
    deadline: Instant,
}

/// Messages a connection may send in [`WITHIN`].
pub(crate) const SENDS: usize = 20;
/// Other frames it may send in it: pings, resumes, mistakes.
const OTHERS: u16 = 100;
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// So many `rate_limited` in [`STRIKES_WITHIN`] close the connection.
const STRIKES: usize = 3;
const STRIKES_WITHIN: Duration = Duration::from_secs(60);
/// How long an acknowledgement may take.
pub(crate) const ACK_WITHIN: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long although bytes wait for it does not read. Deliveries of a user
/// follow one another, so that not much more than one has to wait for it to be slow.
pub(crate) const STALLED: Duration = Duration::from_secs(10);
/// How often the server pings.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(25);
/// A connection that left so many pings unanswered is dead when the next one is due.
const MISSED: u8 = 2;

// === impl Session ===

impl Session {
    pub(crate) fn new(terms: Terms, now: Moment) -> Self {
        Self {
            terms,
            next_ping: now.mono + PING_EVERY,
            missed: 0,
            sends: Window::new(),
            others: Count::new(),
            strikes: Window::new(),
            waiting: VecDeque::new(),
            bot: None,
            stalled_since: None,
            next_number: 0,
            is_recalling: false,
            is_closed: false,
        }
    }

    /// Takes an input, and says what to do about it.
    pub(crate) fn on(&mut self, input: Input, now: Moment, out: &mut Vec<Output>) {
        if self.is_closed {
            return;
        }
        match input {
            Input::Opened => {
                let Identity { instance, epoch } = &*self.terms.identity;
                let user = &self.terms.token.user_id;
                out.push(Output::Send(frames::ready(user, instance, epoch, self.terms.seq, now.wall)));
            }
            Input::Text(frame) => self.frame(&frame, now, out),
            Input::Pinged => {
                if !self.others.take(OTHERS, WITHIN, now.mono) {
                    self.strike(None, now, out);
                }
            }
            Input::Ponged => self.missed = 0,
            Input::Violation(closing) => self.close(closing, closing.word(), out),
            Input::Answered { number, correlation_id, accepted } => {
                self.answered(number, &correlation_id, accepted, now, out);
            }
            Input::Said { number, correlation_id, delivery_id, taken } => {
                self.said(number, &correlation_id, delivery_id, taken, now, out);
            }
            Input::Recalled(frames) => self.recalled(frames, now, out),
            Input::Subscribed { feed } => self.subscribed(feed, now, out),
            Input::Unsubscribed { feed, why } => self.unsubscribed(feed, &why, now, out),
            Input::Forgotten { number, feed, forgotten } => {
                self.forgotten(number, feed, forgotten, now, out);
            }
            Input::Event { feed, cursor, body } => {
                self.event(feed, cursor, &body, now, out);
            }
            Input::Crowded(is_crowded) => self.crowded(is_crowded, now),
            Input::Revoked(why) => self.close(Closing::Unauthorized, why, out),
            Input::Slow => self.close(Closing::SlowConsumer, Closing::SlowConsumer.word(), out),
            Input::Stalled(since) => self.stalled_since = since,
            Input::Draining { retry_after } => {
                let why = "the instance stops; connect to another";
                let frame = frames::error(ErrorCode::Draining, why, None, Some(retry_after), now.wall);
                out.push(Output::Send(frame));
                self.close(Closing::Restart, format!("{{\"retry_after\":{retry_after:.1}}}"), out);
            }
            Input::Tick => self.tick(now, out),
        }
    }

    /// When [`Session::on`] wants a [`Input::Tick`] though nothing else happens.
    pub(crate) fn next_deadline(&self, now: Moment) -> Instant {
        let ack = self.waiting.front().map(|waiting| waiting.deadline);
        let expiry = self.terms.token.expires_at.map(|at| now.mono + at.since(now.wall));
        let stalled = self.stalled_since.map(|since| since + STALLED);
        [ack, expiry, stalled, self.bot_deadline()].into_iter().flatten().fold(self.next_ping, Instant::min)
    }

    fn tick(&mut self, now: Moment, out: &mut Vec<Output>) {
        if self.terms.token.is_expired(now.wall) {
            return self.close(Closing::Unauthorized, "token expired", out);
        }
        if self.stalled_since.is_some_and(|since| now.mono >= since + STALLED) {
            return self.close(Closing::SlowConsumer, Closing::SlowConsumer.word(), out);
        }
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.deadline <= now.mono) {
            let why = "the bus did not acknowledge it in time; it may still arrive";
            error(ErrorCode::BusUnavailable, why, waiting.id.as_deref(), now, out);
        }
        self.bot_tick(now, out);
        if !self.is_closed && now.mono >= self.next_ping {
            if self.missed >= MISSED {
                return self.close(Closing::PingTimeout, Closing::PingTimeout.word(), out);
            }
            self.missed += 1;
            self.next_ping = now.mono + PING_EVERY;
            out.push(Output::Ping);
        }
    }

    fn frame(&mut self, frame: &Bytes, now: Moment, out: &mut Vec<Output>) {
        let request = Request::parse(frame);
        let within = match &request {
            Ok(Request::Send { .. } | Request::Egress { .. }) => self.sends.take(WITHIN, now.mono),
            // There are no more of these than events.
            Ok(Request::EventAck { cursor, .. }) if self.event_acked(*cursor, out) => return,
            _ => self.others.take(OTHERS, WITHIN, now.mono),
        };
        match request {
            Ok(request) if !within => self.strike(request.id(), now, out),
            Err(problem) if !within => self.strike(problem.id.as_deref(), now, out),
            Err(Problem { code, message, id }) => error(code, &message, id.as_deref(), now, out),
            Ok(Request::Send { id, text, channel }) => self.send(id, text, channel, now, out),
            Ok(Request::Resume { id, epoch, seq }) => self.resume(id.as_deref(), epoch, seq, now, out),
            Ok(Request::Subscribe { id, feed, filter, durable }) => {
                self.subscribe(id, (feed, filter, durable), now, out);
            }
            Ok(Request::Unsubscribe { id, feed, durable }) => self.unsubscribe(id, feed, durable, now, out),
            Ok(Request::Egress { id, to, kind, text }) => self.say(id, &to, kind, text, now, out),
            Ok(Request::EventAck { id, .. }) if !self.terms.token.bot => {
                error(ErrorCode::UnsupportedType, "only bot tokens get events", id.as_deref(), now, out);
            }
            // Too late, or twice: its event was given back, or is done with.
            Ok(Request::EventAck { .. }) => {}
            Ok(Request::Ping { id }) => out.push(Output::Send(frames::pong(id.as_deref(), now.wall))),
        }
    }

    fn send(
        &mut self,
        id: Option<String>,
        text: String,
        channel: Option<String>,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        if !self.terms.token.allows_channel(channel.as_deref()) {
            let why = "the token does not cover this channel";
            return error(ErrorCode::Forbidden, why, id.as_deref(), now, out);
        }
        let number = self.await_answer(id.clone(), now);
        out.push(Output::Publish { number, id, text, channel });
    }

    fn await_answer(&mut self, id: Option<String>, now: Moment) -> u32 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        // Bounded by the rate and the time an acknowledgement may take.
        self.waiting.push_back(Waiting { number, id, deadline: now.mono + ACK_WITHIN });
        number
    }

    fn resume(&mut self, id: Option<&str>, epoch: String, seq: u64, now: Moment, out: &mut Vec<Output>) {
        if self.is_recalling {
            return error(ErrorCode::BadRequest, "a resume is under way already", id, now, out);
        }
        self.is_recalling = true;
        out.push(Output::Recall { epoch, seq });
    }

    fn recalled(&mut self, recalled: Option<Vec<Bytes>>, now: Moment, out: &mut Vec<Output>) {
        self.is_recalling = false;
        let count = recalled.as_ref().map(Vec::len);
        let resumed = frames::resumed(count, &self.terms.identity.epoch, self.terms.seq, now.wall);
        out.push(Output::Send(resumed));
        out.extend(recalled.into_iter().flatten().map(Output::Send));
    }

    fn answered(
        &mut self,
        number: u32,
        correlation_id: &Uuid,
        accepted: Accepted,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        // One that is gone was answered with `bus_unavailable`.
        let Some(at) = self.waiting.iter().position(|waiting| waiting.number == number) else { return };
        let Some(Waiting { id, .. }) = self.waiting.remove(at) else { return };
        let ack = |spooled| {
            let own = correlation_id.to_string();
            Output::Send(frames::ack(id.as_deref().unwrap_or(&own), &own, spooled, now.wall))
        };
        match accepted {
            Accepted::Bus | Accepted::Duplicate => out.push(ack(false)),
            Accepted::Spooled => out.push(ack(true)),
            Accepted::Refused(why) => error(ErrorCode::Refused, &why, id.as_deref(), now, out),
        }
    }

    fn strike(&mut self, id: Option<&str>, now: Moment, out: &mut Vec<Output>) {
        error(ErrorCode::RateLimited, "20 messages in 10 s, 100 other frames", id, now, out);
        let _ = self.strikes.take(STRIKES_WITHIN, now.mono);
        if self.strikes.is_full(STRIKES_WITHIN, now.mono) {
            self.close(Closing::RateLimited, Closing::RateLimited.word(), out);
        }
    }

    fn close(&mut self, closing: Closing, reason: impl Into<Cow<'static, str>>, out: &mut Vec<Output>) {
        self.is_closed = true;
        out.push(Output::Close { closing, reason: reason.into() });
    }
}

fn error(code: ErrorCode, message: &str, id: Option<&str>, now: Moment, out: &mut Vec<Output>) {
    out.push(Output::Send(frames::error(code, message, id, None, now.wall)));
}

// === impl Request ===

impl Request {
    fn id(&self) -> Option<&str> {
        let (Self::Send { id, .. }
        | Self::Resume { id, .. }
        | Self::Ping { id }
        | Self::Subscribe { id, .. }
        | Self::Unsubscribe { id, .. }
        | Self::Egress { id, .. }
        | Self::EventAck { id, .. }) = self;
        id.as_deref()
    }
}

#[cfg(test)]
mod tests;
