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
mod gap;
mod identity;
mod msg_params;
mod sender;
mod tag_set;

pub(crate) use chat::is_color;

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
pub(crate) const SOURCE: &str = "ingress.twitch";
pub(crate) const CHAT_TYPE: &str = "chat.message.v1";
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
    /// Where each channel that is known stands in `conversations`.
    places: HashMap<Arc<str>, usize, foldhash::quality::RandomState>,
    conversations: Vec<Conversation>,
    no_conversation: Arc<str>,
    own_user_id: Option<String>,
    oddities: Oddities,
}

/// What is known of a channel.
#[derive(Debug)]
struct Conversation {
    name: Arc<str>,
    room_id: String,
}

/// What every event needs of its line.
struct Subject<'a> {
    tags: &'a TagSet<'a>,
    sender: Sender<'a>,
    identity: Identity<'a>,
    /// The channel, lower case.
    channel: Option<Cow<'a, str>>,
    /// The channel's place among those that are known.
    conversation: Option<usize>,
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
            places: HashMap::default(),
            conversations: Vec::new(),
            no_conversation: PLATFORM.into(),
            own_user_id: None,
            oddities: Oddities::default(),
        }
    }

    /// Our own account is this one from now on.
    pub fn set_own_login(&mut self, login: Option<&str>) {
        let login = login.map(str::to_ascii_lowercase);
        if self.config.own_login != login {
            self.config.own_login = login;
            self.own_user_id = None;
        }
    }

    /// What was counted since the start.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// The event of a line. `line` is where the message was read from.
    pub fn line(&mut self, message: &Message<'_>, line: Line<'_>, received_at: Timestamp) -> Inbound {
        let mut unescaped = Vec::new();
        let tags = &TagSet::read(message.tags(), &mut unescaped);
        // A message that borrows all of the line's bytes shows that they are UTF-8.
        let is_utf8 = std::ptr::eq(message.line().as_bytes(), line.bytes());
        let base64 = if is_utf8 { None } else { self.kept_bytes(line) };
        let channel = message.param(0).filter(|param| param.starts_with('#')).map(lower_case);
        let subject = Subject {
            sender: Sender::of(message, tags),
            identity: Identity::of(message, tags),
            conversation: self.conversation(channel.as_deref(), tags.get("room-id")),
            channel,
            sent_at: tags.get("tmi-sent-ts").and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis),
            received_at,
            base64,
            tags,
        };
        if message.is("PRIVMSG") {
            return self.chat(message, &subject);
        }
        if message.is("GLOBALUSERSTATE") {
            self.own_user_id = tags.get("user-id").map(str::to_owned).or(self.own_user_id.take());
        }
        self.external(message, &subject)
    }

    /// The event of a message of our own, which Twitch does not send back. The line is the USERSTATE
    /// by which it was taken, and tells how we look.
    pub fn own(&mut self, userstate: &Message<'_>, own: &Own, received_at: Timestamp) -> Inbound {
        let mut unescaped = Vec::new();
        let tags = &TagSet::read(userstate.tags(), &mut unescaped);
        let conversation = self.conversation(Some(&own.channel), None);
        let subject = Subject {
            sender: Sender {
                id: self.own_user_id.as_deref(),
                login: self.config.own_login.as_deref(),
                shown: tags.get("display-name"),
            },
            identity: Identity::of_own(own),
            channel: Some(Cow::Borrowed(&*own.channel)),
            conversation,
            sent_at: None,
            received_at,
            base64: None,
            tags,
        };
        let (event, bad_emotes) = self.write_chat(&subject, &own.text, own.is_action, true);
        self.oddities.bad_emotes += bad_emotes;
        event
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

    /// The place of a channel that is known, or is now: rooms' ids are remembered, as later lines do
    /// not tell them.
    fn conversation(&mut self, channel: Option<&str>, room_id: Option<&str>) -> Option<usize> {
        let channel = channel?;
        if let Some(at) = self.places.get(channel).copied() {
            let known = self.conversations.get_mut(at)?;
            if room_id.is_some_and(|room_id| known.room_id != room_id) {
                known.room_id.clear();
                known.room_id.push_str(room_id.unwrap_or_default());
            }
            return Some(at);
        }
        let room_id = room_id.filter(|_| self.conversations.len() < MAX_CONVERSATIONS)?.to_owned();
        let (name, at) = (Arc::<str>::from(channel), self.conversations.len());
        self.conversations.push(Conversation { name: Arc::clone(&name), room_id });
        self.places.insert(name, at);
        Some(at)
    }

    fn is_own(&self, sender: &Sender<'_>) -> bool {
        match (&self.config.own_login, sender.login) {
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
        let known = subject.conversation.and_then(|at| self.conversations.get(at));
        let draft = Draft {
            id: self.entropy.uuid_at(subject.received_at),
            correlation_id: self.entropy.uuid_at(subject.received_at),
            trace_id: self.entropy.uuid(),
            received_at: subject.received_at,
            kind,
            source: SOURCE,
            platform: PLATFORM,
            channel,
            channel_id: subject.tags.get("room-id").or(known.map(|known| &*known.room_id)),
            user_id: subject.sender.id,
            user_login: subject.sender.login,
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
                (Some(known), _) => Arc::clone(&known.name),
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
