//! Turns what Twitch says into events: every line into exactly one.
//!
//! A PRIVMSG becomes a `chat.message.v1`; everything else a `twitch.irc.v1` with an `externalEvent`,
//! whose kinds are the table of `external`. Nothing a line holds is lost: tags are under
//! `raw.tags`, and what is no chat keeps its whole line. What a line lacks is left empty and never
//! invented.
//!
//! Pure but for the random ids, whose source is passed in.

mod badges;
mod chat;
mod emotes;
mod external;
mod identity;
mod msg_params;
mod sender;
mod tag_set;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_connector::Inbound;
use chatbus_event::{Content, Draft, Entropy, Shape, Timestamp, Topic, Value};

use crate::irc::grammar::{Malformed, Message};
use crate::irc::lines::Line;
use crate::irc::session::Own;
use identity::Identity;
use sender::Sender;
use tag_set::TagSet;

/// The platform's name.
pub(crate) const PLATFORM: &str = "twitch";
const SOURCE: &str = "ingress.twitch";
const CHAT_TYPE: &str = "chat.message.v1";
/// The type of every event that is no chat, as `twitch.eventsub.v1` is for EventSub.
const EXTERNAL_TYPE: &str = "twitch.irc.v1";
/// Channels that are remembered by name; lines of further ones cost one allocation each.
const MAX_CONVERSATIONS: usize = 4096;

/// What a normaliser is made from.
#[derive(Debug)]
pub struct NormalizerConfig {
    /// Where answers go: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
    /// Our own account, whose messages are marked.
    pub own_login: Option<String>,
}

/// What was counted while normalising.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Lines that are no IRC message.
    pub malformed: u64,
    /// Lines with bytes that are not UTF-8.
    pub not_utf8: u64,
    /// Commands that no table has.
    pub unknown_commands: u64,
    /// Emote ranges that do not fit the text.
    pub bad_emotes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Normalizer {
    config: NormalizerConfig,
    entropy: Arc<dyn Entropy>,
    conversations: HashMap<Arc<str>, Conversation>,
    no_conversation: Arc<str>,
    own_user_id: Option<String>,
    oddities: Oddities,
}

/// What is known of a channel.
#[derive(Debug, Clone, Default)]
struct Conversation {
    room_id: Option<String>,
}

/// What every event needs of its line.
struct Subject<'a> {
    tags: &'a TagSet<'a>,
    sender: Sender<'a>,
    identity: Identity<'a>,
    /// The channel, lower case.
    channel: Option<Cow<'a, str>>,
    sent_at: Option<Timestamp>,
    received_at: Timestamp,
    /// The line's bytes in base64, when they are not UTF-8.
    base64: Option<String>,
}

// === impl Normalizer ===

impl Normalizer {
    /// A normaliser that knows no channel yet.
    pub fn new(config: NormalizerConfig, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            config,
            entropy,
            conversations: HashMap::new(),
            no_conversation: PLATFORM.into(),
            own_user_id: None,
            oddities: Oddities::default(),
        }
    }

    /// What was counted since the start.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// The event of a line. `line` is where the message was read from.
    pub fn line(&mut self, message: &Message<'_>, line: Line<'_>, received_at: Timestamp) -> Inbound {
        let tags = TagSet::read(message.tags());
        let base64 = self.kept_bytes(line);
        let tags = &tags;
        let sender = Sender::of(message, tags);
        let channel = message.param(0).filter(|param| param.starts_with('#')).map(lower_case);
        let sent_at = tags.get("tmi-sent-ts").and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
        let identity = Identity::of(message, tags);
        let subject = Subject { sender, identity, channel, sent_at, received_at, base64, tags };
        self.learn(message, &subject);
        if message.is("PRIVMSG") { self.chat(message, &subject) } else { self.external(message, &subject) }
    }

    /// The event of a message of our own, which Twitch does not send back. The line is the USERSTATE
    /// by which it was taken, and tells how we look.
    pub fn own(&mut self, userstate: &Message<'_>, own: &Own, received_at: Timestamp) -> Inbound {
        let tags = TagSet::read(userstate.tags());
        let tags = &tags;
        let mut sender = Sender::of(userstate, tags);
        sender.login = self.config.own_login.clone().map(Cow::Owned);
        sender.id = self.own_user_id.clone().map(Cow::Owned);
        let subject = Subject {
            sender,
            identity: Identity::of_own(own),
            channel: Some(Cow::Borrowed(&*own.channel)),
            sent_at: None,
            received_at,
            base64: None,
            tags,
        };
        self.own_chat(&subject, own)
    }

    /// The event of bytes that are no IRC message.
    pub fn malformed(&mut self, line: Line<'_>, why: Malformed, received_at: Timestamp) -> Inbound {
        self.oddities.malformed += 1;
        let base64 = self.kept_bytes(line);
        self.unparsed(&line.text(), base64.as_deref(), why, received_at)
    }

    fn kept_bytes(&mut self, line: Line<'_>) -> Option<String> {
        if std::str::from_utf8(line.bytes()).is_ok() {
            return None;
        }
        self.oddities.not_utf8 += 1;
        Some(STANDARD.encode(line.bytes()))
    }

    /// Remembers what later lines do not tell: rooms' ids, and our own id.
    fn learn(&mut self, message: &Message<'_>, subject: &Subject<'_>) {
        if message.is("GLOBALUSERSTATE") {
            self.own_user_id = subject.tags.get("user-id").map(str::to_owned).or(self.own_user_id.take());
        }
        let (Some(channel), Some(room_id)) = (subject.channel.as_deref(), subject.tags.get("room-id")) else {
            return;
        };
        if let Some(known) = self.conversations.get_mut(channel) {
            if known.room_id.as_deref() != Some(room_id) {
                known.room_id = Some(room_id.to_owned());
            }
        } else if self.conversations.len() < MAX_CONVERSATIONS {
            let conversation = Conversation { room_id: Some(room_id.to_owned()) };
            self.conversations.insert(channel.into(), conversation);
        }
    }

    fn is_own(&self, sender: &Sender<'_>) -> bool {
        match (&self.config.own_login, &sender.login) {
            (Some(own), Some(login)) => own.eq_ignore_ascii_case(login),
            _ => false,
        }
    }

    fn finish(
        &self,
        subject: &Subject<'_>,
        kind: &'static str,
        is_self: bool,
        content: Content<'_>,
    ) -> Inbound {
        let channel = subject.channel.as_deref();
        let known = channel.and_then(|channel| self.conversations.get_key_value(channel));
        let draft = Draft {
            id: self.entropy.uuid(),
            correlation_id: self.entropy.uuid(),
            trace_id: self.entropy.uuid(),
            received_at: subject.received_at,
            kind,
            source: SOURCE,
            platform: PLATFORM,
            channel,
            channel_id: subject.tags.get("room-id").or(known.and_then(|(_, known)| known.room_id.as_deref())),
            user_id: subject.sender.id.as_deref(),
            user_login: subject.sender.login.as_deref(),
            user_display_name: subject.sender.display_name(),
            egress: &self.config.egress,
            is_self,
            content,
        };
        Inbound {
            attributes: draft.attributes(&subject.identity.message_id),
            body: draft.encode(self.config.shape),
            id: subject.identity.message_id.clone(),
            conversation: match (known, channel) {
                (Some((name, _)), _) => Arc::clone(name),
                (None, Some(channel)) => channel.into(),
                (None, None) => Arc::clone(&self.no_conversation),
            },
            received_at: subject.received_at,
        }
    }
}

/// Further members of a raw payload.
fn raw_members<'a>(line: Option<&'a str>, base64: Option<&'a str>) -> Vec<(&'static str, Value<'a>)> {
    let line = line.map(|line| ("line", Value::Text(line)));
    line.into_iter().chain(base64.map(|bytes| ("base64", Value::Text(bytes)))).collect()
}

fn lower_case(channel: &str) -> Cow<'_, str> {
    if channel.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(channel.to_ascii_lowercase())
    } else {
        Cow::Borrowed(channel)
    }
}
