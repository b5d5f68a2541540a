//! How far groups are behind, and what they lost.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use chatbus_bus::{BusError, Lag};
use chatbus_event::Family;
use futures::future::try_join_all;
use serde_json::Value;

use crate::api::{self, ConsumerInfo, Which};
use crate::link::{Epoch, Link};
use crate::names::Names;
use crate::streams::is_queue;

/// Groups whose losses are counted. There are as many as services and instances; over it, new ones
/// are not counted.
const MAX_GROUPS: usize = 4096;

/// What retention dropped before a group had read it, counted since this process began to look.
///
/// It is exact for streams of one topic. On the finalizer's stream, which holds three, dropped
/// messages of all three count for each group: an upper bound.
#[derive(Debug, Default)]
pub(crate) struct Losses(HashMap<Arc<str>, Loss>);

#[derive(Debug, Default)]
struct Loss {
    messages: u64,
    /// The highest place that was counted.
    up_to: u64,
}

// === impl Losses ===

impl Losses {
    /// The places after `read` up to and with `dropped` are gone. Counts each once.
    pub(crate) fn dropped(&mut self, consumer: &Arc<str>, read: u64, dropped: u64) {
        if dropped <= read || (self.0.len() >= MAX_GROUPS && !self.0.contains_key(consumer)) {
            return;
        }
        let loss = self.0.entry(Arc::clone(consumer)).or_default();
        let from = read.max(loss.up_to);
        loss.messages += dropped.saturating_sub(from);
        loss.up_to = loss.up_to.max(dropped);
    }

    fn of(&self, consumer: &str) -> u64 {
        self.0.get(consumer).map_or(0, |loss| loss.messages)
    }
}

/// The lag of every group of this prefix.
pub(crate) async fn lag(link: &Link) -> Result<Vec<Lag>, BusError> {
    let epoch = link.epoch()?;
    let families = Family::ALL.map(|family| of_family(link, &epoch, family));
    Ok(try_join_all(families).await?.into_iter().flatten().collect())
}

async fn of_family(link: &Link, epoch: &Epoch, family: Family) -> Result<Vec<Lag>, BusError> {
    let name = link.names.stream(family);
    let consumers = api::consumers(&epoch.session, &name).await?;
    if consumers.is_empty() {
        return Ok(Vec::new());
    }
    let Some(stream) = api::stream(&epoch.session, &name).await? else { return Ok(Vec::new()) };
    let lags =
        consumers.iter().map(|info| of_group(link, epoch, family, &name, stream.state.first_seq, info));
    Ok(try_join_all(lags).await?.into_iter().flatten().collect())
}

/// `None` for a consumer that is not one of ours.
async fn of_group(
    link: &Link,
    epoch: &Epoch,
    family: Family,
    stream: &str,
    first_seq: u64,
    info: &ConsumerInfo,
) -> Result<Option<Lag>, BusError> {
    let filter = info.config.get("filter_subject").and_then(Value::as_str).unwrap_or_default();
    let Some(topic) = link.names.topic(filter) else { return Ok(None) };
    let Some(group) = Names::group(&info.name, &topic) else { return Ok(None) };
    let pending = info.num_pending + info.num_ack_pending;
    let mut oldest = None;
    if pending > 0 {
        let first = Which::From(info.ack_floor.stream_seq + 1, filter);
        let now = link.runtime.clock.now();
        oldest = api::message(&epoch.session, stream, first).await?.map(|kept| now.since(kept.time));
    }
    let consumer: Arc<str> = format!("{stream}/{}", info.name).into();
    let mut losses = link.losses.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_queue(family) {
        losses.dropped(&consumer, info.delivered.stream_seq, first_seq.saturating_sub(1));
    }
    let lost = losses.of(&consumer);
    Ok(Some(Lag { family, topic, group, pending, in_flight: info.num_ack_pending, oldest, lost }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_unread_is_counted_once() {
        let group: Arc<str> = "s/g".into();
        let mut losses = Losses::default();
        losses.dropped(&group, 10, 10);
        losses.dropped(&group, 10, 4);
        assert_eq!(losses.of("s/g"), 0);
        losses.dropped(&group, 10, 15);
        losses.dropped(&group, 10, 15);
        losses.dropped(&group, 12, 17);
        assert_eq!(losses.of("s/g"), 7);
        losses.dropped(&group, 20, 22);
        assert_eq!(losses.of("s/g"), 9);
        assert_eq!(losses.of("other"), 0);
    }
}
