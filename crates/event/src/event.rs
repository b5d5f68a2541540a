//! An event as it is read from the bus: one view over three wire shapes, nothing of them lost.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::json::{Object, Raw, string};
use crate::view::{Annotation, AuthView, Candidate, EgressKind, EgressView, MessageView, Step};

/// How an event is laid out in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Shape {
    /// Everything at the top.
    #[default]
    Flat,
    /// `envelope{…}` with `type`, `channel`, `userId` and `payload` beside it.
    Nested,
    /// Envelope v1: `source{platform,channel,channelId}`, `user{…}`, `payload{text,…}`.
    V1,
}

/// Why some bytes are not an event. Such bytes become a dead letter `invalid_event`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event: {0}")]
pub struct InvalidEvent(pub String);

/// An event. Decoding and encoding it unchanged gives back the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    shape: Shape,
    document: Object,
    /// The members of `envelope`, in the nested shape.
    envelope: Option<Object>,
}

/// Members that stand under `envelope` in the nested shape.
const ENVELOPE_MEMBERS: [&str; 15] = [
    "v",
    "id",
    "source",
    "correlationId",
    "traceId",
    "timestamp",
    "replyTo",
    "timeoutAt",
    "routingSlip",
    "egressDestination",
    "egress",
    "finalizationDestination",
    "user",
    "auth",
    "metadata",
];

// === impl Shape ===

impl Shape {
    /// The shape of this name: `flat`, `nested` or `v1`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "flat" => Some(Self::Flat),
            "nested" => Some(Self::Nested),
            "v1" => Some(Self::V1),
            _ => None,
        }
    }
}

// === impl Event ===

impl Event {
    /// Reads an event of any shape.
    ///
    /// # Errors
    /// When the bytes are not one JSON object of at most 100 levels, or hold neither a `type` nor a
    /// source.
    pub fn decode(bytes: &Bytes) -> Result<Self, InvalidEvent> {
        let document = Object::parse(bytes).map_err(|error| InvalidEvent(error.to_string()))?;
        let document = document.ok_or_else(|| InvalidEvent("JSON, but no object".to_owned()))?;
        let envelope = document.get("envelope").and_then(|raw| raw.as_object());
        let shape = if envelope.is_some() {
            Shape::Nested
        } else if document.look("source").is_some_and(|text| text.first() == Some(&b'{')) {
            Shape::V1
        } else {
            Shape::Flat
        };
        let event = Self { shape, document, envelope };
        if event.kind().is_empty() && event.source().is_empty() {
            return Err(InvalidEvent("neither a type nor a source".to_owned()));
        }
        Ok(event)
    }

    /// The event's bytes: the very ones it was read from where nothing changed.
    pub fn encode(&self) -> Bytes {
        let Some(envelope) = &self.envelope else { return self.document.encode() };
        let mut document = self.document.clone();
        document.set("envelope", envelope.to_raw());
        document.encode()
    }

    /// How it is laid out.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// A member by its name in the flat shape, wherever this shape keeps it. In the older shapes
    /// `annotations`, `candidates` and `errors` may also stand in `payload`.
    pub fn member(&self, name: &str) -> Option<Raw> {
        let beside = || self.document.get(name);
        let found = match &self.envelope {
            Some(envelope) if ENVELOPE_MEMBERS.contains(&name) => envelope.get(name).or_else(beside),
            _ => beside(),
        };
        let in_payload = self.shape != Shape::Flat
            && matches!(name, "annotations" | "candidates" | "errors")
            && found.is_none();
        if in_payload { self.document.get("payload")?.get(name) } else { found }
    }

    /// Sets a member by its name in the flat shape, where this shape keeps it.
    pub fn set(&mut self, name: &str, value: Raw) {
        match &mut self.envelope {
            Some(envelope) if ENVELOPE_MEMBERS.contains(&name) => envelope.set(name, value),
            _ => self.document.set(name, value),
        }
    }

    /// Sets one member of `metadata`, keeping the others.
    pub fn set_metadata(&mut self, key: &str, value: Raw) {
        let mut metadata = self.member("metadata").and_then(|raw| raw.as_object()).unwrap_or_default();
        metadata.set(key, value);
        self.set("metadata", metadata.to_raw());
    }

    /// `type`, or an empty text.
    pub fn kind(&self) -> Cow<'_, str> {
        self.document.look("type").and_then(string).unwrap_or_default()
    }

    /// `source`; for Envelope v1 its platform.
    pub fn source(&self) -> Cow<'_, str> {
        match self.shape {
            Shape::V1 => self.v1_source("platform").unwrap_or_default(),
            _ => self.text("source").unwrap_or_default(),
        }
    }

    /// `id`.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.text("id")
    }

    /// `correlationId`.
    pub fn correlation_id(&self) -> Option<Cow<'_, str>> {
        self.text("correlationId")
    }

    /// `traceId`: 32 hex digits, or in the older shapes a UUID.
    pub fn trace_id(&self) -> Option<Cow<'_, str>> {
        self.text("traceId")
    }

    /// `channel`, not blank; for Envelope v1 the source's, else its `channelId`.
    pub fn channel(&self) -> Option<Cow<'_, str>> {
        let named = self.text("channel");
        match self.shape {
            Shape::V1 => named.or_else(|| self.v1_source("channel")).or_else(|| self.v1_source("channelId")),
            _ => named,
        }
    }

    /// `userId`, not blank; for Envelope v1 the id of `user`.
    pub fn user_id(&self) -> Option<Cow<'_, str>> {
        let named = self.text("userId");
        match self.shape {
            Shape::V1 => named.or_else(|| owned(&self.member("user")?.get("id")?)),
            _ => named,
        }
    }

    /// Where an answer goes and how it is said.
    pub fn egress(&self) -> EgressView<'_> {
        let inner = self.member("egress").map(|egress| egress.pick(["destination", "type"]));
        let [destination, kind] = inner.unwrap_or_default();
        let destination = destination.and_then(|raw| owned(&raw));
        EgressView {
            destination: destination.or_else(|| self.text("egressDestination")),
            kind: kind_of(kind),
        }
    }

    /// How an answer is said: the same as in [`Event::egress`].
    pub fn egress_kind(&self) -> Option<EgressKind> {
        kind_of(self.member("egress").and_then(|egress| egress.get("type")))
    }

    /// `message`.
    pub fn message(&self) -> Option<MessageView> {
        self.member("message").and_then(|raw| MessageView::read(&raw))
    }

    /// `payload`.
    pub fn payload(&self) -> Option<Raw> {
        self.document.get("payload")
    }

    /// The candidates that can be read; others are left alone.
    pub fn candidates(&self) -> Vec<Candidate> {
        self.list("candidates", Candidate::read)
    }

    /// The annotations that can be read; others are left alone.
    pub fn annotations(&self) -> Vec<Annotation> {
        self.list("annotations", Annotation::read)
    }

    /// The steps of the routing slip that can be read; others are left alone.
    pub fn routing_slip(&self) -> Vec<Step> {
        self.list("routingSlip", Step::read)
    }

    /// `auth`.
    pub fn auth(&self) -> Option<AuthView> {
        self.member("auth").and_then(|raw| AuthView::read(&raw))
    }

    /// One member of `metadata`.
    pub fn metadata(&self, key: &str) -> Option<Raw> {
        self.member("metadata")?.get(key)
    }

    /// `metadata.deadlineMs`: how long a delivery may take.
    pub fn deadline(&self) -> Option<Duration> {
        let ms = self.metadata("deadlineMs")?.as_f64()?;
        (ms.is_finite() && ms > 0.0).then(|| Duration::from_secs_f64((ms / 1000.0).min(1e9)))
    }

    /// `timeoutAt`: after it nothing is sent.
    pub fn timeout_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.text("timeoutAt")?)
    }

    /// `replyTo`: where a copy of the outcome goes.
    pub fn reply_to(&self) -> Option<Cow<'_, str>> {
        self.text("replyTo")
    }

    /// `finalizationDestination`: where the outcome goes.
    pub fn finalization_destination(&self) -> Option<Cow<'_, str>> {
        self.text("finalizationDestination")
    }

    fn v1_source(&self, key: &str) -> Option<Cow<'_, str>> {
        owned(&self.document.get("source")?.get(key)?)
    }

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let beside = || self.document.look(name);
        let found = match &self.envelope {
            Some(envelope) if ENVELOPE_MEMBERS.contains(&name) => envelope.look(name).or_else(beside),
            _ => beside(),
        };
        not_blank(found?)
    }

    fn list<T>(&self, name: &str, read: impl Fn(&Raw) -> Option<T>) -> Vec<T> {
        let values = self.member(name).and_then(|raw| raw.as_array()).unwrap_or_default();
        values.iter().filter_map(read).collect()
    }
}

/// `None` for a word that is none of ours.
fn kind_of(word: Option<Raw>) -> Option<EgressKind> {
    match word.filter(|word| !word.is_null()) {
        None => Some(EgressKind::Chat),
        Some(word) => word.as_str().and_then(|word| EgressKind::parse(&word)),
    }
}

fn not_blank(text: &[u8]) -> Option<Cow<'_, str>> {
    string(text).filter(|text| !is_blank(text))
}

/// The same of what is no part of the event any more.
fn owned(raw: &Raw) -> Option<Cow<'static, str>> {
    not_blank(raw.as_bytes()).map(|text| Cow::Owned(text.into_owned()))
}

/// Whether there is nothing but white space in it. Nearly every text begins with something else.
pub(crate) fn is_blank(text: &str) -> bool {
    !text.as_bytes().first().is_some_and(u8::is_ascii_graphic) && text.trim().is_empty()
}

#[cfg(test)]
mod tests;
