//! What all kinds of entries have in common.

use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::Record;
use chatbus_event::json::Raw;
use chatbus_event::{Event, MessageId, Timestamp, egress_text, names};
use chatbus_store::EventFacts;
use serde_json::Value;

use crate::config::PersistenceConfig;

/// The longest time that an event may ask to be kept.
const MAX_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Names a step among those of its event, and a message among those kept raw: a repeat has the same key.
pub(crate) fn key(record: &Record, more: &str) -> String {
    let family = record.topic.family().label();
    cleaned_id(&format!("{family}/{}{more}", record.message.id))
}

/// A name from outside as every database takes it: one that is too long or odd is replaced by its hash.
pub(crate) fn cleaned_id(text: &str) -> String {
    MessageId::new(text).to_string()
}

/// What names the event's life; where the event does not say, the attribute, else the message's id, as auth
/// writes it into the event.
pub(crate) fn correlation_id(event: &Event, record: &Record) -> String {
    let attribute = || record.message.attributes.get(names::CORRELATION_ID).filter(|id| !id.is_empty());
    match event.correlation_id() {
        Some(id) => cleaned_id(&id),
        None => cleaned_id(attribute().unwrap_or(record.message.id.as_str())),
    }
}

/// `qos.ttl`, in seconds, where it is one.
pub(crate) fn qos_ttl(qos: Option<&Raw>) -> Option<Duration> {
    let seconds = qos?.get("ttl")?.as_f64()?;
    (seconds.is_finite() && seconds > 0.0)
        .then(|| Duration::from_secs_f64(seconds.min(MAX_TTL.as_secs_f64())))
}

/// How long an event is kept.
pub(crate) fn ttl(event: &Event, config: &PersistenceConfig) -> Duration {
    qos_ttl(event.member("qos").as_ref()).unwrap_or(config.ttl)
}

/// A time in the event's own words, but none after the bus had the message.
pub(crate) fn told_at(told: Option<Raw>, record: &Record) -> Timestamp {
    let told = told.and_then(|at| Timestamp::parse(&at.as_str()?));
    told.map_or(record.published_at, |at| at.min(record.published_at))
}

/// By what an event is found.
pub(crate) fn facts(event: &Event, config: &PersistenceConfig) -> EventFacts {
    let source = event.source();
    let auth = event.auth();
    let provider = auth.as_ref().and_then(|auth| auth.provider.clone());
    let platform = config.platform_of(&source).or_else(|| config.platform_of(provider.as_deref()?));
    let message = event.message();
    let user = event.member("user");
    let of_user = |key: &str| text(&user.as_ref()?.get(key)?);
    let raw_user = message.as_ref().and_then(|message| message.raw_platform_payload.as_ref()?.get("user"));
    let of_raw = |key: &str| text(&raw_user.as_ref()?.get(key)?);
    let matched = auth.filter(|auth| auth.matched).and_then(|_| of_user("id"));
    let said = message.and_then(|message| message.text).filter(|text| !text.is_empty());
    EventFacts {
        kind: event.kind().into_owned(),
        source: source.into_owned(),
        platform,
        channel: event.channel().map(std::borrow::Cow::into_owned),
        user_id: matched.or_else(|| event.user_id().map(std::borrow::Cow::into_owned)),
        user_name: of_user("displayName")
            .or_else(|| of_raw("displayName"))
            .or_else(|| of_user("login"))
            .or_else(|| of_raw("login")),
        text: said.or_else(|| egress_text(event)),
    }
}

/// A text that is not blank.
pub(crate) fn text(raw: &Raw) -> Option<String> {
    raw.as_str().filter(|text| !text.trim().is_empty()).map(std::borrow::Cow::into_owned)
}

/// A step's detail: where the message stood, and what is known besides; what is null is left out.
pub(crate) fn detail(record: &Record, mut more: Value) -> Bytes {
    if let Some(more) = more.as_object_mut() {
        more.retain(|_, value| !value.is_null());
        more.insert("topic".to_owned(), record.topic.as_str().into());
        more.insert("messageId".to_owned(), record.message.id.as_str().into());
    }
    more.to_string().into()
}

/// JSON as a value; `null` where there is none, or none that a number of ours holds.
pub(crate) fn value(raw: Option<&Raw>) -> Value {
    raw.and_then(|raw| serde_json::from_slice(raw.as_bytes()).ok()).unwrap_or(Value::Null)
}
