//! What may be said: asked before every send, whoever published the event and however often it was tried.

use chatbus_event::{EgressKind, Event};

use chatbus_connector::{Audience, Target};

/// Decides what may be said.
pub trait Policy: Send + Sync {
    /// Whether this may be said, and how. Cheap, never blocks; called again for each attempt.
    fn ask(&self, question: &Question<'_>) -> Answer;
}

/// What is about to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The platform's name.
    pub platform: &'a str,
    /// The channel, where it is for one.
    pub channel: Option<&'a str>,
    /// The raw id of the user, where it is for one.
    pub user_id: Option<&'a str>,
    /// How it is said.
    pub kind: EgressKind,
    /// `source` of the event.
    pub source: &'a str,
    /// `type` of the event.
    pub event_type: &'a str,
    /// The gateway token that it was sent with (`metadata.tokenId`), where there was one.
    pub token: Option<&'a str>,
    /// What is to be said; empty where all of it is data.
    pub text: &'a str,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// As it is.
    Allow,
    /// Not at all: the delivery ends as `denied`.
    Deny {
        /// Which rule says so.
        rule: String,
    },
    /// Something else in its place; where that is blank, nothing at all.
    Replace {
        /// Which rule says so.
        rule: String,
        /// What is said.
        text: String,
    },
}

/// Asks about an event.
pub(crate) fn ask(
    policy: &dyn Policy,
    event: Option<&Event>,
    platform: &str,
    target: &Target,
    text: &str,
) -> Answer {
    let (channel, user_id) = match target {
        Audience::Channel(name) => (Some(&**name), None),
        Audience::User(id) => (None, Some(&**id)),
    };
    let source = event.map(Event::source).unwrap_or_default();
    let event_type = event.map(Event::kind).unwrap_or_default();
    let token = event.and_then(|event| event.metadata("tokenId"));
    let token = token.as_ref().and_then(|token| token.as_str());
    let answer = policy.ask(&Question {
        platform,
        channel,
        user_id,
        kind: event.and_then(Event::egress_kind).unwrap_or(EgressKind::Chat),
        source: &source,
        event_type: &event_type,
        token: token.as_deref(),
        text,
    });
    match answer {
        Answer::Replace { rule, text } if text.trim().is_empty() => Answer::Deny { rule },
        answer => answer,
    }
}
