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

mod chat;
mod external;
mod posted;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_connector::Inbound;
use chatbus_event::{Content, Draft, Entropy, MessageId, Shape, Timestamp, Topic, Value};

use crate::PLATFORM;
use crate::form::Form;
pub use posted::{Posted, sid};

const SOURCE: &str = "ingress.twilio";

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
