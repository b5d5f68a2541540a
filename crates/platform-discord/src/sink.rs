//! Says things on Discord.
//!
//! Every message carries a nonce made from its delivery, which Discord enforces: sent again within the next few
//! minutes it is said once, and the answer is that of the first (reference, Create Message). Nobody is mentioned,
//! whatever a text looks like.

mod body;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{Availability, Capabilities, Outbound, PermanentReason, Sink, Target, Verdict};
use lru::LruCache;
use tokio::sync::watch;
use tracing::warn;

use self::body::{Body, nonce};
use crate::PLATFORM;
use crate::channel::{channel_id, snowflake, user_id};
use crate::connector::Shared;
use crate::rest::{Answer, Call, DIRECT, SAY, Unanswered};
use crate::text;
use crate::verdict::{Judged, verdict};

/// "In the past few minutes", says the reference of the time that a nonce counts.
const REMEMBERS: Duration = Duration::from_secs(120);
/// Conversations with users that are remembered; another one costs a request.
const MAX_DIRECT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
/// Deliveries of which some parts went out; of another one they are sent again, under their nonces.
const MAX_PARTIAL: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// How long a text's next part waits for limits, all parts together: what went out cannot be taken back, and to
/// begin again counts as an attempt.
const PART_WAIT: Duration = Duration::from_secs(10);

/// The saying half.
#[derive(Debug)]
pub(crate) struct DiscordSink {
    shared: Arc<Shared>,
    /// The channel of the conversation with each user.
    direct: Mutex<LruCache<Arc<str>, Arc<str>>>,
    /// How many parts of a delivery went out, and the id of the first.
    partial: Mutex<LruCache<Arc<str>, Partial>>,
}

/// How many parts went out, and the id of the first.
type Partial = (usize, Option<String>);

// === impl DiscordSink ===

impl DiscordSink {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (direct, partial) = (LruCache::new(MAX_DIRECT), LruCache::new(MAX_PARTIAL));
        Self { shared, direct: Mutex::new(direct), partial: Mutex::new(partial) }
    }

    /// The channel of the conversation with a user.
    async fn conversation(&self, user: &Arc<str>, outbound: &Outbound) -> Result<Arc<str>, Verdict> {
        if let Some(known) = self.direct.lock().unwrap_or_else(PoisonError::into_inner).get(user) {
            return Ok(Arc::clone(known));
        }
        match self.judge(&self.ask(&Call::direct(user), outbound).await) {
            Verdict::Delivered { provider_message_id: Some(id) } => {
                let Some(channel) = channel_id(&id) else {
                    return Err(again("bad_answer", "the conversation has no id"));
                };
                let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
                direct.put(Arc::clone(user), Arc::clone(&channel));
                Ok(channel)
            }
            // Nothing was said yet, and a conversation that is opened twice is the same one.
            Verdict::Unverified { code, message } => Err(again(&code, &message)),
            other => Err(other),
        }
    }

    async fn ask(&self, call: &Call, outbound: &Outbound) -> Result<Answer, Unanswered> {
        self.shared.rest.ask(call, || outbound.fence.is_held(self.shared.instant())).await
    }

    fn judge(&self, answer: &Result<Answer, Unanswered>) -> Verdict {
        let Judged { verdict, is_unknown } = verdict(answer);
        if is_unknown {
            self.shared.count("unknownRefusals", 1);
        }
        if let Verdict::Reauth { .. } = &verdict {
            self.shared.halt(crate::gateway::life::Halt::Unauthorized, self.shared.now());
        }
        verdict
    }

    async fn say(
        &self,
        channel: &Arc<str>,
        part: &str,
        nonce: &str,
        outbound: &Outbound,
        is_first: bool,
    ) -> Verdict {
        let reply_to = outbound.reply_to.as_deref().filter(|id| is_first && snowflake(id).is_some());
        let body = Body::new(part, nonce, reply_to);
        let Ok(body) = serde_json::to_vec(&body) else {
            return refused(PermanentReason::Rejected, "bad_text", "the text cannot be written");
        };
        self.judge(&self.ask(&Call::say(channel, body.into()), outbound).await)
    }

    /// Waits for a limit that is over by then; for a longer one not at all.
    async fn wait_for_room(&self, channel: &str, by: Instant) {
        while let Some(until) = self.shared.rest.outlook(SAY, channel).filter(|until| *until <= by) {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// How long a part that was not begun has to wait, and why.
    fn hindrance(&self, channel: &str, outbound: &Outbound) -> Verdict {
        let now = self.shared.instant();
        if !outbound.fence.is_held(now) {
            return again("lease_lost", "another instance has the lease");
        }
        let until = self.shared.rest.outlook(SAY, channel).unwrap_or(now);
        let (code, message) = ("rate_limited".to_owned(), "a limit is in the way".to_owned());
        Verdict::Retry { after: until.saturating_duration_since(now), code, message }
    }
}

#[async_trait]
impl Sink for DiscordSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, direct: true, data: false, remembers: Some(REMEMBERS) }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        channel_id(name).or_else(|| self.shared.channel_named(name))
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        self.shared.config.channels.first().map(Arc::clone)
    }

    fn recipient(&self, id: &str) -> Option<Arc<str>> {
        user_id(id)
    }

    /// Which channels there are is for Discord to say, so none is unserved.
    fn availability(&self, target: &Target) -> Availability {
        if let Some(since) = self.shared.down_since() {
            return Availability::Disconnected { since };
        }
        let rest = &self.shared.rest;
        let until = match target {
            Target::Channel(channel) => rest.outlook(SAY, channel),
            Target::User(user) => {
                let known =
                    self.direct.lock().unwrap_or_else(PoisonError::into_inner).peek(user).map(Arc::clone);
                match known {
                    Some(channel) => rest.outlook(SAY, &channel),
                    None => rest.outlook(DIRECT, ""),
                }
            }
        };
        until.map_or(Availability::Ready, Availability::NotBefore)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let parts = text::messages(&outbound.text);
        if parts.is_empty() {
            return refused(PermanentReason::Rejected, "empty_text", "nothing of the text can be shown");
        }
        let channel = match &outbound.target {
            Target::Channel(channel) => Arc::clone(channel),
            Target::User(user) => match self.conversation(user, &outbound).await {
                Ok(channel) => channel,
                Err(verdict) => return verdict,
            },
        };
        let id = &outbound.delivery_id;
        let known = self.partial.lock().unwrap_or_else(PoisonError::into_inner).pop(id);
        let (done, mut first_id) = known.unwrap_or_default();
        let wait_by = (self.shared.instant() + PART_WAIT).min(outbound.deadline);
        for (at, part) in parts.iter().enumerate().skip(done) {
            if at > done {
                self.wait_for_room(&channel, wait_by).await;
            }
            let verdict = match self.say(&channel, part, &nonce(id, at), &outbound, at == 0).await {
                Verdict::Delivered { provider_message_id } => {
                    first_id = first_id.or(provider_message_id);
                    continue;
                }
                other if at == 0 => return other,
                // Something was begun by this call.
                Verdict::NotNow if at > done => self.hindrance(&channel, &outbound),
                other => other,
            };
            self.partial.lock().unwrap_or_else(PoisonError::into_inner).put(Arc::clone(id), (at, first_id));
            return in_part(verdict, at, parts.len());
        }
        self.shared.status.count(|snapshot| snapshot.counters.sent += 1);
        Verdict::Delivered { provider_message_id: first_id }
    }
}

/// The verdict of a later part, which says what went out before it.
fn in_part(verdict: Verdict, sent: usize, of: usize) -> Verdict {
    let with = |message: String| {
        warn!(
            event = "discord.split_failed",
            platform = PLATFORM,
            sent,
            of,
            "only some parts of a text went out"
        );
        format!("parts 1 to {sent} of {of} went out; then: {message}")
    };
    match verdict {
        Verdict::Retry { after, code, message } => Verdict::Retry { after, code, message: with(message) },
        Verdict::Reauth { code, message } => Verdict::Reauth { code, message: with(message) },
        Verdict::Permanent { reason, code, message } => {
            Verdict::Permanent { reason, code, message: with(message) }
        }
        Verdict::Unverified { code, message } => Verdict::Unverified { code, message: with(message) },
        silent @ (Verdict::Delivered { .. } | Verdict::Accepted | Verdict::NotNow) => silent,
    }
}

fn again(code: &str, message: &str) -> Verdict {
    let after = Duration::from_secs(1);
    Verdict::Retry { after, code: code.to_owned(), message: message.to_owned() }
}

fn refused(reason: PermanentReason, code: &str, message: &str) -> Verdict {
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}
