//! Parts of an event as we use them. A view reads what it knows and ignores the rest: the event
//! keeps every member's text, so nothing is lost by looking at it.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::json::Raw;

/// How an answer is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EgressKind {
    /// In public, or to one's own connections on the gateway.
    Chat,
    /// To one user only.
    Dm,
    /// As data, to gateway connections only.
    Event,
}

/// `egress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressView<'e> {
    /// `destination`, else the event's `egressDestination`; blank is none.
    pub destination: Option<Cow<'e, str>>,
    /// `type`, `chat` where none stands; `None` for a word we do not know.
    pub kind: Option<EgressKind>,
}

/// `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageView {
    /// `id`.
    pub id: Option<String>,
    /// `role`: `user`, `assistant`, `system` or `tool`.
    pub role: Option<String>,
    /// `text`.
    pub text: Option<String>,
    /// `rawPlatformPayload`.
    pub raw_platform_payload: Option<Raw>,
}

/// One of `candidates`: something that could be said.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// `id`.
    pub id: Option<String>,
    /// `status`: `proposed`, `selected`, `superseded` or `rejected`.
    pub status: Option<String>,
    /// `priority`: the lowest is best.
    pub priority: Option<f64>,
    /// `confidence`: the highest is best.
    pub confidence: Option<f64>,
    /// `createdAt`: the earliest is best.
    pub created_at: Option<Timestamp>,
    /// `text`.
    pub text: Option<String>,
}

/// One of `annotations`.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// `kind`.
    pub kind: String,
    /// `source`.
    pub source: String,
    /// `label`.
    pub label: Option<String>,
    /// `value`, whatever it is.
    pub value: Option<Raw>,
    /// `score`.
    pub score: Option<f64>,
    /// `payload`.
    pub payload: Option<Raw>,
}

/// `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthView {
    /// `provider`.
    pub provider: Option<String>,
    /// `matched`.
    pub matched: bool,
    /// `userRef`.
    pub user_ref: Option<String>,
}

/// One step of `routingSlip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `id`.
    pub id: String,
    /// `status`: `PENDING`, `OK`, `ERROR` or `SKIP`.
    pub status: String,
    /// `attempt`.
    pub attempt: Option<u64>,
    /// `nextTopic`.
    pub next_topic: Option<String>,
}

// === impl EgressKind ===

impl EgressKind {
    /// The kind this word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "chat" => Some(Self::Chat),
            "dm" => Some(Self::Dm),
            "event" => Some(Self::Event),
            _ => None,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Dm => "dm",
            Self::Event => "event",
        }
    }
}

// === reading ===

fn text(raw: &Raw, key: &str) -> Option<String> {
    raw.get(key)?.as_str().map(Cow::into_owned)
}

fn number(raw: &Raw, key: &str) -> Option<f64> {
    raw.get(key)?.as_f64()
}

impl MessageView {
    /// Reads an object; `None` when it is something else.
    pub fn read(raw: &Raw) -> Option<Self> {
        if !raw.is_object() {
            return None;
        }
        let [id, role, text, raw_platform_payload] = raw.pick(["id", "role", "text", "rawPlatformPayload"]);
        let word = |raw: Option<Raw>| raw?.as_str().map(Cow::into_owned);
        Some(Self { id: word(id), role: word(role), text: word(text), raw_platform_payload })
    }
}

impl Candidate {
    /// Reads an object; `None` when it is something else.
    pub fn read(raw: &Raw) -> Option<Self> {
        if !raw.is_object() {
            return None;
        }
        let [id, status, priority, confidence, created_at, text] =
            raw.pick(["id", "status", "priority", "confidence", "createdAt", "text"]);
        let word = |raw: Option<Raw>| raw?.as_str().map(Cow::into_owned);
        Some(Self {
            id: word(id),
            status: word(status),
            priority: priority.and_then(|p| p.as_f64()),
            confidence: confidence.and_then(|c| c.as_f64()),
            created_at: created_at.and_then(|at| Timestamp::parse(&at.as_str()?)),
            text: word(text),
        })
    }
}

impl Annotation {
    /// Reads an object with a `kind`.
    pub fn read(raw: &Raw) -> Option<Self> {
        Some(Self {
            kind: text(raw, "kind")?,
            source: text(raw, "source").unwrap_or_default(),
            label: text(raw, "label"),
            value: raw.get("value"),
            score: number(raw, "score"),
            payload: raw.get("payload"),
        })
    }
}

impl AuthView {
    /// Reads an object; `None` when it is something else.
    pub fn read(raw: &Raw) -> Option<Self> {
        let [provider, matched, user_ref] =
            raw.is_object().then(|| raw.pick(["provider", "matched", "userRef"]))?;
        let word = |raw: Option<Raw>| raw?.as_str().map(Cow::into_owned);
        Some(Self {
            provider: word(provider).filter(|p| !p.trim().is_empty()),
            matched: matched.and_then(|m| m.as_bool()).unwrap_or(false),
            user_ref: word(user_ref),
        })
    }
}

impl Step {
    /// Reads an object with an `id`.
    pub fn read(raw: &Raw) -> Option<Self> {
        Some(Self {
            id: text(raw, "id")?,
            status: text(raw, "status").unwrap_or_else(|| "PENDING".to_owned()),
            attempt: raw.get("attempt").and_then(|a| a.as_u64()),
            next_topic: text(raw, "nextTopic"),
        })
    }

    /// Whether nothing more is to be done here.
    pub fn is_done(&self) -> bool {
        matches!(self.status.as_str(), "OK" | "SKIP")
    }
}
