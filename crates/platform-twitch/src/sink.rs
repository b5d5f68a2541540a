//! Says things on Twitch: in channels by Helix or IRC, to one user by Helix.

mod by_helix;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use chatbus_connector::{Availability, Capabilities, Outbound, PermanentReason, Sink, Target, Verdict};
use chatbus_event::Clock;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::added::AddedChannels;
use crate::channel::{channel_name, user_id};
use crate::helix::chat::Room;
use crate::helix::progress::Tried;
use crate::irc::client::Request;
use crate::irc::outgoing::Ticket;
use crate::irc::session::{Say, Session};
use crate::irc::text;
use crate::normalize::PLATFORM;
pub(crate) use by_helix::ByHelix;
use by_helix::Chats;

/// Sends that wait for the connection's loop; each conversation has one, so this is many channels'.
pub(crate) const MAX_REQUESTS: usize = 256;

/// The session, shared by the loop that feeds it and the sink that asks it. There is none before the
/// connector runs.
pub(crate) type SharedSession = Arc<OnceLock<Arc<Mutex<Session>>>>;

/// The saying half.
///
/// What is to be said in a channel goes out by Helix where that can be used, and by IRC otherwise. After a try
/// by Helix IRC is used only when nothing can have been said by it: no connection was made, or the token is
/// refused. A limit is waited for, since IRC has the same one, and an error of Helix proves nothing.
#[derive(Debug)]
pub(crate) struct TwitchSink {
    pub(crate) by_helix: Option<ByHelix>,
    pub(crate) session: SharedSession,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) changes: watch::Receiver<u64>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) made_at: Instant,
    pub(crate) channels: Vec<Arc<str>>,
    pub(crate) added: watch::Receiver<AddedChannels>,
    pub(crate) can_speak: bool,
    pub(crate) tickets: AtomicU64,
}

// === impl TwitchSink ===

#[async_trait]
impl Sink for TwitchSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        let helix = self.by_helix.as_ref();
        let chat = self.can_speak || helix.is_some_and(ByHelix::can_chat);
        Capabilities { chat, direct: helix.is_some_and(ByHelix::has_token), data: false, remembers: None }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        channel_name(name)
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        self.channels.first().map(Arc::clone)
    }

    fn recipient(&self, id: &str) -> Option<Arc<str>> {
        user_id(id)
    }

    fn availability(&self, target: &Target) -> Availability {
        let now = self.clock.instant();
        let channel = match (target, &self.by_helix) {
            (Target::Channel(channel), _) => channel,
            (Target::User(_), Some(helix)) => return helix.direct_availability(now),
            (Target::User(_), None) => return Availability::Unserved,
        };
        let by_irc = self.irc_availability(channel, now);
        let Some(helix) = self.by_helix.as_ref().filter(|_| self.is_served(channel)) else { return by_irc };
        match (helix.chats(now), by_irc) {
            (Chats::Now, _) => not_before(helix.allowed_from(self.room(channel), now)),
            (_, Availability::Ready | Availability::NotBefore(_)) => by_irc,
            (Chats::NotBefore(at), _) => Availability::NotBefore(at),
            // Nobody but Helix can tell why it is not said.
            (Chats::Refused, Availability::Unserved) => Availability::Ready,
            (Chats::Refused | Chats::Never, _) => by_irc,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        match (&outbound.target, &self.by_helix) {
            (Target::Channel(channel), _) => {
                let channel = Arc::clone(channel);
                self.say(channel, outbound).await
            }
            (Target::User(to), Some(helix)) if helix.has_token() => helix.whisper(to, &outbound).await,
            (Target::User(_), _) => {
                let why = "a whisper needs TWITCH_CLIENT_ID and a token of the bot";
                refused(PermanentReason::Unsupported, "unsupported", why)
            }
        }
    }
}

impl TwitchSink {
    /// Says it in a channel, by the way that is right now.
    async fn say(&self, channel: Arc<str>, outbound: Outbound) -> Verdict {
        let now = self.clock.instant();
        let helix = self.by_helix.as_ref().filter(|_| self.is_served(&channel));
        let helix = helix.filter(|helix| match helix.chats(now) {
            Chats::Now => true,
            Chats::Refused => self.irc_availability(&channel, now) == Availability::Unserved,
            Chats::NotBefore(_) | Chats::Never => false,
        });
        let Some(helix) = helix else { return self.say_by_irc(channel, outbound).await };
        let verdict = match helix.say(self.room(&channel), &outbound).await {
            Tried::Done(verdict) => return verdict,
            Tried::NothingSaid(verdict) => verdict,
        };
        if !self.can_speak {
            return verdict;
        }
        if let Verdict::Reauth { code, message } | Verdict::Retry { code, message, .. } = &verdict {
            warn!(
                event = "twitch.helix.fallback",
                platform = PLATFORM,
                channel = &*channel,
                errorCode = code,
                reason = message,
                "not by Helix but by IRC"
            );
        }
        match self.say_by_irc(channel, outbound).await {
            Verdict::NotNow => verdict,
            by_irc => by_irc,
        }
    }

    async fn say_by_irc(&self, channel: Arc<str>, outbound: Outbound) -> Verdict {
        if !self.can_speak {
            return refused(PermanentReason::Unsupported, "read_only", "connected without an account");
        }
        let parts = text::messages(&outbound.text);
        if parts.is_empty() {
            return refused(PermanentReason::Rejected, "empty_text", "nothing of the text can be shown");
        }
        let (verdict, answer) = oneshot::channel();
        let say = Say {
            ticket: Ticket(self.tickets.fetch_add(1, Ordering::Relaxed)),
            delivery: outbound.delivery_id,
            channel,
            parts,
            reply_to: outbound.reply_to,
            deadline: outbound.deadline,
            fence: outbound.fence,
            may_have_been_sent: outbound.may_have_been_sent,
        };
        if self.requests.send(Request { say, verdict }).await.is_err() {
            return Verdict::NotNow;
        }
        // The loop answers everything it takes; when it ends with a request unanswered it may have
        // been written.
        answer.await.unwrap_or_else(|_| Verdict::Unverified {
            code: "stopped".to_owned(),
            message: "the connection was given up before the verdict".to_owned(),
        })
    }

    fn irc_availability(&self, channel: &Arc<str>, now: Instant) -> Availability {
        if !self.can_speak {
            return Availability::Unserved;
        }
        match self.session.get() {
            None if !self.is_served(channel) => Availability::Unserved,
            None => Availability::Disconnected { since: self.made_at },
            Some(session) => {
                let session = session.lock().unwrap_or_else(PoisonError::into_inner);
                session.availability(channel, now)
            }
        }
    }

    /// Whether a channel is one of ours.
    fn is_served(&self, channel: &Arc<str>) -> bool {
        self.channels.contains(channel) || self.added.borrow().contains(channel)
    }

    /// A channel, and what the account is there as far as IRC tells.
    fn room<'a>(&self, channel: &'a Arc<str>) -> Room<'a> {
        let session = self.session.get();
        let is_moderator = session.is_some_and(|session| {
            session.lock().unwrap_or_else(PoisonError::into_inner).is_moderator(channel)
        });
        Room { channel, is_moderator }
    }
}

fn not_before(at: Option<Instant>) -> Availability {
    at.map_or(Availability::Ready, Availability::NotBefore)
}

fn refused(reason: PermanentReason, code: &str, message: &str) -> Verdict {
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}
