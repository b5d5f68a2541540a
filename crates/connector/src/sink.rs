//! The saying half of a platform.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_event::Event;
use chatbus_runtime::Fence;
use tokio::sync::watch;

/// Says things on a platform, and knows what the platform made of them.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The platform's name, such as `twitch`.
    fn platform(&self) -> &'static str;

    /// What can be asked of it.
    fn capabilities(&self) -> Capabilities;

    /// The platform's own form of a channel name, or `None` when no channel of it can be called so.
    fn channel(&self, name: &str) -> Option<Arc<str>>;

    /// The first configured channel: where a public text goes that names none.
    fn default_channel(&self) -> Option<Arc<str>>;

    /// The platform's own form of a user id, its own `platform:` prefix stripped, or `None` when it
    /// is another platform's, empty or malformed, or nothing can be said to one user only.
    fn recipient(&self, user_id: &str) -> Option<Arc<str>>;

    /// Whether `send` to this target could begin now. Cheap, never blocks.
    fn availability(&self, target: &Target) -> Availability;

    /// Changes whenever an answer of [`Sink::availability`] may have become better.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Says it, and waits for the platform's verdict. One call for one target at a time. Splits what
    /// is too long; the parts are one delivery. Never changes the audience: what it cannot do is
    /// [`Verdict::Permanent`] with [`PermanentReason::Unsupported`].
    async fn send(&self, outbound: Outbound) -> Verdict;
}

/// What a sink can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Say something in a channel.
    pub chat: bool,
    /// Say something to one user only.
    pub direct: bool,
    /// Hand on events as data; only connections of our own users can be.
    pub data: bool,
    /// How long the platform remembers the delivery ids it was given: sent again within that time, a
    /// delivery is said once, and the answer is that of the first. Then what has no verdict is sent again
    /// until it has one. `None` where the platform has no such key.
    pub remembers: Option<Duration>,
}

/// Who hears it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Everyone in a channel, in the platform's form.
    Channel(Arc<str>),
    /// One user, by the platform's raw id.
    User(Arc<str>),
}

/// Where something is said. Order is kept within a target, and one thing is in flight in it.
pub type Target = Audience;

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Names the delivery through every retry; platforms with an idempotency key get it.
    pub delivery_id: Arc<str>,
    /// Where.
    pub target: Target,
    /// What.
    pub text: String,
    /// The platform's id of the message this answers, where the platform can show that.
    pub reply_to: Option<Arc<str>>,
    /// When it is given up.
    pub deadline: Instant,
    /// Whether an earlier attempt may have gone out, so that a refusal as a duplicate is success.
    pub may_have_been_sent: bool,
    /// Looked at as the last step before bytes go out: once it is lost another instance may say this,
    /// and a sink that has not begun answers [`Verdict::NotNow`].
    pub fence: Fence,
    /// The event itself; for sinks that take [`Capabilities::data`]. One of kind [`EgressKind::Event`](chatbus_event::EgressKind::Event) may
    /// have no text, and its payload is all.
    pub event: Option<Arc<Event>>,
}

/// Whether a send could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Now.
    Ready,
    /// A limit forbids it until then.
    NotBefore(Instant),
    /// No connection since then, or the channel is not joined yet; it may come back.
    Disconnected {
        /// Since when.
        since: Instant,
    },
    /// Never on this instance: not configured, read only, or the platform is off.
    Unserved,
}

/// What became of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The platform said yes.
    Delivered {
        /// The platform's id of what was said.
        provider_message_id: Option<String>,
    },
    /// Handed over; the platform gives no verdict.
    Accepted,
    /// Not said, because of something that passes. Counts as an attempt.
    Retry {
        /// Not before this long from now.
        after: Duration,
        /// The platform's code.
        code: String,
        /// For people.
        message: String,
    },
    /// Not begun: no connection, or no budget. Counts as nothing.
    NotNow,
    /// The account must log in again first.
    Reauth {
        /// The platform's code.
        code: String,
        /// For people.
        message: String,
    },
    /// Refused for good.
    Permanent {
        /// Which reason the dead letter gives.
        reason: PermanentReason,
        /// The platform's code.
        code: String,
        /// For people.
        message: String,
    },
    /// Bytes went to a connection that ended before its verdict. Never resent by itself, but where
    /// sending again is how to learn it: see [`Capabilities::remembers`].
    Unverified {
        /// The platform's code.
        code: String,
        /// For people: with several parts, which of them went out.
        message: String,
    },
}

/// Why something can never be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PermanentReason {
    /// The platform refused it.
    Rejected,
    /// The platform cannot do what was asked.
    Unsupported,
    /// There is no such recipient.
    NoRecipient,
}
