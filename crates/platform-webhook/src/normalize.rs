//! Turns a message into an event. Pure but for the random ids, whose source is passed in.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{ChatContent, Content, Draft, Entropy, MessageId, Shape, Timestamp, Topic, Value};

use crate::PLATFORM;
use crate::message::Message;

const SOURCE: &str = "ingress.webhook";
const CHAT_TYPE: &str = "chat.message.v1";

/// What every event needs beside its message.
#[derive(Debug)]
pub(crate) struct Normalizer {
    /// Where answers go: this instance's own egress topic.
    pub(crate) egress: Topic,
    /// How events are laid out.
    pub(crate) shape: Shape,
}

// === impl Normalizer ===

impl Normalizer {
    /// The event of a message. The body it was read from is kept under `raw.body`, so that nothing it holds is
    /// lost.
    pub(crate) fn chat(
        &self,
        message: &Message,
        body: &Bytes,
        received_at: Timestamp,
        entropy: &dyn Entropy,
    ) -> Inbound {
        // The sender's own id, so that whichever instance hears a repeat, it is known.
        let id = MessageId::new(&format!("{PLATFORM}:{}", message.id));
        let body = Raw::parse(body).unwrap_or(Raw::NULL);
        let badges: Vec<&str> = message.badges.iter().map(|badge| &**badge).collect();
        let user = &message.user;
        let login = user.name.as_deref();
        let draft = Draft {
            id: entropy.uuid_at(received_at),
            correlation_id: entropy.uuid_at(received_at),
            trace_id: entropy.uuid(),
            received_at,
            kind: CHAT_TYPE,
            source: SOURCE,
            platform: PLATFORM,
            channel: Some(&*message.channel),
            channel_id: None,
            user_id: Some(&*user.id),
            user_login: login,
            user_display_name: user.display_name.as_deref().or(login),
            egress: &self.egress,
            is_self: false,
            content: Content::Chat(ChatContent {
                message_id: &message.id,
                text: &message.text,
                color: None,
                badges: &badges,
                is_mod: user.is_mod,
                is_subscriber: user.is_subscriber,
                emotes: &[],
                extra: &[],
                tags: &[],
                raw: &[("body", Value::Json(&body))],
                sent_at: message.sent_at,
            }),
        };
        let (attributes, body) = (draft.attributes(&id), draft.encode(self.shape));
        Inbound { id, attributes, body, conversation: Arc::clone(&message.channel), received_at }
    }
}
