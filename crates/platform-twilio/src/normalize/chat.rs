//! Messages: by text message, and in conversations.

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{ChatContent, Content, Timestamp, Value};
use serde_json::json;

use super::posted::sid;
use super::{Members, Normalizer, Place, Request, kept};
use crate::form::Form;

const TYPE: &str = "chat.message.v1";
/// Media of one message that are told; Twilio sends ten at most.
const MAX_MEDIA: usize = 32;

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn message(&self, request: &Request<'_>) -> Inbound {
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

    pub(super) fn conversation_message(&self, request: &Request<'_>) -> Inbound {
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
        self.finish(request, TYPE, sid, place, content)
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
