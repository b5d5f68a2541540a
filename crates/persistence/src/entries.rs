//! What a message becomes in the store. Pure.

mod common;
mod letter;
mod outcome;
mod source;
mod way;

use std::collections::HashMap;
use std::time::Duration;

use chatbus_bus::Record;
use chatbus_event::Family;
use chatbus_store::Entry;

use crate::config::PersistenceConfig;

pub(crate) use common::{cleaned_id, qos_ttl};
pub(crate) use outcome::correlation_of;

/// How long events are kept that say so themselves, by correlation id.
pub(crate) type OwnTtls = HashMap<String, Duration>;

/// The entries of one message, or why it is none that we know and is kept as it is.
pub(crate) fn of(record: &Record, config: &PersistenceConfig, ttls: &OwnTtls) -> Result<Vec<Entry>, String> {
    match record.topic.family() {
        Family::Ingress => way::received(record, config),
        Family::Enriched => way::enriched(record, config),
        Family::LlmBot => way::routed(record, config),
        Family::Finalizer => outcome::of(record, config, ttls),
        Family::DeadLetter | Family::RouterDlq => letter::of(record, config),
        _ => Err("nothing of this topic is kept".to_owned()),
    }
}

/// A message kept as it is.
pub(crate) fn raw(record: &Record, config: &PersistenceConfig, why: String) -> Entry {
    Entry::Raw {
        key: common::key(record, ""),
        body: record.message.body.clone(),
        why,
        at: record.published_at,
        expires_at: record.published_at.plus(config.ttl),
    }
}
