//! What the suite writes.

use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::{
    Entry, EventFacts, EventStatus, LetterState, PlatformRoles, Sighting, SourceChange, StepEntry,
    StoredLetter,
};

/// Some moment of the suite, so many milliseconds after its first.
pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

/// Far behind every moment of the suite.
pub(super) fn never() -> Timestamp {
    at(1_000_000_000_000)
}

/// A step without facts and snapshot.
pub(super) fn step(event: &str, key: &str, ms: i64, status: EventStatus) -> StepEntry {
    StepEntry {
        correlation_id: event.to_owned(),
        key: key.to_owned(),
        name: format!("name of {key}"),
        at: at(ms),
        detail: Bytes::from(format!("{{\"of\":\"{key}\"}}")),
        snapshot: None,
        status,
        facts: None,
        expires_at: never(),
    }
}

/// A first step with facts.
pub(super) fn received(event: &str, ms: i64, facts: EventFacts) -> Entry {
    let snapshot = Some(Bytes::from(format!("{{\"event\":\"{event}\"}}")));
    Entry::Step(StepEntry {
        facts: Some(facts),
        snapshot,
        ..step(event, "received", ms, EventStatus::Ingested)
    })
}

/// Facts of an event.
pub(super) fn facts(channel: &str, user: &str, text: &str) -> EventFacts {
    EventFacts {
        kind: "chat.message.v1".into(),
        source: "ingress.p".into(),
        platform: Some("p".into()),
        channel: Some(channel.into()),
        user_id: Some(user.into()),
        user_name: None,
        text: Some(text.into()),
    }
}

/// An open letter.
pub(super) fn letter(id: &str, ms: i64) -> StoredLetter {
    StoredLetter {
        id: id.to_owned(),
        correlation_id: format!("event of {id}"),
        reason: "rejected".into(),
        error_code: Some("msg_banned".into()),
        platform: Some("p".into()),
        topic: Some("internal.egress.v1".into()),
        at: at(ms),
        letter: Bytes::from_static(b"the \0 letter \xff"),
        original: Some(Bytes::from_static(b"\xfe the \0 original")),
        state: LetterState::Open,
        expires_at: never(),
    }
}

/// A change of a source that tells nothing.
pub(super) fn source(id: &str, ms: i64) -> SourceChange {
    SourceChange {
        platform: "p".into(),
        id: id.to_owned(),
        at: at(ms),
        status: None,
        stream: None,
        display_name: None,
        detail: None,
    }
}

/// Something raw.
pub(super) fn raw(key: &str, expires_at: Timestamp) -> Entry {
    let body = Bytes::from_static(b"\0\xff");
    Entry::Raw { key: key.to_owned(), body, why: "no\0 JSON".into(), at: at(0), expires_at }
}

/// A message of a user of platform `p`.
pub(super) fn message(key: &str, user: &str, ms: i64) -> Sighting {
    Sighting {
        key: key.to_owned(),
        key_expires_at: never(),
        provider: "p".into(),
        provider_user_id: user.to_owned(),
        login: None,
        display_name: None,
        email: None,
        roles: None,
        at: at(ms),
        is_message: true,
    }
}

/// All roles of a user on platform `p`.
pub(super) fn roles(roles: &[&str]) -> Option<PlatformRoles> {
    let roles = roles.iter().map(|&role| role.to_owned()).collect();
    Some(PlatformRoles { platform: "p".into(), roles })
}
