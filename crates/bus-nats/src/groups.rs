//! A group as a durable pull consumer.

use std::time::Duration;

use chatbus_bus::{BusError, BusErrorKind, Subscription};
use chatbus_event::Family;
use serde_json::{Value, json};

use crate::api::{self, ConsumerInfo, LIFE, Settings};
use crate::link::Link;
use crate::names::Names;
use crate::streams::{is_queue, nanos};
use crate::wire::Session;

/// Messages of one group that may be unsettled at the server. Far above what members hold, because
/// everything that waits for its retry counts too and would stall the group.
const MAX_ACK_PENDING: u64 = 10_000;

/// Where a group that has to be made begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// As its family wants: with what is kept where messages wait for their reader, else with what
    /// comes from now on.
    Fresh,
    /// At this place, since the group was there before and was removed.
    At(u64),
}

/// How many consumers of a stream are looked at for another group of the same topic.
const MAX_CONSUMERS: usize = 100_000;

/// Sets the group as we want it if it is there; gives how it stands.
///
/// # Errors
/// When the servers are out of reach or refuse.
pub(crate) async fn find(
    link: &Link,
    session: &Session,
    subscription: &Subscription,
) -> Result<Option<ConsumerInfo>, BusError> {
    let stream = link.names.stream(subscription.topic.family());
    let name = Names::consumer(&subscription.topic, &subscription.group);
    let Some(found) = api::consumer(session, &stream, &name).await? else { return Ok(None) };
    let wanted = settings(link, subscription, &name, Start::Fresh);
    adjust(session, &stream, found, &wanted).await.map(Some)
}

/// Makes sure that the group is there and set as we want it; gives how it stands.
///
/// # Errors
/// When the servers are out of reach or refuse; `Refused` too while an egress or lane topic has another
/// group.
pub(crate) async fn ensure(
    link: &Link,
    session: &Session,
    subscription: &Subscription,
    start: Start,
) -> Result<ConsumerInfo, BusError> {
    let stream = link.names.stream(subscription.topic.family());
    let name = Names::consumer(&subscription.topic, &subscription.group);
    let wanted = settings(link, subscription, &name, start);
    // Twice, because another process may make it between the look and the making.
    for _ in 0..2 {
        if let Some(found) = api::consumer(session, &stream, &name).await? {
            return adjust(session, &stream, found, &wanted).await;
        }
        if let Some(made) = api::put_consumer(session, &stream, &name, &wanted, "create").await? {
            if subscription.topic.family() == Family::Lane {
                give_way(session, &stream, subscription, &made).await?;
            }
            return Ok(made);
        }
    }
    Err(BusError::new(BusErrorKind::Refused, format!("group {name} comes and goes")))
}

/// A work queue takes one group a topic; a lane's stream would take any number. So whoever makes one
/// looks for another then, and goes if there is one: of two at the same moment perhaps both, but never
/// neither.
async fn give_way(
    session: &Session,
    stream: &str,
    subscription: &Subscription,
    made: &ConsumerInfo,
) -> Result<(), BusError> {
    let Subscription { topic, group, .. } = subscription;
    let names = api::consumer_names(session, stream, MAX_CONSUMERS).await?;
    let rival = names.iter().filter_map(|name| Names::group(name, topic)).find(|rival| rival != group);
    let Some(rival) = rival else { return Ok(()) };
    api::delete_consumer(session, stream, &made.name).await?;
    let why = format!("joining {topic} as {group}: it is read by {rival}, and a queue has one group");
    Err(BusError::new(BusErrorKind::Refused, why))
}

async fn adjust(
    session: &Session,
    stream: &str,
    found: ConsumerInfo,
    wanted: &Settings,
) -> Result<ConsumerInfo, BusError> {
    let mut settings = found.config.clone();
    // Where it began is history; the rest can be changed while it stands.
    for key in ["ack_wait", "max_ack_pending", "filter_subject"] {
        settings.insert(key.into(), wanted.get(key).cloned().unwrap_or(Value::Null));
    }
    if settings == found.config {
        return Ok(found);
    }
    let name = found.name.clone();
    Ok(api::put_consumer(session, stream, &name, &settings, "").await?.unwrap_or(found))
}

fn settings(link: &Link, subscription: &Subscription, name: &str, start: Start) -> Settings {
    let mut json = json!({
        "durable_name": name,
        "name": name,
        "filter_subject": link.names.subject(&subscription.topic).as_str(),
        "ack_policy": "explicit",
        "ack_wait": nanos(link.config.ack_wait.max(Duration::from_millis(100))),
        "max_deliver": -1,
        "max_ack_pending": MAX_ACK_PENDING,
        "replay_policy": "instant",
        "deliver_policy": "new",
        "metadata": { LIFE: format!("{:016x}", link.runtime.entropy.next_u64()) },
    });
    let queue = is_queue(subscription.topic.family());
    match start {
        Start::Fresh if queue => json["deliver_policy"] = "all".into(),
        Start::Fresh => {}
        // What is kept there is not settled, wherever the group was.
        Start::At(_) if queue => json["deliver_policy"] = "all".into(),
        Start::At(seq) => {
            json["deliver_policy"] = "by_start_sequence".into();
            json["opt_start_seq"] = seq.into();
        }
    }
    match json {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}
