//! Says things on Discord.
//!
//! Every message carries a nonce made from its delivery, which Discord enforces: sent again within the next few
//! minutes it is said once, and the answer is that of the first (reference, Create Message). Nobody is mentioned,
//! whatever a text looks like.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{Availability, Capabilities, Outbound, PermanentReason, Sink, Target, Verdict};
use chatbus_event::sha256_hex;
use lru::LruCache;
use serde::Serialize;
use tokio::sync::watch;
use tracing::warn;

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
/// A nonce's longest form.
const NONCE_CHARS: usize = 25;

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

/// A message as Discord takes it.
#[derive(Serialize)]
struct Body<'a> {
    content: &'a str,
    nonce: &'a str,
    enforce_nonce: bool,
    allowed_mentions: Mentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_reference: Option<Reference<'a>>,
}

/// Nobody.
#[derive(Serialize)]
struct Mentions {
    parse: [&'static str; 0],
    replied_user: bool,
}

#[derive(Serialize)]
struct Reference<'a> {
    message_id: &'a str,
    fail_if_not_exists: bool,
}

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
        let body = Body {
            content: part,
            nonce,
            enforce_nonce: true,
            allowed_mentions: Mentions { parse: [], replied_user: false },
            message_reference: reply_to.map(|message_id| Reference { message_id, fail_if_not_exists: false }),
        };
        let Ok(body) = serde_json::to_vec(&body) else {
            return refused(PermanentReason::Rejected, "bad_text", "the text cannot be written");
        };
        self.judge(&self.ask(&Call::say(channel, body.into()), outbound).await)
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
        for (at, part) in parts.iter().enumerate().skip(done) {
            match self.say(&channel, part, &nonce(id, at), &outbound, at == 0).await {
                Verdict::Delivered { provider_message_id } => first_id = first_id.or(provider_message_id),
                other if at == 0 => return other,
                other => {
                    warn!(
                        event = "discord.split_failed",
                        platform = PLATFORM,
                        sent = at,
                        of = parts.len(),
                        "only some parts of a text went out"
                    );
                    let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
                    partial.put(Arc::clone(id), (at, first_id));
                    return in_part(other, at, parts.len());
                }
            }
        }
        self.shared.status.count(|snapshot| snapshot.counters.sent += 1);
        Verdict::Delivered { provider_message_id: first_id }
    }
}

/// The nonce of a part of a delivery.
fn nonce(delivery_id: &str, part: usize) -> String {
    let hash = sha256_hex(format!("{delivery_id}/{part}").as_bytes());
    hash.get(..NONCE_CHARS).unwrap_or_default().to_owned()
}

/// The verdict of a later part, which says what went out before it. What was not begun has been begun now.
fn in_part(verdict: Verdict, sent: usize, of: usize) -> Verdict {
    let with = |message: String| format!("parts 1 to {sent} of {of} went out; then: {message}");
    match verdict {
        Verdict::Retry { after, code, message } => Verdict::Retry { after, code, message: with(message) },
        Verdict::NotNow => again("rate_limited", &with("a limit is in the way".to_owned())),
        Verdict::Reauth { code, message } => Verdict::Reauth { code, message: with(message) },
        Verdict::Permanent { reason, code, message } => {
            Verdict::Permanent { reason, code, message: with(message) }
        }
        Verdict::Unverified { code, message } => Verdict::Unverified { code, message: with(message) },
        said @ (Verdict::Delivered { .. } | Verdict::Accepted) => said,
    }
}

fn again(code: &str, message: &str) -> Verdict {
    let after = Duration::from_secs(1);
    Verdict::Retry { after, code: code.to_owned(), message: message.to_owned() }
}

fn refused(reason: PermanentReason, code: &str, message: &str) -> Verdict {
    Verdict::Permanent { reason, code: code.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_nonce_of_its_own_that_stays_the_same() {
        assert_eq!(nonce("d-1", 0), nonce("d-1", 0));
        assert_ne!(nonce("d-1", 0), nonce("d-1", 1));
        assert_ne!(nonce("d-1", 0), nonce("d-2", 0));
        assert_eq!(nonce("é\r\n", 0).len(), NONCE_CHARS);
    }

    #[test]
    fn nobody_is_mentioned_and_a_missing_message_to_answer_is_no_hindrance() {
        let body = Body {
            content: "@everyone <@1>",
            nonce: "n",
            enforce_nonce: true,
            allowed_mentions: Mentions { parse: [], replied_user: false },
            message_reference: Some(Reference { message_id: "5", fail_if_not_exists: false }),
        };
        let json = serde_json::to_value(&body).unwrap();
        assert_eq!(json["allowed_mentions"], serde_json::json!({ "parse": [], "replied_user": false }));
        assert_eq!(json["message_reference"]["fail_if_not_exists"], false);
    }
}
