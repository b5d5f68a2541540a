//! Dead letters that are owed: a process that dies between a FAILED outcome and its dead letter leaves
//! the one without the other. The look-back finds such outcomes; what is handed over again, or still
//! waits in the lane, has the whole event, so its letter is published then, and never its text.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chatbus_bus::{Bus, BusError, Delivery, Record, Scan, ScanFrom, ScanTopics, Settlement};
use chatbus_event::json::Raw;
use chatbus_event::{ErrorInfo, Event, Reason, Status, Timestamp, Topic, names};
use tracing::warn;

use super::jobs;
use super::weigh::Slot;
use super::{Engine, Shared};
use crate::decide::Ending;
use crate::outcome::dead_letter;
use crate::ticket::{Ticket, delivery_id};

/// How deliveries ended that have no dead letter yet, by delivery id.
pub(crate) type Owed = HashMap<String, Ending>;

// === impl Engine ===

impl Engine {
    /// Lets go of something handed over again whose outcome is known, once its dead letter is there.
    pub(super) fn settle_known(&mut self, id: &str, slot: Slot, delivery: Delivery) {
        match self.owed.remove(id) {
            None => self.settle(slot, delivery, Settlement::Ack),
            Some(ending) => {
                let shared = self.shared.clone();
                self.jobs.push(Box::pin(async move {
                    publish(&shared, delivery.record(), &ending).await;
                    jobs::settle(slot, delivery, Settlement::Ack).await
                }));
            }
        }
    }

    /// The same for a record of the lane.
    pub(super) fn clear_known(&mut self, id: &str, seq: u64) {
        let Some(ending) = self.owed.remove(id) else {
            return self.jobs.push(Box::pin(jobs::clear(self.shared.clone(), seq)));
        };
        let shared = self.shared.clone();
        self.jobs.push(Box::pin(async move {
            let mut backoff = jobs::bus_backoff();
            let record = loop {
                match shared.bus.fetch(&shared.lane, seq).await {
                    Ok(record) => break record,
                    Err(_) => tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await,
                }
            };
            if let Some(record) = record {
                publish(&shared, &record, &ending).await;
            }
            jobs::clear(shared, seq).await
        }));
    }
}

/// Publishes the letter of what this record holds. Its id is made from the delivery's, so that one that
/// was published after all is dropped.
async fn publish(shared: &Arc<Shared>, record: &Record, ending: &Ending) {
    let now = shared.runtime.clock.now();
    let event = Event::decode(&record.message.body).ok();
    let ticket = Ticket::of_lane(record)
        .unwrap_or_else(|| Ticket::of(delivery_id(record), record, event.as_ref(), &shared.config, now));
    let body = &record.message.body;
    if let Some(letter) = dead_letter(&ticket, body, ending, &shared.source, now) {
        warn!(
            event = "egress.dead_letter_owed",
            deliveryId = &*ticket.id,
            "publishing a dead letter that is missing"
        );
        jobs::store(shared, &Topic::dead_letter(), &letter).await;
    }
}

/// How a FAILED outcome ended, read back from its finalize event. Its code is the reason, except where
/// the platform refused with a code of its own.
pub(crate) fn ending_of(record: &Record) -> Option<Ending> {
    let failed = record.message.attributes.get(names::STATUS).and_then(Status::parse) == Some(Status::Failed);
    if !failed {
        return None;
    }
    let error = Raw::parse(&record.message.body).ok().and_then(|body| body.get("error"));
    let text = |key: &str| {
        let member = error.as_ref().and_then(|error| error.get(key));
        member.as_ref().and_then(|text| text.as_str()).unwrap_or_default().into_owned()
    };
    let code = text("code");
    let reason = Reason::parse(&code).unwrap_or(Reason::Rejected);
    Some(Ending::Failed { reason, error: ErrorInfo { code, message: text("message") } })
}

/// Takes those out that have their letter.
pub(crate) async fn without_letter(
    bus: &dyn Bus,
    mut failed: Owed,
    since: Timestamp,
) -> Result<Owed, BusError> {
    if failed.is_empty() {
        return Ok(failed);
    }
    let topics = ScanTopics::One(Topic::dead_letter());
    let mut records = bus.scan(Scan { topics, from: ScanFrom::Time(since), follow: false }).await?;
    let mut lettered = HashSet::new();
    while let Some(record) = records.next().await {
        if let Some(id) = record?.message.attributes.get(names::DELIVERY_ID) {
            lettered.insert(id.to_owned());
        }
    }
    failed.retain(|id, _| !lettered.contains(id));
    Ok(failed)
}
