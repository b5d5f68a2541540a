//! Which egress and lane topics hold messages or have a group: subjects and consumers as the server
//! lists them, so that no topic needs to be known here before.

use std::collections::BTreeMap;

use chatbus_bus::{BusError, Waiting, limits};
use chatbus_event::{Family, Topic};
use futures::future::try_join;

use crate::api;
use crate::link::Link;
use crate::names::Names;
use crate::streams::is_queue;

/// The topics of this family that hold messages or have a group.
pub(crate) async fn waiting(link: &Link, family: Family) -> Result<Vec<Waiting>, BusError> {
    if !is_queue(family) {
        return Ok(Vec::new());
    }
    let epoch = link.epoch()?;
    let stream = link.names.stream(family);
    let (subjects, consumers) = try_join(
        api::subject_counts(&epoch.session, &stream, limits::MAX_WAITING),
        api::consumer_names(&epoch.session, &stream, limits::MAX_WAITING),
    )
    .await?;
    let mut topics: BTreeMap<Topic, Waiting> = BTreeMap::new();
    let none = |topic: &Topic| Waiting { topic: topic.clone(), messages: 0, groups: Vec::new() };
    let mut strange = 0_u64;
    for (subject, messages) in subjects {
        match link.names.topic(&subject) {
            Some(topic) => topics.entry(topic.clone()).or_insert_with(|| none(&topic)).messages = messages,
            None => strange += 1,
        }
    }
    for name in consumers {
        match Names::topic_and_group(&name) {
            Some((topic, group)) => {
                topics.entry(topic.clone()).or_insert_with(|| none(&topic)).groups.push(group);
            }
            None => strange += 1,
        }
    }
    if strange > 0 {
        tracing::debug!(
            event = "bus.nats.strange_names",
            topic = family.label(),
            count = strange,
            "subjects that are no topic, and consumers of nobody here, are left alone"
        );
    }
    let mut waiting: Vec<Waiting> = topics.into_values().take(limits::MAX_WAITING).collect();
    waiting.iter_mut().for_each(|waiting| waiting.groups.sort());
    Ok(waiting)
}
