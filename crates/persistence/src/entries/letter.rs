//! Dead letters, as they are read from their topics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chatbus_bus::Record;
use chatbus_event::json::Raw;
use chatbus_event::{DEAD_LETTER_TYPE, Event, Family, Reason, Topic};
use chatbus_store::{Entry, EventStatus, LetterState, StepEntry, StoredLetter};
use serde_json::json;

use super::common::{cleaned_id, detail, facts, key, text, told_at, ttl, value};
use crate::config::PersistenceConfig;

/// What one of our own dead letters is named after: `<topic>/<message id>`, and this.
const SUFFIX: &str = "/deadletter";

pub(super) fn of(record: &Record, config: &PersistenceConfig) -> Result<Vec<Entry>, String> {
    let body = &record.message.body;
    let event = Event::decode(body).map_err(|error| error.to_string())?;
    let is_letter = event.kind() == DEAD_LETTER_TYPE;
    if !is_letter && record.topic.family() != Family::RouterDlq {
        return Err("no dead letter".to_owned());
    }
    let correlation_id = cleaned_id(&event.correlation_id().ok_or("no correlation id")?);
    // What matched no rule may also come as it is.
    let payload = event.payload().filter(|_| is_letter);
    let told = |name: &str| payload.as_ref()?.get(name);
    let original = if is_letter { original(told("original")) } else { Some(body.clone()) };
    let inner = original.as_ref().and_then(|bytes| Event::decode(bytes).ok());
    let named = if is_letter { "unknown" } else { Reason::NoRule.as_str() };
    let reason = told("reason").and_then(|reason| text(&reason)).unwrap_or_else(|| named.to_owned());
    let found = facts(inner.as_ref().unwrap_or(&event), config);
    let source = told("egressSource").and_then(|source| text(&source));
    let platform = found.platform.clone().or_else(|| config.platform_of(source.as_deref()?));
    let topic = topic(record, is_letter);
    let at = if is_letter { told_at(event.member("timestamp"), record) } else { record.published_at };
    let expires_at = record.published_at.plus(ttl(inner.as_ref().unwrap_or(&event), config));
    let error = told("error");
    let id = record.message.id.to_string();
    let more = json!({
        "letter": id,
        "reason": reason,
        "error": value(error.as_ref()),
        "lastStepId": value(told("lastStepId").as_ref()),
        "slipSummary": value(told("slipSummary").as_ref()),
        "originalType": value(told("originalType").as_ref()),
        "originalRef": value(told("originalRef").as_ref()),
        "attempts": value(told("attempts").as_ref()),
        "from": topic,
        "replay": value(inner.as_ref().and_then(|event| event.metadata("replay")).as_ref()),
    });
    let step = StepEntry {
        correlation_id: correlation_id.clone(),
        key: key(record, ""),
        name: "dead_letter".to_owned(),
        at,
        detail: detail(record, more),
        snapshot: None,
        status: EventStatus::Error,
        facts: Some(found),
        expires_at,
    };
    let letter = StoredLetter {
        id,
        correlation_id,
        reason,
        error_code: error.and_then(|error| text(&error.get("code")?)),
        platform,
        topic,
        at,
        letter: body.clone(),
        original,
        state: LetterState::Open,
        expires_at,
    };
    Ok(vec![Entry::Letter(letter), Entry::Step(step)])
}

/// The whole original; `None` where the letter does not have all of it.
fn original(told: Option<Raw>) -> Option<Bytes> {
    let told = told.filter(|told| !told.is_null())?;
    let [encoding, data, size] = told.pick(["encoding", "data", "size"]);
    if encoding.and_then(|word| text(&word)).as_deref() != Some("base64") || told.get("type").is_some() {
        return Some(told.to_bytes());
    }
    let bytes = BASE64.decode(data?.as_str()?.as_bytes()).ok()?;
    (size?.as_u64() == Some(bytes.len() as u64)).then(|| bytes.into())
}

/// The topic that the original stood on, where the letter's name tells.
fn topic(record: &Record, is_letter: bool) -> Option<String> {
    if !is_letter {
        return Some(Topic::enriched().to_string());
    }
    let (topic, _) = record.message.id.as_str().strip_suffix(SUFFIX)?.split_once('/')?;
    Topic::parse(topic).ok().map(|topic| topic.to_string())
}
