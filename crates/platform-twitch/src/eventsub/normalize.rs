//! Turns notifications into events: every notification into exactly one.
//!
//! | notification | event |
//! |---|---|
//! | `channel.chat.message` | `chat.message.v1`, the same as from the IRC line of the same message |
//! | `stream.online`, `stream.offline` | `system.stream.online`, `system.stream.offline` |
//! | any other, known or not | `twitch.eventsub.v1` |
//! | what is no message of EventSub | `twitch.eventsub.v1` of the kind `eventsub.unparsed` |
//! | what Twitch could not tell us | `system.source.gap.v1` |
//!
//! All but the first hold an `externalEvent` of source `twitch.eventsub` whose kind is the subscription's type.
//! A chat message is known by its own id, as in IRC; in shared chat by the source's. Anything else by the id of
//! the notification, which Twitch repeats when it sends one again.
//!
//! Pure but for the random ids, whose source is passed in.

mod chat;
mod external;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{Content, Draft, Entropy, MessageId, Timestamp};
use serde_json::value::RawValue;

use super::frames::Notification;
use super::types::CHAT_MESSAGE;
use crate::normalize::{NormalizerConfig, PLATFORM, SOURCE};

pub use external::Gap;

/// Channels that are remembered by name; events of further ones cost one allocation each.
const MAX_CONVERSATIONS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Normalizer {
    config: NormalizerConfig,
    own_user_id: Option<String>,
    entropy: Arc<dyn Entropy>,
    conversations: HashSet<Arc<str>, foldhash::quality::RandomState>,
    no_conversation: Arc<str>,
    oddities: Oddities,
}

/// What was counted while normalising.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// What is no message of EventSub.
    pub malformed: u64,
    /// Notifications of types that no table has.
    pub unknown_types: u64,
    /// Chat messages that lack what every one has; they are published as they came.
    pub unreadable_chat: u64,
    /// Emotes whose fragments do not make up the text.
    pub bad_emotes: u64,
}

/// What every event needs.
struct Subject<'a> {
    /// By what it is known.
    message_id: MessageId,
    channel: Option<&'a str>,
    room_id: Option<&'a str>,
    user: Person<'a>,
    received_at: Timestamp,
}

/// A user, as far as a notification tells.
#[derive(Debug, Clone, Copy, Default)]
struct Person<'a> {
    id: Option<&'a str>,
    login: Option<&'a str>,
    name: Option<&'a str>,
}

// === impl Normalizer ===

impl Normalizer {
    /// A normaliser that knows no channel yet.
    pub fn new(config: NormalizerConfig, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            config,
            own_user_id: None,
            entropy,
            conversations: HashSet::default(),
            no_conversation: PLATFORM.into(),
            oddities: Oddities::default(),
        }
    }

    /// Our own account, whose messages are marked.
    pub fn set_own(&mut self, user_id: Option<String>, login: Option<String>) {
        self.own_user_id = user_id;
        self.config.own_login = login.or(self.config.own_login.take());
    }

    /// What was counted since the start.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// The event of a notification.
    pub fn notification(&mut self, told: &Notification<'_>, received_at: Timestamp) -> Inbound {
        if told.kind == CHAT_MESSAGE {
            match chat::Chat::read(told.event) {
                Some(chat) => return self.chat(&chat, told, received_at),
                None => self.oddities.unreadable_chat += 1,
            }
        }
        self.external(told, received_at)
    }

    fn conversation(&mut self, channel: Option<&str>) -> Arc<str> {
        let Some(channel) = channel else { return Arc::clone(&self.no_conversation) };
        if let Some(known) = self.conversations.get(channel) {
            return Arc::clone(known);
        }
        let name: Arc<str> = channel.into();
        if self.conversations.len() < MAX_CONVERSATIONS {
            self.conversations.insert(Arc::clone(&name));
        }
        name
    }

    fn is_own(&self, user: &Person<'_>) -> bool {
        match (&self.own_user_id, user.id, &self.config.own_login, user.login) {
            (Some(own), Some(id), ..) => own == id,
            (_, _, Some(own), Some(login)) => own.eq_ignore_ascii_case(login),
            _ => false,
        }
    }

    fn finish(&mut self, subject: &Subject<'_>, kind: &str, content: Content<'_>) -> Inbound {
        let received_at = subject.received_at;
        let draft = Draft {
            id: self.entropy.uuid_at(received_at),
            correlation_id: self.entropy.uuid_at(received_at),
            trace_id: self.entropy.uuid(),
            received_at,
            kind,
            source: SOURCE,
            platform: PLATFORM,
            channel: subject.channel,
            channel_id: subject.room_id,
            user_id: subject.user.id,
            user_login: subject.user.login,
            user_display_name: subject.user.display_name(),
            egress: &self.config.egress,
            is_self: self.is_own(&subject.user),
            content,
        };
        let (attributes, body) = (draft.attributes(&subject.message_id), draft.encode(self.config.shape));
        Inbound {
            attributes,
            body,
            id: subject.message_id.clone(),
            conversation: self.conversation(subject.channel),
            received_at,
        }
    }
}

// === impl Person ===

impl<'a> Person<'a> {
    /// The name as shown; the login where the user has no other.
    fn display_name(&self) -> Option<&'a str> {
        self.name.map(str::trim).filter(|name| !name.is_empty()).or(self.login)
    }
}

/// A channel's name of its owner's login.
fn channel_of(login: &str) -> Option<String> {
    (!login.is_empty()).then(|| format!("#{}", login.to_ascii_lowercase()))
}

/// JSON as it came; `null` when it is deeper than anything we keep.
fn raw(text: &RawValue) -> Raw {
    Raw::parse(&Bytes::copy_from_slice(text.get().as_bytes())).unwrap_or(Raw::NULL)
}
