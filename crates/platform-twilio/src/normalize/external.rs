//! What is no message: what happens to conversations, and the status of what we sent.

use chatbus_connector::Inbound;
use chatbus_event::{Content, ExternalContent, Timestamp, Value, sha256_hex};

use super::posted::sid;
use super::{Members, Normalizer, Place, Request, kept};
use crate::address::{last_four, masked};

/// The event's type, and which interface tells it.
const MESSAGING: (&str, &str) = ("twilio.messaging.v1", "twilio.messaging");
const CONVERSATIONS: (&str, &str) = ("twilio.conversations.v1", "twilio.conversations");

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn conversation(&self, request: &Request<'_>) -> Inbound {
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
    pub(super) fn status(&self, request: &Request<'_>) -> Inbound {
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
}
