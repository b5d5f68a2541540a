//! By what a line is known again, when it is read twice: after a reconnect, or by two instances.
//!
//! | line | known by |
//! |---|---|
//! | any with an `id` tag | that id; in shared chat the source's id, which is the same in every room |
//! | USERSTATE with an `id` tag | that id, apart from the message's own, which has the same |
//! | CLEARCHAT, CLEARMSG with a sent time | a hash of command, room, target, sent time and text |
//! | any other | a hash of the line, its tags in any order, without those that say how it came to us |
//!
//! The last row is wider than room, target, time and text: lines such as ROOMSTATE have no time, and
//! differ in nothing but their tags.

use std::borrow::Cow;

use chatbus_event::{MessageId, sha256_hex};

use super::tag_set::TagSet;
use crate::irc::grammar::Message;
use crate::irc::session::Own;

/// Tags that differ between two readings of one line.
const VOLATILE: [&str; 4] = ["rm-received-ts", "historical", "client-nonce", "rm-deleted"];

/// See the module.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    /// The platform's id, or one made of what the line says.
    pub(super) id: Cow<'a, str>,
    /// The dedupe id.
    pub(super) message_id: MessageId,
}

// === impl Identity ===

impl<'a> Identity<'a> {
    pub(super) fn of(message: &Message<'_>, tags: &TagSet<'a>) -> Self {
        if let Some(id) = tags.get("id") {
            let namespace = if message.is("USERSTATE") { "twitch:userstate:" } else { "twitch:" };
            let known_by = tags.get("source-id").unwrap_or(id);
            return Self {
                id: Cow::Borrowed(id),
                message_id: MessageId::new(&[namespace, known_by].concat()),
            };
        }
        let is_moderation = message.is("CLEARCHAT") || message.is("CLEARMSG");
        let hash = match tags.get("tmi-sent-ts") {
            Some(sent) if is_moderation => {
                let room = tags.get("room-id").or_else(|| message.param(0)).unwrap_or_default();
                let target = tags.get("target-msg-id").or_else(|| tags.get("target-user-id"));
                let text = message.param(1).unwrap_or_default();
                hash(&[message.command(), room, target.unwrap_or_default(), sent, text])
            }
            _ => {
                let mut tags = tags.pairs().to_vec();
                tags.retain(|(name, _)| !VOLATILE.contains(name));
                tags.sort_unstable();
                let tags = tags.iter().flat_map(|(name, value)| [*name, *value]);
                hash(&std::iter::once(message.untagged()).chain(tags).collect::<Vec<_>>())
            }
        };
        Self::made(hash)
    }

    /// A message of our own. With the platform's id it is the same event as the one that others read.
    pub(super) fn of_own(own: &'a Own) -> Self {
        match &own.id {
            Some(id) => Self { id: Cow::Borrowed(id), message_id: MessageId::new(&["twitch:", id].concat()) },
            None => Self::made(hash(&["own", &own.delivery, &own.part.to_string()])),
        }
    }

    /// A stretch of time in which an instance, known by its egress topic, did not read.
    pub(super) fn of_gap(instance: &str, from: &str, to: &str, reason: &str, channels: &[&str]) -> Self {
        Self::made(hash(&[&["gap", instance, from, to, reason], channels].concat()))
    }

    /// Bytes that are no message.
    pub(super) fn of_text(text: &str) -> Self {
        Self::made(hash(&["unparsed", text]))
    }

    fn made(hash: String) -> Self {
        Self { message_id: MessageId::new(&["twitch:", &hash].concat()), id: Cow::Owned(hash) }
    }
}

/// The parts, each with its length, so that no two lists read alike.
fn hash(parts: &[&str]) -> String {
    let mut all = String::new();
    for part in parts {
        all.push_str(&part.len().to_string());
        all.push(':');
        all.push_str(part);
    }
    sha256_hex(all.as_bytes())
}
