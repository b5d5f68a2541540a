//! Says things in Twitch chat.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use chatbus_connector::{
    Account, Availability, Capabilities, CredentialState, Outbound, PermanentReason, Sink, Target, Verdict,
};
use chatbus_event::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::added::AddedChannels;
use crate::channel::{channel_name, user_id};
use crate::irc::client::Request;
use crate::irc::outgoing::Ticket;
use crate::irc::session::{Say, Session};
use crate::irc::text;
use crate::normalize::PLATFORM;

/// Sends that wait for the connection's loop; each conversation has one, so this is many channels'.
pub(crate) const MAX_REQUESTS: usize = 256;

/// The session, shared by the loop that feeds it and the sink that asks it. There is none before the
/// connector runs.
pub(crate) type SharedSession = Arc<OnceLock<Arc<Mutex<Session>>>>;

/// The saying half. Whispers cannot be sent over IRC.
#[derive(Debug)]
pub(crate) struct TwitchSink {
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
        Capabilities { chat: self.can_speak(), direct: false, data: false, remembers: None }
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
        let Target::Channel(channel) = target else { return Availability::Unserved };
        if !self.can_speak() {
            return Availability::Unserved;
        }
        match self.session.get() {
            None if !self.channels.contains(channel) && !self.added.borrow().contains(channel) => {
                Availability::Unserved
            }
            None => Availability::Disconnected { since: self.made_at },
            Some(session) => {
                let session = session.lock().unwrap_or_else(PoisonError::into_inner);
                session.availability(channel, self.clock.instant())
            }
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let Target::Channel(channel) = outbound.target else {
            return refused(PermanentReason::Unsupported, "unsupported", "whispers cannot be sent over IRC");
        };
        if !self.can_speak() {
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
}

fn refused(reason: PermanentReason, code: &str, message: &str) -> Verdict {
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}
