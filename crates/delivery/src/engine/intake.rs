//! From a delivery to its place in a conversation, or to its end.
//!
//! Who else could say it is decided when its turn comes: see `forward`.

use std::sync::Arc;

use chatbus_bus::{Delivery, Settlement, limits};
use chatbus_event::{EgressKind, Event, Family, MAX_EVENT_BYTES, Reason, Timestamp, egress_text};
use tracing::debug;

use super::jobs::{self, Again, Input};
use super::weigh::Slot;
use super::work::{Loaded, Place, Work};
use super::{Engine, GENERIC};
use crate::decide::Ending;
use crate::facts::Facts;
use crate::lanes::{Key, WorkId};
use crate::outcomes;
use crate::resolve::{Destination, Refusal, resolve};
use crate::ticket::{Ticket, delivery_id, moves_of, name_of};

/// What becomes of an event.
enum Plan {
    Say { destination: Destination, text: String },
    End(Ending),
}

// === impl Engine ===

impl Engine {
    /// Whether another delivery may be taken.
    pub(super) fn may_read(&self) -> bool {
        self.may_begin() && self.unconfirmed < self.shared.config.limits.unconfirmed && !self.is_heavy()
    }

    /// Takes a delivery. One that comes after a break of the bus waits for the look-back.
    pub(super) fn on_delivery(&mut self, input: Input, delivery: Delivery) {
        let slot = self.hold(input, &delivery);
        self.look_back_if_broken();
        if self.may_begin() {
            self.accept(slot, delivery);
        } else {
            self.unread.push((slot, delivery));
        }
    }

    pub(super) fn accept(&mut self, slot: Slot, delivery: Delivery) {
        let record = delivery.record();
        let topic = record.topic.family().label();
        self.shared.meter.received(slot.input);
        let id = delivery_id(record);
        let mark = self.finished.mark(&id);
        if self.finished.contains(mark) {
            debug!(event = "egress.repeated", topic, deliveryId = &*id, "its outcome is known");
            return self.settle_known(&id, slot, delivery);
        }
        if let Some(&at) = self.by_id.get(&name_of(&id, record))
            && let Some(work) = self.works.get_mut(at)
        {
            // Passing this one on again would be a duplicate of what brought the other here: dropped.
            if moves_of(record) > work.ticket.moves() {
                return self.replace(at, slot, delivery);
            }
            match work.lane {
                Some(seq) => {
                    let again = Again { work: at, id, slot, delivery };
                    self.jobs.push(Box::pin(jobs::check(self.shared.clone(), seq, again)));
                }
                // Acknowledged with the first.
                None => work.inputs.push((slot, delivery)),
            }
            return;
        }
        let clock = &self.shared.runtime.clock;
        let (now, instant) = (clock.now(), self.now());
        let decoded = Event::decode(&record.message.body);
        let event = decoded.as_ref().ok();
        let ticket = Ticket::of(id.clone(), record, event, &self.shared.config, now);
        let timing = ticket.timing(event.and_then(Event::timeout_at), now, instant);
        let plan = match &decoded {
            Err(invalid) => Plan::End(Ending::failed(Reason::InvalidEvent, invalid.to_string())),
            Ok(event) => self.plan(event, &delivery),
        };
        let plan = match plan {
            Plan::Say { .. } if timing.deadline <= instant => Plan::End(overdue(timing.is_timeout)),
            plan => plan,
        };
        let delivered_before =
            delivery.deliveries() > 1 || record.published_at < self.reads_since(slot.input);
        let (ending, destination, text) = match plan {
            Plan::Say { destination, text } => (None, Some(destination), text),
            Plan::End(ending) => (Some(ending), None, String::new()),
        };
        let loaded = Box::new(Loaded { record: None, event: decoded.ok().map(Arc::new), text });
        let (order, name) = (ticket.order, ticket.name());
        let deadline = timing.deadline;
        let work = self.works.insert(Work {
            ticket,
            mark,
            timing,
            conversation: None,
            key: None,
            sink: None,
            place: Place::Held(loaded),
            lane: None,
            lost: 0,
            inputs: vec![(slot, delivery)],
            newer: None,
            failures: 0,
            may_have_been_sent: false,
            doubt: None,
            ends: None,
        });
        self.by_id.insert(name, work);
        if let Some(ending) = ending {
            return self.finish(work, ending);
        }
        let Some(Destination { platform, target, sink, also }) = destination else { return };
        let key = Key { platform, target };
        let conversation = self.lanes.open(key.clone(), sink, also);
        if let Some(work) = self.works.get_mut(work) {
            (work.conversation, work.key, work.sink) = (Some(conversation), Some(key), sink);
            work.may_have_been_sent = work.ticket.may_have_been_sent || delivered_before;
        }
        self.lanes.join(conversation, order, work, false);
        self.deadlines.insert((deadline, work));
        self.ready.push_back(conversation);
    }

    /// What is in hand was passed on already, and is here again: the one that came last is the one that
    /// goes on.
    fn replace(&mut self, at: WorkId, slot: Slot, delivery: Delivery) {
        let Some(work) = self.works.get_mut(at) else { return };
        let older = work.newer.replace((slot, delivery));
        let waits = matches!(work.place, Place::Held(_) | Place::Parked);
        if let Some((slot, delivery)) = older {
            self.settle(slot, delivery, Settlement::Ack);
        }
        if waits {
            self.forget(at);
        }
    }

    /// Something that waits in the lane was handed over again. Its lane record makes it safe to let go;
    /// without one this copy takes the record's place.
    pub(super) fn on_checked(&mut self, again: Again, gone: bool) {
        let Again { work: at, id, slot, delivery } = again;
        let known = self.works.get_mut(at).filter(|work| work.ticket.id == id);
        let Some(work) = known.filter(|work| gone && work.lane.is_some()) else {
            return self.settle(slot, delivery, Settlement::Ack);
        };
        work.lane = None;
        work.lost += 1;
        if let Place::Parked = work.place {
            work.place = Place::Held(self.shared.load(delivery.record().clone(), &work.ticket));
            if let Some(conversation) = work.conversation {
                self.lanes.park(conversation, work.ticket.order, at, false);
                self.ready.push_back(conversation);
            }
        }
        work.inputs.push((slot, delivery));
    }

    /// What was published before this may have been tried by whoever read the topic then.
    fn reads_since(&self, input: Input) -> Timestamp {
        let since = if input == GENERIC { self.dispatches_since } else { self.started_at };
        since.plus(outcomes::SKEW)
    }

    fn plan(&self, event: &Event, delivery: &Delivery) -> Plan {
        let record = delivery.record();
        if record.message.body.len() > MAX_EVENT_BYTES {
            let message = format!("longer than {MAX_EVENT_BYTES} bytes");
            return Plan::End(Ending::failed(Reason::InvalidEvent, message));
        }
        if delivery.failures() >= self.shared.config.max_deliveries
            || delivery.deliveries() > limits::MAX_CRASH_REDELIVERIES
        {
            let message = format!("delivered {} times without an outcome", delivery.deliveries());
            return Plan::End(Ending::failed(Reason::MaxDeliveries, message));
        }
        match self.shared.address(event, record.topic.family()) {
            Err(ending) => Plan::End(ending),
            Ok((destination, text)) => Plan::Say { destination, text },
        }
    }

    pub(super) fn settle(&mut self, slot: Slot, delivery: Delivery, settlement: Settlement) {
        self.jobs.push(Box::pin(jobs::settle(slot, delivery, settlement)));
    }
}

fn overdue(is_timeout: bool) -> Ending {
    if is_timeout {
        return Ending::failed(Reason::Expired, "timeoutAt passed before it was read");
    }
    Ending::failed(Reason::NoInstance, "no instance read it before its deadline")
}

// === impl Shared ===

impl super::Shared {
    /// Where an event goes and what it says.
    pub(super) fn address(&self, event: &Event, family: Family) -> Result<(Destination, String), Ending> {
        let facts = Facts::of(event, family);
        // Data for gateway connections needs no text.
        let text = match egress_text(event) {
            Some(text) => text,
            None if facts.kind == Some(EgressKind::Event) => String::new(),
            None => return Err(Ending::failed(Reason::NoText, "nothing in it is to be said")),
        };
        let destination =
            resolve(&facts, &self.table, &self.sinks, |user| self.cluster.peers.is_connected(user))
                .or_else(|refusal| self.by_others(&facts, refusal))
                .map_err(|refusal| Ending::failed(refusal.reason, refusal.why))?;
        Ok((destination, text))
    }

    /// What the platform cannot do with the account it has here it may do with another's elsewhere.
    fn by_others(&self, facts: &Facts<'_>, refusal: Refusal) -> Result<Destination, Refusal> {
        let elsewhere = match refusal.reason {
            Reason::Unsupported => {
                resolve(facts, &self.table, &[], |user| self.cluster.peers.is_connected(user)).ok()
            }
            _ => None,
        };
        let can = |there: &Destination| self.cluster.peers.can_serve(there.platform, &there.target);
        elsewhere.filter(can).ok_or(refusal)
    }
}
