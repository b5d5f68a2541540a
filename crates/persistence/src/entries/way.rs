//! The steps of an event on its way to an answer: received, enriched, routed.

use chatbus_bus::Record;
use chatbus_event::Event;
use chatbus_store::{Entry, EventStatus, StepEntry};
use serde_json::{Value, json};

use super::common::{cleaned_id, correlation_id, detail, facts, key, told_at, ttl, value};
use super::source;
use crate::config::PersistenceConfig;

/// From ingress: the event's first step, and what it says of a source.
pub(super) fn received(record: &Record, config: &PersistenceConfig) -> Result<Vec<Entry>, String> {
    let event = decode(record)?;
    let late = event.metadata("late").and_then(|late| late.as_bool()).filter(|late| *late);
    let told = json!({"late": late, "shape": shape(&event)});
    let mut step = step(record, &event, config, "received", EventStatus::Ingested, told);
    step.at = told_at(event.member("timestamp"), record);
    let change = source::change(&event, step.at, config);
    Ok([Entry::Step(step)].into_iter().chain(change.map(Entry::Source)).collect())
}

/// From auth: who said it.
pub(super) fn enriched(record: &Record, config: &PersistenceConfig) -> Result<Vec<Entry>, String> {
    let event = decode(record)?;
    let user = event.member("user");
    let of_user = |name: &str| value(user.as_ref().and_then(|user| user.get(name)).as_ref());
    let auth = event.auth();
    let told = json!({
        "matched": auth.as_ref().is_some_and(|auth| auth.matched),
        "userRef": auth.and_then(|auth| auth.user_ref),
        "roles": of_user("roles"),
        "tags": of_user("tags"),
        "ignored": value(event.metadata("ignoredReason").as_ref()),
    });
    let mut step = step(record, &event, config, "enriched", EventStatus::InProgress, told);
    step.at = told_at(event.member("auth").and_then(|auth| auth.get("at")), record);
    Ok(vec![Entry::Step(step)])
}

/// From the rules: which applied.
pub(super) fn routed(record: &Record, config: &PersistenceConfig) -> Result<Vec<Entry>, String> {
    let event = decode(record)?;
    let mut step = step(record, &event, config, "routed", EventStatus::InProgress, json!({}));
    let metadata = event.member("metadata");
    if let Some((routed, at)) = metadata.as_ref().and_then(|metadata| routing(metadata, record)) {
        step.key = routed;
        step.at = at;
    }
    let told = |name: &str| value(metadata.as_ref().and_then(|metadata| metadata.get(name)).as_ref());
    step.detail = detail(record, rules(told, &value(event.member("routingSlip").as_ref())));
    Ok(vec![Entry::Step(step)])
}

/// What `metadata` says of the rules: the key of its step, the same wherever it is read, and when it was.
pub(super) fn routing(
    metadata: &chatbus_event::json::Raw,
    record: &Record,
) -> Option<(String, chatbus_event::Timestamp)> {
    let at = metadata.get("routedAt")?;
    let key = cleaned_id(&format!("routed/{}", at.as_str()?));
    Some((key, told_at(Some(at), record)))
}

/// The detail of a `routed` step.
pub(super) fn rules(told: impl Fn(&str) -> Value, slip: &Value) -> Value {
    json!({
        "matchedRuleIds": told("matchedRuleIds"),
        "chosenRuleId": told("chosenRuleId"),
        "routedAt": told("routedAt"),
        "routingSlip": slip,
    })
}

fn step(
    record: &Record,
    event: &Event,
    config: &PersistenceConfig,
    name: &str,
    status: EventStatus,
    told: Value,
) -> StepEntry {
    StepEntry {
        correlation_id: correlation_id(event, record),
        key: key(record, ""),
        name: name.to_owned(),
        at: record.published_at,
        detail: detail(record, told),
        snapshot: Some(record.message.body.clone()),
        status,
        facts: Some(facts(event, config)),
        expires_at: record.published_at.plus(ttl(event, config)),
    }
}

fn decode(record: &Record) -> Result<Event, String> {
    Event::decode(&record.message.body).map_err(|error| error.to_string())
}

fn shape(event: &Event) -> &'static str {
    match event.shape() {
        chatbus_event::Shape::Flat => "flat",
        chatbus_event::Shape::Nested => "nested",
        chatbus_event::Shape::V1 => "v1",
    }
}
