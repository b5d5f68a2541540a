//! Says things on Twitch: in channels by Helix or IRC, to one user by Helix.

mod by_helix;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{
    Account, Availability, Capabilities, CredentialState, Outbound, PermanentReason, Sink, Target, Verdict,
};
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

/// Twice as long as a platform may be away before what is to be said goes to another instance.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);

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
    pub(crate) account: Account,
    pub(crate) awaits_login: bool,
    pub(crate) tickets: AtomicU64,
}

// === impl TwitchSink ===

impl TwitchSink {
    /// Whether there is an account, able to speak now or not.
    fn can_speak(&self) -> bool {
        self.awaits_login || self.account.changes().borrow().state != CredentialState::Missing
    }
}

#[async_trait]
impl Sink for TwitchSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        let helix = self.by_helix.as_ref();
        let chat = self.can_speak() || helix.is_some_and(ByHelix::can_chat);
        Capabilities { chat, direct: helix.is_some_and(ByHelix::has_token), data: false, remembers: None }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        channel_name(name)
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        self.channels.first().map(Arc::clone)
    }

    /// Nobody while there are no whispers.
    fn recipient(&self, id: &str) -> Option<Arc<str>> {
        self.by_helix.as_ref().filter(|helix| helix.has_token()).and_then(|_| user_id(id))
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
            (_, Availability::Ready) => not_before(self.paced_from(channel, now)),
            (_, Availability::NotBefore(at)) => not_before(self.paced_from(channel, now).max(Some(at))),
            (Chats::NotBefore(at), _) => Availability::NotBefore(at),
            (Chats::Refused, _) if is_given_up(by_irc, now) => Availability::Ready,
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
            Chats::Refused => is_given_up(self.irc_availability(&channel, now), now),
            Chats::NotBefore(_) | Chats::Never => false,
        });
        let Some(helix) = helix else {
            if self.paced_from(&channel, now).is_some() {
                return Verdict::NotNow;
            }
            return self.say_by_irc(channel, outbound).await;
        };
        let verdict = match helix.say(self.room(&channel), &outbound).await {
            Tried::Done(verdict) => return verdict,
            Tried::NothingSaid(verdict) => verdict,
        };
        if self.irc_availability(&channel, self.clock.instant()) != Availability::Ready {
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
        if !self.can_speak() {
            return refused(PermanentReason::Unsupported, "read_only", "connected without an account");
        }
        let parts = text::messages(&outbound.text);
        if parts.is_empty() {
            return refused(PermanentReason::Rejected, "empty_text", "nothing of the text can be shown");
        }
        if self.session.get().is_none() {
            return Verdict::NotNow;
        }
        let chat = self.by_helix.as_ref().and_then(ByHelix::chat);
        let counted = chat.map(|chat| (chat, Arc::clone(&channel), parts.clone()));
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
        let verdict = answer.await.unwrap_or_else(|_| Verdict::Unverified {
            code: "stopped".to_owned(),
            message: "the connection was given up before the verdict".to_owned(),
        });
        if let Some((chat, channel, parts)) = counted.filter(|_| verdict != Verdict::NotNow) {
            chat.said_elsewhere(self.room(&channel), parts);
        }
        verdict
    }

    /// From when on the limits allow something in a channel by whichever way; `None` is now. Where IRC alone
    /// speaks its session counts.
    fn paced_from(&self, channel: &Arc<str>, now: Instant) -> Option<Instant> {
        let chat = self.by_helix.as_ref()?.chat()?;
        chat.paced_from(self.room(channel), now)
    }

    fn irc_availability(&self, channel: &Arc<str>, now: Instant) -> Availability {
        if !self.can_speak() {
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

/// Whether nobody but Helix can tell why it is not said: IRC does not serve the channel, or has been away for
/// long enough that another instance could have said it.
fn is_given_up(by_irc: Availability, now: Instant) -> bool {
    match by_irc {
        Availability::Unserved => true,
        Availability::Disconnected { since } => now >= since + GIVEN_UP_AFTER,
        Availability::Ready | Availability::NotBefore(_) => false,
    }
}

fn not_before(at: Option<Instant>) -> Availability {
    at.map_or(Availability::Ready, Availability::NotBefore)
}

fn refused(reason: PermanentReason, code: &str, message: &str) -> Verdict {
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}
