//! Turns what the platform says into events. Pure but for the random ids, whose source is passed in.

use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::{ChatContent, Content, Draft, Entropy, MessageId, Shape, Timestamp, Topic};

use crate::api::Message;
use crate::{PLATFORM, channel_name};

const SOURCE: &str = "ingress.__platform__";
const CHAT_TYPE: &str = "chat.message.v1";

/// What every event needs beside its message.
#[derive(Debug)]
pub(crate) struct Normalizer {
    /// Where answers go: this instance's own egress topic.
    pub(crate) egress: Topic,
    /// How events are laid out.
    pub(crate) shape: Shape,
    pub(crate) entropy: Arc<dyn Entropy>,
}

// === impl Normalizer ===

impl Normalizer {
    /// The event of a message; `None` when its channel's name is none.
    pub(crate) fn chat(&self, message: &Message, received_at: Timestamp) -> Option<Inbound> {
        let channel = channel_name(&message.channel)?;
        // The platform's own id, so that two instances that read the message publish it once.
        let id = MessageId::new(&format!("{PLATFORM}:{}", message.id));
        let draft = Draft {
            id: self.entropy.uuid_at(received_at),
            correlation_id: self.entropy.uuid_at(received_at),
            trace_id: self.entropy.uuid(),
            received_at,
            kind: CHAT_TYPE,
            source: SOURCE,
            platform: PLATFORM,
            channel: Some(&*channel),
            channel_id: None,
            user_id: Some(&*message.user.id),
            user_login: Some(&*message.user.name),
            user_display_name: Some(&*message.user.name),
            egress: &self.egress,
            is_self: false,
            content: Content::Chat(ChatContent {
                message_id: &message.id,
                text: &message.text,
                color: None,
                badges: &[],
                is_mod: false,
                is_subscriber: false,
                emotes: &[],
                extra: &[],
                tags: &[],
                raw: &[],
                sent_at: None,
            }),
        };
        let (attributes, body) = (draft.attributes(&id), draft.encode(self.shape));
        Some(Inbound { id, attributes, body, conversation: Arc::clone(&channel), received_at })
    }
}
