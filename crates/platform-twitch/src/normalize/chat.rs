//! A chat message.

use chatbus_connector::Inbound;
use chatbus_event::{ChatContent, Content, Value};

use super::{CHAT_TYPE, Normalizer, Subject, badges, emotes, raw_members};
use crate::irc::ctcp;
use crate::irc::grammar::Message;

type Members<'a> = Vec<(&'static str, Value<'a>)>;

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn chat(&mut self, message: &Message<'_>, subject: &Subject<'_>) -> Inbound {
        let (text, is_action) = ctcp::action(message.param(1).unwrap_or_default());
        let is_self = self.is_own(&subject.sender);
        let (event, bad_emotes) = self.write_chat(subject, text, is_action, is_self);
        self.oddities.bad_emotes += bad_emotes;
        event
    }

    /// The event, and how many of the ranges of its emotes were left out.
    pub(super) fn write_chat(
        &self,
        subject: &Subject<'_>,
        text: &str,
        is_action: bool,
        is_self: bool,
    ) -> (Inbound, u64) {
        let tags = subject.tags;
        let badges = badges::names(tags.get("badges").unwrap_or_default());
        let has = |name: &str| badges.contains(&name);
        let (emotes, bad_emotes) = emotes::parse(tags.get("emotes").unwrap_or_default(), text);
        let reply = reply(subject);
        let mut extra = extra(subject);
        let truths = [
            ("isAction", is_action),
            ("isBroadcaster", has("broadcaster")),
            ("isVip", has("vip") || tags.is_set("vip")),
        ];
        extra.extend(truths.into_iter().filter(|(_, is)| *is).map(|(key, is)| (key, Value::Bool(is))));
        if !reply.is_empty() {
            extra.push(("reply", Value::Object(&reply)));
        }
        let raw = raw_members(None, subject.base64.as_deref());
        let content = ChatContent {
            message_id: &subject.identity.id,
            text,
            color: tags.get("color").filter(|color| is_color(color)),
            is_mod: tags.is_set("mod") || has("moderator"),
            // Twitch says subscriber=0 of founders, who are subscribers.
            is_subscriber: tags.is_set("subscriber") || has("subscriber") || has("founder"),
            badges: &badges,
            emotes: &emotes,
            extra: &extra,
            tags: tags.pairs(),
            raw: &raw,
            sent_at: subject.sent_at,
        };
        (self.finish(subject, CHAT_TYPE, is_self, Content::Chat(content)), bad_emotes)
    }
}

/// What not every message has; absent where it is not so.
fn extra<'a>(subject: &'a Subject<'_>) -> Members<'a> {
    let tags = subject.tags;
    // At least one of them is there nearly always, and hardly ever more than these.
    let mut members: Members<'a> = Vec::with_capacity(8);
    members.extend(tags.number("bits").map(|bits| ("bits", Value::Number(bits))));
    for (key, tag) in [
        ("customRewardId", "custom-reward-id"),
        ("msgId", "msg-id"),
        ("sourceRoomId", "source-room-id"),
        ("sourceMessageId", "source-id"),
        ("clientNonce", "client-nonce"),
    ] {
        members.extend(tags.get(tag).map(|text| (key, Value::Text(text))));
    }
    for (key, tag) in [
        ("firstMessage", "first-msg"),
        ("returningChatter", "returning-chatter"),
        ("emoteOnly", "emote-only"),
        ("isTurbo", "turbo"),
    ] {
        if tags.is_set(tag) {
            members.push((key, Value::Bool(true)));
        }
    }
    members
}

/// What the message answers.
fn reply<'a>(subject: &'a Subject<'_>) -> Members<'a> {
    let tags = subject.tags;
    if tags.get("reply-parent-msg-id").is_none() {
        return Vec::new();
    }
    let members = [
        ("parentMessageId", "reply-parent-msg-id"),
        ("parentUserId", "reply-parent-user-id"),
        ("parentUserLogin", "reply-parent-user-login"),
        ("parentDisplayName", "reply-parent-display-name"),
        ("parentText", "reply-parent-msg-body"),
        ("threadMessageId", "reply-thread-parent-msg-id"),
        ("threadUserId", "reply-thread-parent-user-id"),
        ("threadUserLogin", "reply-thread-parent-user-login"),
        ("threadDisplayName", "reply-thread-parent-display-name"),
    ];
    members.into_iter().filter_map(|(key, tag)| Some((key, Value::Text(tags.get(tag)?)))).collect()
}

/// Whether a text is `#RRGGBB`.
pub(crate) fn is_color(text: &str) -> bool {
    text.len() == 7 && text.starts_with('#') && text.bytes().skip(1).all(|b| b.is_ascii_hexdigit())
}
