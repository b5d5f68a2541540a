//! Turns what Twilio posts into events: every request into exactly one.
//!
//! | posted | event |
//! |---|---|
//! | a text message: SMS, MMS, WhatsApp | `chat.message.v1`, no channel: an answer goes to who sent it |
//! | `onMessageAdded` | `chat.message.v1`, the channel is the conversation |
//! | any other `EventType` of Conversations | `twilio.conversations.v1`, its kind is the `EventType` |
//! | a message's status | `twilio.messaging.v1`, kind `message.status` |
//!
//! Nothing that was posted is lost: it stands under `raw.tags`, and the body itself beside it where that says
//! less. Statuses tell of numbers only their last four digits. Pure but for the random ids, whose source is
//! passed in.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{
    ChatContent, Content, Draft, Entropy, ExternalContent, MessageId, Shape, Timestamp, Topic, Value,
    sha256_hex,
};
use serde_json::json;

use crate::PLATFORM;
use crate::address::{last_four, masked};
use crate::form::Form;

const SOURCE: &str = "ingress.twilio";
const CHAT_TYPE: &str = "chat.message.v1";
const MESSAGING: (&str, &str) = ("twilio.messaging.v1", "twilio.messaging");
const CONVERSATIONS: (&str, &str) = ("twilio.conversations.v1", "twilio.conversations");
/// An `EventType` that is longer, or has other characters than letters, is none.
const MAX_KIND: usize = 64;
/// Media of one message that are told; Twilio sends ten at most.
const MAX_MEDIA: usize = 32;

/// What is posted is of one of these kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// Someone sent a text message.
    Message,
    /// Someone said something in a conversation.
    ConversationMessage,
    /// Something else happened to a conversation.
    Conversation,
    /// The status of one of our messages.
    Status,
}

/// See the module.
#[derive(Debug)]
pub struct Normalizer {
    /// Where answers go: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
    /// Who we are in conversations.
    pub identity: Option<String>,
    /// Our own number.
    pub from: Option<String>,
    /// Ids of events.
    pub entropy: Arc<dyn Entropy>,
}

/// A request whose signature is good.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it tells.
    pub form: &'a Form,
    /// Its body, or its query where it has none.
    pub body: &'a [u8],
    /// Twilio's name for it: the same at each retry.
    pub token: Option<&'a str>,
    /// When it was read.
    pub received_at: Timestamp,
}

/// Who and where.
#[derive(Default)]
struct Place<'a> {
    channel: Option<&'a str>,
    user: Option<&'a str>,
    display_name: Option<&'a str>,
    is_self: bool,
}

type Members<'a> = Vec<(&'static str, Value<'a>)>;

// === impl Posted ===

impl Posted {
    /// What a form is; an error says what it lacks.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn of(form: &Form) -> Result<Self, &'static str> {
        if let Some(kind) = form.get("EventType").filter(|kind| kind.starts_with("on")) {
            let is_kind = kind.len() <= MAX_KIND && kind.bytes().all(|b| b.is_ascii_alphabetic());
            let message = kind == "onMessageAdded";
            return match () {
                () if !is_kind => Err("EventType is none of Twilio's"),
                () if form.get("ConversationSid").is_none() => Err("ConversationSid is missing"),
                () if message && form.get("MessageSid").is_none() => Err("MessageSid is missing"),
                () if message => Ok(Self::ConversationMessage),
                () => Ok(Self::Conversation),
            };
        }
        if sid(form).is_none() {
            return Err("MessageSid is missing");
        }
        let received = |status: &str| matches!(status, "received" | "receiving");
        let status = form.get("MessageStatus").or(form.get("SmsStatus"));
        match status {
            Some(status) if !received(status) => Ok(Self::Status),
            _ if form.get("From").is_none() => Err("From is missing"),
            _ if form.value("Body").is_none() && form.get("NumMedia").is_none() => Err("Body is missing"),
            _ => Ok(Self::Message),
        }
    }
}

/// The message's id.
pub fn sid(form: &Form) -> Option<&str> {
    form.get("MessageSid").or(form.get("SmsSid")).or(form.get("SmsMessageSid"))
}

// === impl Normalizer ===

impl Normalizer {
    /// The event of a request.
    pub fn event(&self, posted: Posted, request: &Request<'_>) -> Inbound {
        match posted {
            Posted::Message => self.message(request),
            Posted::ConversationMessage => self.conversation_message(request),
            Posted::Conversation => self.conversation(request),
            Posted::Status => self.status(request),
        }
    }

    /// Whether we are the author of what is said in a conversation. Who has no name there is `system` to others.
    fn is_own(&self, author: Option<&str>) -> bool {
        author == Some(self.identity.as_deref().unwrap_or("system"))
    }

    fn message(&self, request: &Request<'_>) -> Inbound {
        let form = request.form;
        let from = form.get("From");
        let is_self = from.is_some() && from == self.from.as_deref();
        let channel_type = match from {
            Some(from) if from.starts_with("whatsapp:") => "whatsapp",
            _ if form.get("NumMedia").is_some_and(|count| count != "0") => "mms",
            _ => "sms",
        };
        let media = media(form);
        let mut extra: Members<'_> = vec![("channelType", Value::Text(channel_type))];
        for (key, name) in [("from", "From"), ("to", "To"), ("optOutType", "OptOutType")] {
            extra.extend(form.get(name).map(|text| (key, Value::Text(text))));
        }
        extra.extend(media.as_ref().map(|media| ("media", Value::Json(media))));
        let place =
            Place { user: from, display_name: form.get("ProfileName").or(from), is_self, ..Place::default() };
        self.chat(request, sid(form).unwrap_or_default(), &place, &extra, None)
    }

    fn conversation_message(&self, request: &Request<'_>) -> Inbound {
        let form = request.form;
        let author = form.get("Author");
        let media = form.get("Media").and_then(|media| Raw::parse(&media.to_owned().into()).ok());
        let mut participant: Members<'_> = Vec::new();
        participant.extend(form.get("ParticipantSid").map(|sid| ("sid", Value::Text(sid))));
        participant.push(("channelType", Value::Text(channel_type(form))));
        let mut extra: Members<'_> = Vec::new();
        for (key, name) in [
            ("author", "Author"),
            ("conversationSid", "ConversationSid"),
            ("index", "Index"),
            ("attributes", "Attributes"),
        ] {
            extra.extend(form.get(name).map(|text| (key, Value::Text(text))));
        }
        extra.push(("participant", Value::Object(&participant)));
        extra.extend(media.as_ref().map(|media| ("media", Value::Json(media))));
        let place = Place {
            channel: form.get("ConversationSid"),
            user: author,
            display_name: author,
            is_self: self.is_own(author),
        };
        let sent_at = form.get("DateCreated").and_then(Timestamp::parse);
        self.chat(request, form.get("MessageSid").unwrap_or_default(), &place, &extra, sent_at)
    }

    fn chat(
        &self,
        request: &Request<'_>,
        sid: &str,
        place: &Place<'_>,
        extra: &[(&'static str, Value<'_>)],
        sent_at: Option<Timestamp>,
    ) -> Inbound {
        let tags = request.form.unique();
        let kept = kept(request, tags.len());
        let raw: Members<'_> = kept.iter().map(|(key, body)| (*key, Value::Text(body))).collect();
        let content = Content::Chat(ChatContent {
            message_id: sid,
            text: request.form.value("Body").unwrap_or_default(),
            color: None,
            badges: &[],
            is_mod: false,
            is_subscriber: false,
            emotes: &[],
            extra,
            tags: &tags,
            raw: &raw,
            sent_at,
        });
        self.finish(request, CHAT_TYPE, sid, place, content)
    }

    fn conversation(&self, request: &Request<'_>) -> Inbound {
        let form = request.form;
        let kind = form.get("EventType").unwrap_or_default();
        let author = form.get("Author").or(form.get("Identity"));
        let mut payload: Members<'_> = Vec::new();
        for (key, name) in [
            ("conversationSid", "ConversationSid"),
            ("chatServiceSid", "ChatServiceSid"),
            ("participantSid", "ParticipantSid"),
            ("messageSid", "MessageSid"),
            ("identity", "Identity"),
            ("author", "Author"),
            ("text", "Body"),
            ("state", "StateTo"),
            ("status", "Status"),
            ("errorCode", "ErrorCode"),
            ("bindingType", "MessagingBinding.Type"),
            ("address", "MessagingBinding.Address"),
            ("friendlyName", "FriendlyName"),
            ("origin", "Source"),
        ] {
            payload.extend(form.get(name).map(|text| (key, Value::Text(text))));
        }
        let created_at = form.get("DateCreated").and_then(Timestamp::parse).unwrap_or(request.received_at);
        let tags = form.unique();
        let kept = kept(request, tags.len());
        let raw: Members<'_> = kept.iter().map(|(key, body)| (*key, Value::Text(body))).collect();
        let id = self.id_of(request);
        let content = Content::External(ExternalContent {
            id: &id,
            source: CONVERSATIONS.1,
            kind,
            version: "1",
            created_at,
            payload: &payload,
            tags: &tags,
            raw: &raw,
        });
        let place = Place {
            channel: form.get("ConversationSid"),
            user: author.or(form.get("MessagingBinding.Address")),
            display_name: author,
            is_self: author.is_some() && self.is_own(author),
        };
        self.finish(request, CONVERSATIONS.0, &id, &place, content)
    }

    /// It has neither user nor channel, so that nobody is answered because of it.
    fn status(&self, request: &Request<'_>) -> Inbound {
        let form = request.form;
        let sid = sid(form).unwrap_or_default();
        let status = form.get("MessageStatus").or(form.get("SmsStatus")).unwrap_or_default();
        let to = form.get("To").map(last_four);
        let mut payload: Members<'_> =
            vec![("messageSid", Value::Text(sid)), ("status", Value::Text(status))];
        payload.extend(form.get("ErrorCode").map(|code| ("errorCode", Value::Text(code))));
        payload.extend(form.get("ErrorMessage").map(|text| ("errorMessage", Value::Text(text))));
        payload.extend(to.as_deref().map(|to| ("to", Value::Text(to))));
        let unique = form.unique();
        let is_address = |name: &str| matches!(name, "To" | "From" | "ChannelToAddress" | "WaId");
        let shown = |name: &str, value: &str| if is_address(name) { masked(value) } else { value.to_owned() };
        let shown: Vec<(&str, String)> =
            unique.iter().map(|(name, value)| (*name, shown(name, value))).collect();
        let tags: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let id = format!("{sid}:{status}");
        let content = Content::External(ExternalContent {
            id: &id,
            source: MESSAGING.1,
            kind: "message.status",
            version: "1",
            created_at: request.received_at,
            payload: &payload,
            tags: &tags,
            raw: &[],
        });
        self.finish(request, MESSAGING.0, &id, &Place::default(), content)
    }

    /// What has no id of its own has Twilio's name for the request, else one made of all that it tells.
    fn id_of(&self, request: &Request<'_>) -> String {
        let kind = request.form.get("EventType").unwrap_or_default();
        match request.token {
            Some(token) => format!("{kind}:{token}"),
            None => {
                let told: Vec<_> =
                    request.form.unique().into_iter().filter(|(name, _)| *name != "RetryCount").collect();
                format!("{kind}:{}", sha256_hex(format!("{told:?}").as_bytes()))
            }
        }
    }

    fn finish(
        &self,
        request: &Request<'_>,
        kind: &str,
        id: &str,
        place: &Place<'_>,
        content: Content<'_>,
    ) -> Inbound {
        let received_at = request.received_at;
        let draft = Draft {
            id: self.entropy.uuid_at(received_at),
            correlation_id: self.entropy.uuid_at(received_at),
            trace_id: self.entropy.uuid(),
            received_at,
            kind,
            source: SOURCE,
            platform: PLATFORM,
            channel: place.channel,
            channel_id: place.channel,
            user_id: place.user,
            user_login: place.user,
            user_display_name: place.display_name,
            egress: &self.egress,
            is_self: place.is_self,
            content,
        };
        let id = MessageId::new(&format!("{PLATFORM}:{id}"));
        Inbound {
            attributes: draft.attributes(&id),
            body: draft.encode(self.shape),
            id,
            conversation: place.channel.or(place.user).unwrap_or(PLATFORM).into(),
            received_at,
        }
    }
}

/// The body itself, where the tags do not tell all of it: repeated names, and what is not UTF-8.
fn kept(request: &Request<'_>, names: usize) -> Option<(&'static str, String)> {
    match std::str::from_utf8(request.body) {
        Ok(body) if request.form.is_text() && names < request.form.len() => Some(("body", body.to_owned())),
        Ok(_) if request.form.is_text() => None,
        _ => Some(("base64", STANDARD.encode(request.body))),
    }
}

/// How who wrote in a conversation takes part in it.
fn channel_type(form: &Form) -> &str {
    form.get("MessagingBinding.Type").unwrap_or(match form.get("Author") {
        Some(author) if author.starts_with("whatsapp:") => "whatsapp",
        Some(author) if author.starts_with('+') => "sms",
        _ => "chat",
    })
}

/// Addresses and types of what came with a text message, as JSON.
fn media(form: &Form) -> Option<Raw> {
    let count: usize = form.get("NumMedia")?.parse().ok()?;
    let one = |n: usize| {
        let url = form.get(&format!("MediaUrl{n}"))?;
        Some(json!({ "url": url, "contentType": form.get(&format!("MediaContentType{n}")) }))
    };
    let all: Vec<_> = (0..count.min(MAX_MEDIA)).filter_map(one).collect();
    (!all.is_empty()).then(|| Raw::of(&all))
}
