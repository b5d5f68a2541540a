//! How a delivery ended, as it is read from the finalizer topics.

use chatbus_bus::Record;
use chatbus_event::Status;
use chatbus_event::json::Raw;
use chatbus_store::{Entry, EventStatus, StepEntry};
use serde_json::json;

use super::OwnTtls;
use super::common::{cleaned_id, detail, key, qos_ttl, text, told_at, value};
use super::way::{routing, rules};
use crate::config::PersistenceConfig;

/// Steps of a routing slip that are looked at.
const MAX_STEPS: usize = 64;

/// The correlation id of a finalize event that does not itself say how long its event is kept.
pub(crate) fn correlation_of(record: &Record) -> Option<String> {
    let outcome = Raw::parse(&record.message.body).ok()?;
    qos_ttl(outcome.get("qos").as_ref()).is_none().then(|| correlation(&outcome)).flatten()
}

pub(super) fn of(record: &Record, config: &PersistenceConfig, ttls: &OwnTtls) -> Result<Vec<Entry>, String> {
    let outcome = Raw::parse(&record.message.body).map_err(|error| error.to_string())?;
    let correlation_id = correlation(&outcome).ok_or("no correlation id")?;
    let status = status(&outcome)?;
    let own_ttl = qos_ttl(outcome.get("qos").as_ref()).or_else(|| ttls.get(&correlation_id).copied());
    let delivered = outcome.get("deliveredAt").or_else(|| outcome.get("finalizedAt"));
    let at = told_at(delivered, record);
    let step = |name: &str, key: String, at, detail| StepEntry {
        correlation_id: correlation_id.clone(),
        key,
        name: name.to_owned(),
        at,
        detail,
        snapshot: None,
        status: EventStatus::InProgress,
        facts: None,
        expires_at: record.published_at.plus(own_ttl.unwrap_or(config.ttl)),
    };
    let ended = step("outcome", key(record, ""), at, outcome.to_bytes());
    let mut entries = vec![Entry::Step(StepEntry { status, ..ended })];
    if let Some(metadata) = outcome.get("metadata")
        && let Some((key, at)) = routing(&metadata, record)
    {
        let told = rules(|name| value(metadata.get(name).as_ref()), &serde_json::Value::Null);
        entries.push(Entry::Step(step("routed", key, at, detail(record, told))));
    }
    let slip = outcome.get("routingSlip").and_then(|slip| slip.as_array()).unwrap_or_default();
    for done in slip.iter().take(MAX_STEPS) {
        let Some(id) = done.get("id").and_then(|id| text(&id)) else { continue };
        // A step that was never begun answered nothing.
        let Some(ended_at) = done.get("endedAt").filter(|at| !at.is_null()) else { continue };
        let told = |name: &str| value(done.get(name).as_ref());
        let told = json!({
            "by": id,
            "status": told("status"),
            "attempt": told("attempt"),
            "maxAttempts": told("maxAttempts"),
            "startedAt": told("startedAt"),
            "endedAt": told("endedAt"),
            "error": told("error"),
        });
        let key = cleaned_id(&format!("answered/{id}/{}", ended_at.as_str().unwrap_or_default()));
        let at = told_at(Some(ended_at), record);
        entries.push(Entry::Step(step("answered", key, at, detail(record, told))));
    }
    Ok(entries)
}

/// At the top, or in the envelope of the older shape.
fn correlation(outcome: &Raw) -> Option<String> {
    let named = |path: &[&str]| text(&outcome.at(path)?);
    named(&["correlationId"]).or_else(|| named(&["envelope", "correlationId"])).map(|id| cleaned_id(&id))
}

/// A delivery that failed does not finalize its event. Who says nothing of how it ended, as older publishers
/// do, means that it went well, unless there is an error.
fn status(outcome: &Raw) -> Result<EventStatus, String> {
    let word = outcome.get("status").filter(|status| !status.is_null());
    let Some(word) = word else {
        let failed = outcome.get("error").is_some_and(|error| !error.is_null());
        return Ok(if failed { EventStatus::Error } else { EventStatus::Finalized });
    };
    let word = word.as_str().unwrap_or_default();
    match Status::parse(&word) {
        Some(Status::Sent | Status::Accepted | Status::None) => Ok(EventStatus::Finalized),
        Some(Status::Failed) => Ok(EventStatus::Error),
        None if word == "FINALIZED" => Ok(EventStatus::Finalized),
        None => Err("no status that we know".to_owned()),
    }
}
