//! The connection to Twitch's IRC as a pure state machine, over all of its connections.
//!
//! It is fed what happened and when, and says what to do: connect, write, close, publish a line, give
//! a verdict. It outlives connections, because what Twitch counts does: joins and messages are limited
//! by account. It reads no clock, does no I/O, and holds nothing that is keyed by what the server says:
//! channels are the configured ones and those it is told to add.
//!
//! Which lines are events: a line that answers what the session itself asked for (its capabilities,
//! its login, its joins, its PINGs, its messages) is the session's, every other line is published. So
//! a line that nobody here knows is kept rather than lost.

mod answers;
mod channels;
mod connection;
mod former;
mod gap;
mod identity;
mod join;
mod lane;
mod leaving;
mod lines;
mod roles;
mod sending;
mod wanted;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::{Availability, ConnectionState, Credential, Share, Verdict};
use chatbus_event::Entropy;
use chatbus_runtime::{Backoff, Fence};

use super::budget::Budget;
use super::grammar::Message;
use super::limits::{
    JOIN_WINDOW, JOINS_PER_WINDOW, JOINS_PER_WINDOW_VERIFIED, PART_WINDOW, PARTS_PER_WINDOW, SEND_WINDOW,
    SENDS_PER_WINDOW, SENDS_PER_WINDOW_MODERATOR,
};
use super::outgoing::{Frame, Ticket};
use channels::{Channels, Place};
use connection::Phase;
use former::Former;
use gap::{CONNECTION_LOST, OpenGap};
use identity::{Identity, Voice};

pub use gap::Gap;

/// What a session is made from.
#[derive(Debug)]
pub struct SessionConfig {
    /// What is known of the account; without a token the session only reads.
    pub credential: Credential,
    /// Whether somebody keeps the account's tokens: then a token that was refused is not tried again, since
    /// another one comes or a person is asked.
    pub is_kept: bool,
    /// Whether there is an account that nobody has logged in with yet.
    pub awaits_login: bool,
    /// Channels to be in always, as [`channel_name`](crate::channel_name) gives them.
    pub channels: Vec<Arc<str>>,
    /// Whether messages are paced. Joins always are.
    pub paced: bool,
    /// Whether Twitch has verified the account as a bot, which may then join faster.
    pub is_verified: bool,
    /// What is ours of what the account may send.
    pub share: Share,
    /// The first wait before a reconnect.
    pub reconnect_initial: Duration,
    /// The longest one.
    pub reconnect_max: Duration,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The transport is there.
    Connected,
    /// The transport could not be made; or it ended. Why, for people.
    Closed(&'a str),
    /// We stop: the transport was ended by us, and there will be no other.
    Stopped,
    /// A line was read.
    Line(&'a Message<'a>),
    /// Bytes were read that are no message.
    Noise,
    /// The former connection, see [`Output::StepDown`], read a line.
    FormerLine(&'a Message<'a>),
    /// The former connection ended.
    FormerClosed,
    /// This is known of the account from now on.
    Credential(Credential),
    /// These channels are to be joined beside the configured ones, and no others. As many as it is given:
    /// whoever makes the list bounds it.
    Added(&'a [Added]),
    /// Something is to be said.
    Say(Say),
    /// All bytes of a frame with this ticket are with the kernel.
    Written(Ticket),
    /// A frame with this ticket was not written, and no byte of it will be.
    Withheld(Ticket),
    /// Time has passed.
    Tick,
}

/// A channel to be in beside the configured ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// As [`channel_name`](crate::channel_name) gives it.
    pub name: Arc<str>,
    /// Which call added it, from 1. With a higher one than before it was taken out and added again, and is
    /// tried again if it was refused.
    pub number: u64,
}

/// Something to be said in one channel, in parts that each fit.
#[derive(Debug, Clone)]
pub struct Say {
    /// Names this attempt.
    pub ticket: Ticket,
    /// Names the delivery through all of its attempts.
    pub delivery: Arc<str>,
    /// Where.
    pub channel: Arc<str>,
    /// What, as [`text::messages`](super::text::messages) gives it; not empty.
    pub parts: Vec<String>,
    /// The message that this answers.
    pub reply_to: Option<Arc<str>>,
    /// When it is given up.
    pub deadline: Instant,
    /// Whether an earlier attempt may have gone out.
    pub may_have_been_sent: bool,
    /// Once this is lost nothing more of it may be written.
    pub fence: Fence,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Make a transport. Answered with `Connected` or `Closed`.
    Connect,
    /// Write this, after all that was to be written before.
    Write(Frame),
    /// End the transport, or the making of it. Not answered.
    Close,
    /// The transport stays, as the former one, beside the one that is made next. There is one at most.
    StepDown,
    /// Write this to the former transport.
    WriteFormer(Frame),
    /// End the former transport. Not answered.
    CloseFormer,
    /// The platform refused the token of this generation.
    TokenRefused(u64),
    /// What was said in a stretch of time was not read.
    Gap(Gap),
    /// The line that was just fed in is an event.
    Publish,
    /// The line that was just fed in is the USERSTATE for this message of ours, which is an event.
    PublishOwn(Own),
    /// What became of a [`Say`].
    Verdict(Ticket, Verdict),
    /// Something that operators see.
    News(News),
}

/// A message of our own that Twitch took. Twitch does not send it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Names the delivery.
    pub delivery: Arc<str>,
    /// Which part of it, from 0.
    pub part: usize,
    /// Where.
    pub channel: Arc<str>,
    /// What viewers read.
    pub text: String,
    /// Whether it was an action.
    pub is_action: bool,
    /// The platform's id, where it told one.
    pub id: Option<String>,
}

/// A change that operators see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The connection's state.
    State(ConnectionState),
    /// A connection was made again.
    Reconnected,
    /// The account logged in, or is told its user id.
    LoggedIn {
        /// The account's id, once it is known.
        user_id: Option<String>,
    },
    /// We are in a channel, and are to be.
    Joined(Arc<str>),
    /// We are no longer in a channel, or no longer to be.
    Left(Arc<str>),
    /// A channel will not have us.
    Refused {
        /// The channel.
        channel: Arc<str>,
        /// The platform's code, or `no_answer`.
        code: String,
    },
    /// The server answered a PING.
    Pong(Duration),
    /// Something went wrong.
    Trouble {
        /// A stable code.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// The account said too much, and is not heard before then.
    TooFast(Instant),
    /// What may be said has changed: a role, a room's mode.
    Allowance,
    /// The platform refused a message with a code that no row of the table has.
    UnknownRefusal(String),
}

// === impl News ===

impl News {
    /// Whether it is about something that was said, and not about the connection.
    pub fn is_of_speaking(&self) -> bool {
        matches!(self, Self::UnknownRefusal(_))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    identity: Identity,
    entropy: Arc<dyn Entropy>,
    phase: Phase,
    former: Option<Former>,
    gap: Option<OpenGap>,
    /// Since when nothing can be said, while nothing can be.
    silent_since: Instant,
    connected_before: bool,
    backoff: Backoff,
    joins: Budget,
    parts: Budget,
    sends: Budget,
    sends_as_moderator: Budget,
    channels: Channels,
    tickets: BTreeMap<Ticket, Place>,
}

// === impl Session ===

impl Session {
    /// A session that will connect at its first tick.
    pub fn new(config: SessionConfig, entropy: Arc<dyn Entropy>, now: Instant) -> Self {
        let identity =
            Identity::new(config.credential.clone(), config.is_kept, config.awaits_login, &*entropy);
        let joins = if config.is_verified { JOINS_PER_WINDOW_VERIFIED } else { JOINS_PER_WINDOW };
        Self {
            identity,
            entropy,
            phase: Phase::Waiting { until: now },
            former: None,
            gap: None,
            silent_since: now,
            connected_before: false,
            backoff: Backoff::new(config.reconnect_initial, config.reconnect_max),
            joins: Budget::new(joins, JOIN_WINDOW),
            parts: Budget::new(PARTS_PER_WINDOW, PART_WINDOW),
            sends: Budget::new(SENDS_PER_WINDOW, SEND_WINDOW),
            sends_as_moderator: Budget::new(SENDS_PER_WINDOW_MODERATOR, SEND_WINDOW),
            channels: Channels::new(&config.channels, now),
            tickets: BTreeMap::new(),
            config,
        }
    }

    /// Takes in what happened, and appends what there is to do.
    pub fn on(&mut self, input: Input<'_>, now: Instant, out: &mut Vec<Output>) {
        let begin = out.len();
        let is_list = matches!(input, Input::Added(_));
        match input {
            Input::Connected => self.connected(now, out),
            Input::Closed(why) => self.closed(CONNECTION_LOST, why, now, out),
            Input::FormerLine(message) => self.former_line(message, now, out),
            Input::FormerClosed => self.former_lost(CONNECTION_LOST, now, out),
            Input::Credential(credential) => self.told(credential, now, out),
            Input::Stopped => self.stopped(now, out),
            Input::Line(message) => self.line(message, now, out),
            Input::Noise => self.heard(now),
            Input::Added(added) => self.added(added, now, out),
            Input::Say(say) => self.say(say, now, out),
            Input::Written(ticket) => self.written(ticket, now),
            Input::Withheld(ticket) => self.withheld(ticket, now, out),
            Input::Tick => self.tick(now, out),
        }
        if self.former.is_some() || self.gap.is_some() {
            self.hand_on(begin, is_list, now, out);
        }
        if self.is_leaving() {
            self.leave_when_idle(now, out);
        }
        self.tend_unwanted(now, out);
    }

    /// When the next [`Input::Tick`] is due, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        // A connection that the server wants ended is used for no channel any more.
        let may_ask = self.is_online() && !self.is_leaving();
        let joins = self.joins.free_at().filter(|_| may_ask && self.channels.any_to_join());
        let parts = self.parts.free_at().filter(|_| may_ask && self.channels.to_part().is_some());
        let former = self.former.as_ref().map(Former::deadline);
        let others = [self.phase.deadline(), former, self.identity.deadline(), joins, parts];
        others.into_iter().chain([self.channels.deadline()]).flatten().min()
    }

    /// Whether something could be said in this channel now.
    pub fn availability(&self, channel: &str, now: Instant) -> Availability {
        let place = self.channels.find(channel).filter(|_| self.identity.voice() != Voice::ReadOnly);
        let Some(state) = place.and_then(|place| self.channels.get(place)) else {
            return Availability::Unserved;
        };
        if !state.join.is_kept() || state.join.refusal().is_some() {
            return Availability::Unserved;
        }
        if !self.can_speak() {
            return Availability::Disconnected { since: self.silent_since };
        }
        let Some(open_from) = state.join.open_from() else {
            return Availability::Disconnected { since: state.join.out_since() };
        };
        let next = Some(open_from).filter(|open| *open > now).max(self.allowed_from(&state.lane, now));
        next.map_or(Availability::Ready, Availability::NotBefore)
    }

    /// The name we are known by on the newest connection.
    pub fn nick(&self) -> &str {
        self.identity.nick()
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.identity.tick(now);
        self.tick_connection(now, out);
        self.tick_former(now, out);
        self.follow_account(now);
        self.tick_joins(now, out);
        self.tick_sending(now, out);
    }
}

#[cfg(test)]
mod tests;
