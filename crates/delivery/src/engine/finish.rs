//! How a delivery ends: its outcome is published and confirmed, then its input is acknowledged or its
//! lane record removed, then it is remembered as finished.

use std::sync::Arc;

use chatbus_bus::{Delivery, Record, Settlement};
use chatbus_event::{Attributes, Event};
use chatbus_telemetry::{ReasonLabels, UnsentLabels};
use tracing::{error, warn};

use super::advance::channel_of;
use super::confirm::Published;
use super::weigh::Slot;
use super::work::{Loaded, Place};
use super::{Engine, Shared, jobs, legs};
use crate::decide::Ending;
use crate::defects::Defect;
use crate::lanes::WorkId;
use crate::outcome::{Outcome, dead_letter};
use crate::ticket::Ticket;

/// What is left of a delivery that was forgotten.
pub(super) struct Parting {
    /// What it came in with, where that is not settled yet.
    pub(super) inputs: Vec<(Slot, Delivery)>,
    /// Its lane record.
    pub(super) lane: Option<u64>,
    /// What came in its place meanwhile.
    pub(super) newer: Option<(Slot, Delivery)>,
}

static NO_ATTRIBUTES: Attributes = Attributes::new();

// === impl Engine ===

impl Engine {
    /// Ends a delivery that waits, or that never joined a conversation.
    pub(super) fn finish(&mut self, id: WorkId, ending: Ending) {
        let Some(work) = self.works.get_mut(id) else { return };
        match std::mem::replace(&mut work.place, Place::Ending) {
            Place::Held(loaded) => self.conclude(id, &loaded, &ending),
            Place::Parked => {
                // Its outcome shows its candidates, its dead letter the whole event.
                work.place = Place::Fetching;
                work.ends = Some(ending);
                self.to_fetch.push_back(id);
                self.leave(id);
            }
            place @ (Place::Parking(_) | Place::Fetching) => {
                work.place = place;
                work.ends = Some(ending);
                self.leave(id);
            }
            place @ (Place::Sending(_) | Place::Ending) => work.place = place,
        }
    }

    /// Publishes how a delivery ended.
    pub(super) fn conclude(&mut self, id: WorkId, loaded: &Loaded, ending: &Ending) {
        self.leave(id);
        let shared = self.shared.clone();
        let now = shared.runtime.clock.now();
        let doubtful = self.in_doubt(id, ending);
        let Some(work) = self.works.get_mut(id) else { return };
        work.place = Place::Ending;
        let ending = doubtful.as_ref().unwrap_or(ending);
        let platform = work.key.as_ref().map_or("none", |key| key.platform);
        let ticket = &work.ticket;
        shared.count(platform, work.sink, ending);
        let total = now.since(ticket.order.published_at());
        shared.meter.total.observe(total.as_secs_f64());
        let known = &shared.config.known_topics;
        let event = loaded.event.as_deref();
        let message = work.record(loaded).map(|record| &record.message);
        let original = message.map(|message| message.body.clone()).unwrap_or_default();
        let attributes = message.map_or(&NO_ATTRIBUTES, |message| &message.attributes);
        let outcome = Outcome::of(ticket, attributes, event, ending, &shared.source, known, now);
        if let Ending::Failed { reason, error } = ending {
            let channel = work.key.as_ref().map_or("", |key| channel_of(&key.target));
            let correlation = event.and_then(Event::correlation_id).unwrap_or_default();
            error!(
                event = "egress.failed",
                platform,
                channel,
                topic = ticket.origin.family().label(),
                correlationId = &*correlation,
                deliveryId = &*ticket.id,
                reason = reason.as_str(),
                errorCode = error.code,
                "not said"
            );
        }
        let letter = matches!(ending, Ending::Failed { .. }).then(|| {
            let (ticket, ending, shared) = (ticket.clone(), ending.clone(), shared.clone());
            move || {
                let letter = dead_letter(&ticket, &original, &ending, &shared.source, now)?;
                if let Ending::Failed { reason, .. } = &ending {
                    let reason = reason.as_str();
                    shared.metrics.deadletters.get_or_create(&ReasonLabels { reason }).inc();
                    warn!(event = "egress.dead_letter", deliveryId = &*ticket.id, reason, "dead letter");
                }
                Some(letter)
            }
        });
        self.unconfirmed += 1;
        let inputs = std::mem::take(&mut work.inputs);
        if ticket.is_leg {
            let job = legs::conclude(shared, id, ticket.clone(), outcome, ending.clone(), letter, inputs);
            return self.jobs.push(Box::pin(job));
        }
        let line = shared.cluster.ledger.is_some().then(|| jobs::Line {
            delivery: ticket.id.clone(),
            taken: ticket.taken,
            ending: ending.clone(),
        });
        // Not by this turn's moment: the process may have been frozen since.
        let is_held = shared.cluster.fence.is_held(shared.runtime.clock.instant());
        if !is_held || shared.config.has(Defect::AckBeforeOutcome) {
            return self.jobs.push(Box::pin(jobs::conclude(shared, id, outcome, None, line, letter, inputs)));
        }
        let receipt = shared.bus.publish_kept(&outcome.topic, &outcome.finalize);
        if letter.is_none() && outcome.copy_to.is_none() && receipt.is_driven_elsewhere() {
            return self.confirmations.push(Published { work: id, outcome, line, inputs }, receipt);
        }
        let first = Some(receipt);
        self.jobs.push(Box::pin(jobs::conclude(shared, id, outcome, first, line, letter, inputs)));
    }

    /// How it ended instead, as far as we can know, where sending it again would have told. On other platforms
    /// an attempt without a verdict has ended its delivery at once.
    fn in_doubt(&self, id: WorkId, ending: &Ending) -> Option<Ending> {
        let Ending::Failed { .. } = ending else { return None };
        let work = self.works.get(id).filter(|work| work.may_have_been_sent)?;
        self.remembers(id).and_then(|_| ending.in_doubt(work.doubt.as_deref()))
    }

    /// Its outcome is on the bus, and so is the acknowledgement of these.
    pub(super) fn on_concluded(&mut self, id: WorkId, inputs: impl IntoIterator<Item = Slot>) {
        inputs.into_iter().for_each(|slot| self.release(slot));
        self.unconfirmed = self.unconfirmed.saturating_sub(1);
        let now = self.now();
        if let Some(work) = self.works.get(id) {
            self.finished.insert(work.mark, now);
        }
        self.forget(id);
        if let Some(conversation) = self.stalled.pop_first() {
            self.ready.push_back(conversation);
        }
    }

    /// Another says how it ends: nothing of it is touched any more.
    pub(super) fn on_not_ours(&mut self, id: WorkId, inputs: impl IntoIterator<Item = Slot>) {
        inputs.into_iter().for_each(|slot| self.release(slot));
        self.unconfirmed = self.unconfirmed.saturating_sub(1);
        self.let_go(id);
    }

    /// Forgets a delivery that is no longer ours; gives what others must be told.
    pub(super) fn let_go(&mut self, id: WorkId) -> Option<Parting> {
        // What has ended has left its conversation.
        if !matches!(self.works.get(id)?.place, Place::Ending) {
            self.leave(id);
        }
        let work = self.works.get_mut(id)?;
        self.by_id.remove(&work.ticket.name());
        let parting =
            Parting { inputs: std::mem::take(&mut work.inputs), lane: work.lane, newer: work.newer.take() };
        self.works.discard(id);
        Some(parting)
    }

    /// Lets go of a delivery whose outcome is on the bus.
    pub(super) fn forget(&mut self, id: WorkId) {
        let Some(Parting { inputs, lane, newer }) = self.let_go(id) else { return };
        for (slot, delivery) in inputs {
            self.settle(slot, delivery, Settlement::Ack);
        }
        if let Some(seq) = lane {
            self.jobs.push(Box::pin(jobs::clear(self.shared.clone(), seq)));
        }
        if let Some((slot, delivery)) = newer {
            self.accept(slot, delivery);
        }
    }

    /// Takes a delivery out of its conversation, which may then go on.
    fn leave(&mut self, id: WorkId) {
        let Some(work) = self.works.get(id) else { return };
        self.deadlines.remove(&(work.timing.deadline, id));
        let Some(at) = work.conversation else { return };
        self.lanes.leave(at, work.ticket.order, id);
        self.ready.push_back(at);
        self.count_waiting();
    }
}

// === impl Shared ===

impl Shared {
    /// The body of a delivery that was read back from the lane.
    pub(super) fn load(&self, record: Record, ticket: &Ticket) -> Box<Loaded> {
        let event = Event::decode(&record.message.body).ok().map(Arc::new);
        let record = Record { topic: ticket.origin.clone(), ..record };
        let mut loaded = Loaded { record: Some(self.loads.count(record)), event, text: String::new() };
        loaded.restore();
        Box::new(loaded)
    }

    fn count(&self, platform: &'static str, sink: Option<usize>, ending: &Ending) {
        match ending {
            Ending::Sent { .. } | Ending::Accepted => self.meter.said(sink, ending.status()),
            Ending::Failed { reason, .. } => {
                let labels = UnsentLabels { platform, reason: reason.as_str() };
                self.metrics.egress_failed.get_or_create(&labels).inc();
            }
        }
    }
}
