//! What is written into an event. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;
use chatbus_event::json::{Object, Raw};
use chatbus_event::{Event, MAX_EVENT_BYTES, Shape, Timestamp};
use chatbus_store::{Seen, UserStatus, clean};

use crate::identity::{Identity, Person};

/// Most tags of a user that an event carries, most bytes of its notes.
const MAX_TAGS: usize = 64;
const MAX_NOTES: usize = 2000;

/// Why default rules are not to answer a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Our own account said it.
    Own,
    /// Its user is on the list of other bots.
    Listed,
    /// Its user is banned.
    Banned,
    /// Its user answers each of our messages at once.
    BotLoop,
}

// === impl Ignored ===

impl Ignored {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Own, Self::Listed, Self::Banned, Self::BotLoop];

    /// The word in `metadata.ignoredReason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Listed => "listed_bot",
            Self::Banned => "banned",
            Self::BotLoop => "bot_loop",
        }
    }
}

/// Writes `user`, where there is one, and `auth`.
pub(crate) fn write(
    event: &mut Event,
    identity: &Identity,
    found: Option<(&Person, &Seen)>,
    told: Option<&[String]>,
    now: Timestamp,
) {
    if let Some((person, seen)) = found {
        write_user(event, identity, person, seen, told);
    }
    let mut auth = event.member("auth").and_then(|auth| auth.as_object()).unwrap_or_default();
    auth.set("v", Raw::of("1"));
    auth.set("method", Raw::of("enrichment"));
    auth.set("matched", Raw::of(&found.is_some()));
    auth.set("at", Raw::of(&now));
    auth.set("provider", Raw::of(&identity.provider));
    match found {
        Some((_, seen)) => auth.set("userRef", Raw::of(&format!("users/{}", seen.user.id))),
        // Who publishes an event does not vouch for a user.
        None => auth.remove("userRef"),
    }
    event.set("auth", auth.to_raw());
}

/// Marks a message that default rules are not to answer.
pub(crate) fn ignore(event: &mut Event, why: Ignored) {
    event.set_metadata("ignored", Raw::of(&true));
    event.set_metadata("ignoredReason", Raw::of(why.as_str()));
}

/// The event's bytes; when it became too long the platform's own part of the raw payload is cut, and marked as
/// ingress marks it. `None` when it is too long even so.
pub(crate) fn encode(event: &mut Event) -> Option<Bytes> {
    let body = event.encode();
    if body.len() <= MAX_EVENT_BYTES {
        return Some(body);
    }
    let mut message = event.member("message")?.as_object()?;
    let mut raw = message.get("rawPlatformPayload")?.as_object()?;
    raw.set("raw", Raw::of(&serde_json::json!({"truncated": true})));
    message.set("rawPlatformPayload", raw.to_raw());
    event.set("message", message.to_raw());
    Some(event.encode()).filter(|body| body.len() <= MAX_EVENT_BYTES)
}

fn write_user(event: &mut Event, identity: &Identity, person: &Person, seen: &Seen, told: Option<&[String]>) {
    let known = &seen.user;
    // In this shape the raw id stands where the account's is written now.
    if event.shape() == Shape::V1 && event.member("userId").is_none() {
        event.set("userId", Raw::of(&person.raw_id));
    }
    let mut user: Object = event.member("user").and_then(|user| user.as_object()).unwrap_or_default();
    user.set("id", Raw::of(&known.id));
    let names = [
        ("displayName", person.display_name.as_ref().or(known.display_name.as_ref())),
        ("login", person.login.as_ref().or(known.login.as_ref())),
    ];
    for (key, name) in names {
        if let Some(name) = name {
            user.set(key, Raw::of(name));
        }
    }
    user.set("roles", Raw::of(&roles(identity, seen, told)));
    user.set("status", Raw::of(known.status.as_str()));
    user.set("tags", Raw::of(&tags(identity, seen)));
    match known.notes.as_deref() {
        Some(notes) => user.set("notes", Raw::of(&clean(notes, MAX_NOTES))),
        None => user.remove("notes"),
    }
    event.set("user", user.to_raw());
}

/// Given by hand, told by other platforms, and on this one what this very event tells: who moderates one channel
/// does not moderate the next.
fn roles<'a>(identity: &Identity, seen: &'a Seen, told: Option<&'a [String]>) -> BTreeSet<&'a str> {
    let user = &seen.user;
    let elsewhere = user
        .platform_roles
        .iter()
        .filter(|(platform, _)| told.is_none() || **platform != identity.provider)
        .flat_map(|(_, roles)| roles);
    user.granted_roles.iter().chain(elsewhere).chain(told.into_iter().flatten()).map(String::as_str).collect()
}

/// What people gave, and what is known of this sighting.
fn tags(identity: &Identity, seen: &Seen) -> Vec<String> {
    let mut tags = vec![format!("PROVIDER_{}", identity.provider.to_uppercase().replace('-', "_"))];
    let is_returning = !seen.is_new && !seen.is_first_message;
    for (applies, tag) in [
        (seen.is_new, "NEW_USER"),
        (seen.is_first_message, "FIRST_ALLTIME_MESSAGE"),
        (seen.is_first_in_session, "FIRST_SESSION_MESSAGE"),
        (is_returning, "RETURNING_USER"),
    ] {
        if applies {
            tags.push(tag.to_owned());
        }
    }
    for tag in seen.user.tags.iter().take(MAX_TAGS) {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

/// Whether the user may be answered.
pub(crate) fn is_banned(seen: &Seen) -> bool {
    seen.user.status == UserStatus::Banned
}
