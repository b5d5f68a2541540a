//! Turns what Discord dispatches into events.
//!
//! A message becomes a `chat.message.v1`; everything else that is news a `discord.gateway.v1` with an
//! `externalEvent` of source `discord.gateway`, whose kind is the dispatch's name in lower case. What is said in
//! other guilds or in channels that nobody wants is left out and counted, and so is what is no news: presences,
//! typing, voice, and what only tells how the guild is set up.
//!
//! What was said to the bot alone names no channel and asks for an answer of type `dm`, so that nothing of it can
//! end in a public channel.
//!
//! Read straight from the JSON and not into a library's types: a member that is missing or new costs nothing but
//! itself, where a typed reader would lose the message. Pure but for the random ids, whose source is passed in.

mod chat;
mod emojis;
mod external;
mod gap;

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{Content, Draft, EgressKind, Entropy, MessageId, Shape, Timestamp, Topic, sha256_hex};

use crate::PLATFORM;
use crate::directory::{Directory, id_of};
pub(crate) use gap::Gap;

const SOURCE: &str = "ingress.discord";

/// What a normaliser is made from.
#[derive(Debug, Clone)]
pub struct NormalizerConfig {
    /// Where answers go: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
}

/// What was counted while normalising.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Said in another guild or in a channel that nobody wants.
    pub filtered: u64,
    /// No news: presences, typing, voice, the set-up of the guild.
    pub noise: u64,
    /// Frames that are no dispatch of Discord's form.
    pub malformed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Normalizer {
    config: NormalizerConfig,
    entropy: Arc<dyn Entropy>,
    directory: Arc<RwLock<Directory>>,
    own_user: Option<String>,
    /// Names the session in ids of what has no id of its own.
    session: String,
    no_conversation: Arc<str>,
    conversations: lru::LruCache<String, Arc<str>>,
    oddities: Oddities,
}

/// A frame's members.
#[derive(Debug)]
pub struct Frame {
    /// What kind of frame it is.
    pub op: u64,
    /// The number of a dispatch.
    pub seq: Option<u64>,
    /// The name of a dispatch.
    pub name: Option<String>,
    /// What it tells.
    pub data: Raw,
}

/// Where something happened, and to whom.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    channel: Option<&'a str>,
    is_direct: bool,
    user: Person<'a>,
    received_at: Timestamp,
}

/// A user as events name one.
#[derive(Debug, Clone, Copy, Default)]
struct Person<'a> {
    id: Option<&'a str>,
    login: Option<&'a str>,
    shown: Option<&'a str>,
}

/// Channels that are remembered by name; others cost one allocation an event.
const MAX_CONVERSATIONS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4_095);

// === impl Frame ===

impl Frame {
    /// Reads one; `None` when it is no frame.
    pub fn parse(text: &bytes::Bytes) -> Option<Self> {
        let [op, seq, name, data] = Raw::parse(text).ok()?.pick(["op", "s", "t", "d"]);
        Some(Self {
            op: op?.as_u64()?,
            seq: seq.and_then(|seq| seq.as_u64()),
            name: name.and_then(|name| name.as_str().map(Cow::into_owned)),
            data: data.unwrap_or(Raw::NULL),
        })
    }
}

// === impl Normalizer ===

impl Normalizer {
    /// A normaliser of this guild that reads these channels, as [`channel_id`](crate::channel_id) gives them.
    pub fn new(
        config: NormalizerConfig,
        guild: &str,
        channels: &[Arc<str>],
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self::with(config, Arc::new(RwLock::new(Directory::new(guild, channels))), entropy)
    }

    pub(crate) fn with(
        config: NormalizerConfig,
        directory: Arc<RwLock<Directory>>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            config,
            entropy,
            directory,
            own_user: None,
            session: String::new(),
            no_conversation: PLATFORM.into(),
            conversations: lru::LruCache::new(MAX_CONVERSATIONS),
            oddities: Oddities::default(),
        }
    }

    /// What was counted since the start.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Our own user, whose messages are marked.
    pub fn set_own_user(&mut self, id: String) {
        self.own_user = Some(id);
    }

    pub(crate) fn set_session(&mut self, id: &str) {
        self.session = sha256_hex(id.as_bytes()).get(..16).unwrap_or_default().to_owned();
    }

    /// The event of a dispatch, if it is news. `seq` is its number in the session.
    pub fn dispatch(&mut self, name: &str, seq: u64, data: &Raw, received_at: Timestamp) -> Option<Inbound> {
        self.learn(name, data);
        if external::is_noise(name) {
            self.oddities.noise += 1;
            return None;
        }
        if name == "MESSAGE_CREATE" {
            return self.message(data, received_at, false);
        }
        self.external(name, seq, data, received_at)
    }

    /// The event of a message that REST gave, which names no guild though it is of ours.
    pub(crate) fn backfilled(&mut self, message: &Raw, received_at: Timestamp) -> Option<Inbound> {
        self.message(message, received_at, true)
    }

    /// Remembers what is told of the guild.
    fn learn(&self, name: &str, data: &Raw) {
        let change: fn(&mut Directory, &Raw) = match name {
            "GUILD_CREATE" | "GUILD_UPDATE" => Directory::learn_guild,
            "THREAD_LIST_SYNC" => Directory::learn_threads,
            "CHANNEL_CREATE" | "CHANNEL_UPDATE" | "THREAD_CREATE" | "THREAD_UPDATE" => {
                Directory::learn_channel
            }
            "CHANNEL_DELETE" | "THREAD_DELETE" => Directory::forget_channel,
            "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => {
                |directory, data| data.get("role").iter().for_each(|role| directory.learn_role(role))
            }
            "GUILD_ROLE_DELETE" => |directory, data| {
                let role = data.get("role_id").as_ref().and_then(id_of);
                role.iter().for_each(|role| directory.forget_role(*role));
            },
            _ => return,
        };
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        let guild = data.get(if name.starts_with("GUILD_") && data.get("guild_id").is_none() {
            "id"
        } else {
            "guild_id"
        });
        if guild.as_ref().and_then(id_of) == Some(directory.guild()) {
            change(&mut directory, data);
        }
    }

    fn is_own(&self, user: Option<&str>) -> bool {
        user.is_some() && user == self.own_user.as_deref()
    }

    fn finish(
        &mut self,
        subject: Subject<'_>,
        id: &MessageId,
        kind: &str,
        is_self: bool,
        content: Content<'_>,
    ) -> Inbound {
        let conversation = match subject.channel {
            None => Arc::clone(&self.no_conversation),
            Some(channel) => match self.conversations.get(channel) {
                Some(known) => Arc::clone(known),
                None => {
                    let name = Arc::<str>::from(channel);
                    self.conversations.put(channel.to_owned(), Arc::clone(&name));
                    name
                }
            },
        };
        let draft = Draft {
            id: self.entropy.uuid_at(subject.received_at),
            correlation_id: self.entropy.uuid_at(subject.received_at),
            trace_id: self.entropy.uuid(),
            received_at: subject.received_at,
            kind,
            source: SOURCE,
            platform: PLATFORM,
            channel: subject.channel.filter(|_| !subject.is_direct),
            channel_id: subject.channel,
            user_id: subject.user.id,
            user_login: subject.user.login,
            user_display_name: subject.user.shown,
            egress: &self.config.egress,
            is_self,
            content,
        };
        let answer = if subject.is_direct { EgressKind::Dm } else { EgressKind::Chat };
        Inbound {
            attributes: draft.attributes(id),
            body: draft.encode_for(self.config.shape, answer),
            id: id.clone(),
            conversation,
            received_at: subject.received_at,
        }
    }
}

/// The text of a member, where it is one.
fn text(raw: Option<&Raw>) -> Option<Cow<'_, str>> {
    raw.and_then(Raw::as_str)
}

#[cfg(test)]
mod tests;
