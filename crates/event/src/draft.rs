//! An event as ingress writes it, in any of the three shapes.
//!
//! Written straight into bytes: this runs for every line of every channel, and building a tree of
//! values first would cost several times as much.

use bytes::Bytes;
use uuid::Uuid;

use crate::attributes::{Attributes, names};
use crate::clock::{Timestamp, as_text};
use crate::event::Shape;
use crate::ids::MessageId;
use crate::json::Raw;
use crate::topic::Topic;
use crate::view::EgressKind;
use crate::writer::Writer;

/// Events that chatbus publishes are at most this long; raw payloads are cut to fit and marked.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// What ingress knows of something a platform said.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The event's own id; new for each publication.
    pub id: Uuid,
    /// Ties together all that becomes of it.
    pub correlation_id: Uuid,
    /// The trace, 128 bits.
    pub trace_id: Uuid,
    /// When chatbus received it.
    pub received_at: Timestamp,
    /// The event's type, such as `chat.message.v1`.
    pub kind: &'a str,
    /// The source, such as `ingress.` and the platform's name.
    pub source: &'a str,
    /// The platform's name.
    pub platform: &'a str,
    /// The channel, as answers will name it.
    pub channel: Option<&'a str>,
    /// The platform's id of the channel.
    pub channel_id: Option<&'a str>,
    /// The platform's raw id of the user.
    pub user_id: Option<&'a str>,
    /// The user's login.
    pub user_login: Option<&'a str>,
    /// The user's name as shown.
    pub user_display_name: Option<&'a str>,
    /// Where answers go: this instance's own egress topic.
    pub egress: &'a Topic,
    /// Whether our own account said it.
    pub is_self: bool,
    /// What was said or happened.
    pub content: Content<'a>,
}

/// What was said or happened.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// Someone said something.
    Chat(ChatContent<'a>),
    /// Something else happened.
    External(ExternalContent<'a>),
}

/// A chat message, with what the platform tells of it.
#[derive(Debug, Clone)]
pub struct ChatContent<'a> {
    /// The platform's id of it, or one made for it.
    pub message_id: &'a str,
    /// What was said.
    pub text: &'a str,
    /// The user's colour, `#RRGGBB`.
    pub color: Option<&'a str>,
    /// Names of the badges.
    pub badges: &'a [&'a str],
    /// Whether the user moderates the channel.
    pub is_mod: bool,
    /// Whether the user subscribes to the channel.
    pub is_subscriber: bool,
    /// Where emotes stand in the text.
    pub emotes: &'a [Emote<'a>],
    /// Further members of `rawPlatformPayload`.
    pub extra: &'a [(&'static str, Value<'a>)],
    /// The platform's own tags, under `raw.tags`.
    pub tags: &'a [(&'a str, &'a str)],
    /// Further members of `raw`.
    pub raw: &'a [(&'static str, Value<'a>)],
    /// The platform's own time.
    pub sent_at: Option<Timestamp>,
}

/// An emote's place: code points of the text, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emote<'a> {
    /// The platform's id of the emote.
    pub id: &'a str,
    /// First code point.
    pub start: u32,
    /// Last code point.
    pub end: u32,
}

/// Something that is no chat message.
#[derive(Debug, Clone)]
pub struct ExternalContent<'a> {
    /// The platform's id of it, or one made for it.
    pub id: &'a str,
    /// Which interface of the platform told it, such as `twitch.irc`.
    pub source: &'a str,
    /// What happened, such as `clearchat`.
    pub kind: &'a str,
    /// Version of the payload.
    pub version: &'a str,
    /// When it happened.
    pub created_at: Timestamp,
    /// The parts we understand.
    pub payload: &'a [(&'static str, Value<'a>)],
    /// The platform's own tags, under `rawPayload.tags`.
    pub tags: &'a [(&'a str, &'a str)],
    /// Further members of `rawPayload`, such as the line.
    pub raw: &'a [(&'static str, Value<'a>)],
}

/// A member's value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number.
    Number(i64),
    /// A truth value.
    Bool(bool),
    /// Members of an object.
    Object(&'a [(&'static str, Value<'a>)]),
    /// Texts.
    Texts(&'a [&'a str]),
    /// JSON that is there already.
    Json(&'a Raw),
}

/// How much of the raw payload is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    Raw,
    RawAndTexts,
}

/// Texts are cut to this when nothing else helps: three copies of it with every character
/// escaped to six stay under [`MAX_EVENT_BYTES`].
const CUT_TEXT_BYTES: usize = 12 * 1024;
/// Names and ids are cut to this in the same case.
const CUT_NAME_BYTES: usize = 512;

// === impl Draft ===

impl Draft<'_> {
    /// The event in this shape, at most [`MAX_EVENT_BYTES`] long: when it would be longer the raw
    /// payload is left out, then texts are cut, and `raw.truncated` says so.
    pub fn encode(&self, shape: Shape) -> Bytes {
        self.encode_for(shape, EgressKind::Chat)
    }

    /// The same, with how it is to be answered: what was said to us alone is answered to that user alone.
    pub fn encode_for(&self, shape: Shape, answer: EgressKind) -> Bytes {
        let mut out = Vec::new();
        for cut in [Cut::Nothing, Cut::Raw, Cut::RawAndTexts] {
            out = self.write(shape, cut, answer);
            if out.len() <= MAX_EVENT_BYTES {
                break;
            }
        }
        out.into()
    }

    /// The attributes of contract section 3.
    pub fn attributes(&self, message_id: &MessageId) -> Attributes {
        let mut attributes = Attributes::with_capacity(12);
        attributes.push(names::CORRELATION_ID, &uuid_text(&self.correlation_id));
        attributes.put(names::TYPE, self.kind);
        attributes.put(names::SOURCE, self.source);
        attributes.push(names::TRACEPARENT, &traceparent(&self.trace_id, &self.id));
        attributes.push(names::MESSAGE_ID, message_id.as_str());
        if let Some(channel) = self.channel {
            attributes.put(names::CHANNEL, clip(channel, CUT_NAME_BYTES));
        }
        attributes.push(names::CE_ID, message_id.as_str());
        attributes.put(names::CE_TYPE, self.kind);
        attributes.put(names::CE_SOURCE, self.source);
        attributes.push(names::CE_SPECVERSION, "1.0");
        attributes.push(names::CE_TIME, as_text(&self.received_at.ascii()));
        attributes
    }

    fn write(&self, shape: Shape, cut: Cut, answer: EgressKind) -> Vec<u8> {
        let mut w = Writer::with_capacity(2048);
        w.open_object();
        match shape {
            Shape::Flat => self.write_flat(&mut w, cut, answer),
            Shape::Nested => self.write_nested(&mut w, cut, answer),
            Shape::V1 => self.write_v1(&mut w, cut, answer),
        }
        w.close_object();
        w.finish()
    }

    fn write_flat(&self, w: &mut Writer, cut: Cut, answer: EgressKind) {
        self.write_identity(w);
        w.member_fixed("traceId", self.trace_id.simple().encode_lower(&mut Uuid::encode_buffer()));
        w.member_fixed("timestamp", as_text(&self.received_at.ascii()));
        w.member_text("type", self.kind);
        w.member_text("source", self.source);
        self.write_place(w, cut);
        self.write_egress(w, answer);
        w.member_raw("routingSlip", b"[]");
        w.member_fixed("finalizationDestination", FINALIZER);
        self.write_content(w, cut);
        self.write_metadata(w);
        w.member_raw("annotations", b"[]");
        w.member_raw("candidates", b"[]");
    }

    fn write_nested(&self, w: &mut Writer, cut: Cut, answer: EgressKind) {
        w.key("envelope");
        w.open_object();
        self.write_identity(w);
        w.member_fixed("traceId", self.trace_id.simple().encode_lower(&mut Uuid::encode_buffer()));
        w.member_fixed("timestamp", as_text(&self.received_at.ascii()));
        w.member_text("source", self.source);
        self.write_egress(w, answer);
        w.member_raw("routingSlip", b"[]");
        w.member_fixed("finalizationDestination", FINALIZER);
        self.write_metadata(w);
        w.close_object();
        w.member_text("type", self.kind);
        self.write_place(w, cut);
        w.key("payload");
        w.open_object();
        if let Content::Chat(chat) = &self.content {
            w.key("chat");
            w.open_object();
            w.member_text("text", cut.text(chat.text));
            w.close_object();
        }
        w.close_object();
        self.write_content(w, cut);
        w.member_raw("annotations", b"[]");
        w.member_raw("candidates", b"[]");
    }

    fn write_v1(&self, w: &mut Writer, cut: Cut, answer: EgressKind) {
        self.write_identity(w);
        w.member_fixed("traceId", self.trace_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        w.member_fixed("timestamp", as_text(&self.received_at.ascii()));
        match &self.content {
            Content::Chat(_) => {
                w.key("type");
                w.text(&format!("external.{}", self.kind));
            }
            Content::External(_) => w.member_text("type", self.kind),
        }
        w.key("source");
        w.open_object();
        w.member_text("platform", self.platform);
        w.member_text("channel", cut.name(self.channel.unwrap_or_default().trim_start_matches('#')));
        w.member_text("channelId", cut.name(self.channel_id.unwrap_or_default()));
        w.close_object();
        w.key("user");
        w.open_object();
        w.member_text("id", cut.name(self.user_id.unwrap_or_default()));
        w.member_text("name", cut.name(self.user_login.unwrap_or_default()));
        w.member_text("displayName", cut.name(self.user_display_name.unwrap_or_default()));
        w.member_text("profileImageUrl", "");
        w.member_text("role", "");
        w.close_object();
        self.write_egress(w, answer);
        w.member_raw("routingSlip", b"[]");
        w.member_fixed("finalizationDestination", FINALIZER);
        if let Content::Chat(chat) = &self.content {
            w.key("payload");
            w.open_object();
            w.member_text("text", cut.text(chat.text));
            w.member_text("messageId", cut.name(chat.message_id));
            chat.write_looks(w, cut);
            chat.write_raw(w, cut);
            w.close_object();
        }
        self.write_content(w, cut);
        self.write_metadata(w);
        w.member_raw("annotations", b"[]");
        w.member_raw("candidates", b"[]");
    }

    fn write_identity(&self, w: &mut Writer) {
        w.member_fixed("v", "1");
        w.member_fixed("id", self.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        w.member_fixed(
            "correlationId",
            self.correlation_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()),
        );
    }

    fn write_place(&self, w: &mut Writer, cut: Cut) {
        if let Some(channel) = self.channel {
            w.member_text("channel", cut.name(channel));
        }
        if let Some(user) = self.user_id {
            w.member_text("userId", cut.name(user));
        }
    }

    fn write_egress(&self, w: &mut Writer, answer: EgressKind) {
        w.key("egress");
        w.open_object();
        w.member_fixed("destination", self.egress.as_str());
        w.member_fixed("type", answer.as_str());
        w.close_object();
        w.member_fixed("egressDestination", self.egress.as_str());
    }

    fn write_metadata(&self, w: &mut Writer) {
        if self.is_self {
            w.member_raw("metadata", br#"{"self":true}"#);
        }
    }

    fn write_content(&self, w: &mut Writer, cut: Cut) {
        match &self.content {
            Content::Chat(chat) => {
                w.key("message");
                w.open_object();
                w.member_text("id", cut.name(chat.message_id));
                w.member_fixed("role", "user");
                w.member_text("text", cut.text(chat.text));
                w.key("rawPlatformPayload");
                w.open_object();
                w.member_text("text", cut.text(chat.text));
                w.member_text("messageId", cut.name(chat.message_id));
                w.key("user");
                w.open_object();
                w.member_text("id", cut.name(self.user_id.unwrap_or_default()));
                w.member_text("login", cut.name(self.user_login.unwrap_or_default()));
                w.member_text("displayName", cut.name(self.user_display_name.unwrap_or_default()));
                w.close_object();
                w.member_text("roomId", cut.name(self.channel_id.unwrap_or_default()));
                chat.write_looks(w, cut);
                if cut == Cut::Nothing {
                    write_members(w, chat.extra);
                }
                chat.write_raw(w, cut);
                if let Some(sent_at) = chat.sent_at {
                    w.member_fixed("timestamp", as_text(&sent_at.ascii()));
                }
                w.close_object();
                w.close_object();
            }
            Content::External(external) => external.write(w, cut),
        }
    }
}

// === impl ChatContent ===

impl ChatContent<'_> {
    fn write_looks(&self, w: &mut Writer, cut: Cut) {
        w.member_text("color", cut.name(self.color.unwrap_or_default()));
        w.key("badges");
        w.open_array();
        let few = if cut == Cut::RawAndTexts { 16 } else { usize::MAX };
        for badge in self.badges.iter().take(few) {
            w.item();
            w.text(cut.name(badge));
        }
        w.close_array();
        w.member_raw("isMod", truth(self.is_mod));
        w.member_raw("isSubscriber", truth(self.is_subscriber));
        w.key("emotes");
        w.open_array();
        let emotes = if cut == Cut::Nothing { self.emotes } else { &[] };
        for emote in emotes {
            w.item();
            w.open_object();
            w.member_text("id", emote.id);
            w.member_number("start", i64::from(emote.start));
            w.member_number("end", i64::from(emote.end));
            w.close_object();
        }
        w.close_array();
    }

    fn write_raw(&self, w: &mut Writer, cut: Cut) {
        w.key("raw");
        write_raw(w, cut, self.tags, self.raw);
    }
}

// === impl ExternalContent ===

impl ExternalContent<'_> {
    fn write(&self, w: &mut Writer, cut: Cut) {
        w.key("externalEvent");
        w.open_object();
        w.member_text("id", cut.name(self.id));
        w.member_text("source", self.source);
        w.member_text("kind", cut.name(self.kind));
        w.member_text("version", self.version);
        w.member_fixed("createdAt", as_text(&self.created_at.ascii()));
        w.key("payload");
        w.open_object();
        if cut != Cut::RawAndTexts {
            write_members(w, self.payload);
        }
        w.close_object();
        w.key("rawPayload");
        write_raw(w, cut, self.tags, self.raw);
        w.close_object();
    }
}

// === impl Cut ===

impl Cut {
    fn text(self, text: &str) -> &str {
        if self == Self::RawAndTexts { clip(text, CUT_TEXT_BYTES) } else { text }
    }

    fn name(self, text: &str) -> &str {
        if self == Self::RawAndTexts { clip(text, CUT_NAME_BYTES) } else { text }
    }
}

const FINALIZER: &str = "internal.finalizer.v1";

fn write_raw(w: &mut Writer, cut: Cut, tags: &[(&str, &str)], rest: &[(&'static str, Value<'_>)]) {
    w.open_object();
    if cut == Cut::Nothing {
        w.key("tags");
        w.open_object();
        for (name, value) in tags {
            w.key_text(name);
            w.text(value);
        }
        w.close_object();
        write_members(w, rest);
    } else {
        w.member_raw("truncated", b"true");
    }
    w.close_object();
}

fn write_members(w: &mut Writer, members: &[(&'static str, Value<'_>)]) {
    for (name, value) in members {
        w.key(name);
        write_value(w, value);
    }
}

fn write_value(w: &mut Writer, value: &Value<'_>) {
    match value {
        Value::Text(text) => w.text(text),
        Value::Number(number) => w.number(*number),
        Value::Bool(truth_value) => w.raw(truth(*truth_value)),
        Value::Object(members) => {
            w.open_object();
            write_members(w, members);
            w.close_object();
        }
        Value::Texts(texts) => {
            w.open_array();
            for text in *texts {
                w.item();
                w.text(text);
            }
            w.close_array();
        }
        Value::Json(raw) => w.raw(raw.as_bytes()),
    }
}

fn truth(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

fn clip(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn uuid_text(id: &Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// W3C trace context: the trace, a span made from the event's id, sampled.
pub(crate) fn traceparent(trace_id: &Uuid, id: &Uuid) -> String {
    let (mut trace, mut span) = (Uuid::encode_buffer(), Uuid::encode_buffer());
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    text.push_str(trace_id.simple().encode_lower(&mut trace));
    text.push('-');
    text.push_str(&id.simple().encode_lower(&mut span)[16..]);
    text.push_str("-01");
    text
}

#[cfg(test)]
mod tests;
