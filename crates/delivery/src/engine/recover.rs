//! Looking back, before anything is read: which deliveries have an outcome, and what waits in the lane.
//!
//! Delivery counts prove nothing: a server that was killed hands over again, as new, what was
//! acknowledged. So outcomes are read back from the finalizer topics since the oldest event that waits,
//! and never less than the time for which finished deliveries are remembered anyway.

use chatbus_bus::{BusError, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Event, Timestamp};
use tracing::{info, warn};

use super::jobs::{self, Done, Input, Intake};
use super::work::{Place, Work};
use super::{Engine, EngineState, GENERIC, OWN, Shared};
use crate::decide::Ending;
use crate::defects::Defect;
use crate::lanes::{Key, WorkId};
use crate::outcomes::{self, Known};
use crate::resolve::Destination;
use crate::ticket::Ticket;

/// What a look-back found.
pub(super) struct Found {
    /// The bus's epoch when it began.
    epoch: u64,
    known: Known,
    /// What waits in the lane.
    lane: Vec<LaneEntry>,
}

struct LaneEntry {
    seq: u64,
    ticket: Ticket,
    timeout_at: Option<Timestamp>,
    goes: Result<Destination, Ending>,
}

// === impl Engine ===

impl Engine {
    /// Joins the groups of what is to be read and is not yet. The generic topic is the dispatcher's.
    fn join(&mut self) {
        for input in [OWN, GENERIC] {
            let wanted = input == OWN || self.dispatches();
            let (Some(intake), Some(joining)) = (self.intakes.get(input), self.joining.get_mut(input)) else {
                continue;
            };
            if wanted && intake.is_none() && !*joining {
                *joining = true;
                self.jobs.push(Box::pin(jobs::subscribe(self.shared.clone(), input)));
            }
        }
        if self.intakes[OWN].is_some() {
            self.state.send_replace(EngineState::Running);
        }
    }

    pub(super) fn on_subscribed(&mut self, input: Input, intake: Intake) {
        if let Some(joining) = self.joining.get_mut(input) {
            *joining = false;
        }
        // The dispatcher's lease may be lost by now: then this is dropped, and gives back what it got.
        if input == OWN || self.dispatches() {
            self.intakes[input] = Some(intake);
        }
        if input == OWN && self.stop_by.is_none() && !self.looking_back {
            self.state.send_replace(EngineState::Running);
        }
    }

    /// This instance became the dispatcher, or is not any more.
    pub(super) fn on_dispatch(&mut self) {
        if self.dispatches() {
            self.dispatches_since = self.shared.runtime.clock.now();
            // The last one may have said what still waits in the generic topic, and also since a look-back
            // that is under way began.
            self.look_again = self.looking_back;
            return self.look_back();
        }
        self.intakes[GENERIC] = None;
        let held: Vec<WorkId> = self.lanes.iter().flat_map(|(_, c)| c.held()).collect();
        for id in held {
            let is_generic = self.works.get(id).is_some_and(|work| work.is_from(GENERIC));
            if is_generic {
                self.give_back(id);
            }
        }
    }

    /// Begins a look-back; nothing is read and nothing new is sent until it is over.
    pub(super) fn look_back(&mut self) {
        if self.looking_back || self.stop_by.is_some() {
            return;
        }
        self.looking_back = true;
        self.state.send_replace(EngineState::LookingBack);
        self.jobs.push(Box::pin(run(self.shared.clone())));
    }

    /// Begins one when the bus was lost since the last.
    pub(super) fn look_back_if_broken(&mut self) {
        let epoch = self.bus_status.borrow().epoch;
        if self.looked_back.is_some_and(|seen| seen != epoch) {
            self.look_back();
        }
    }

    pub(super) fn on_looked_back(&mut self, found: Option<Found>) {
        self.looking_back = false;
        let Some(found) = found.filter(|_| self.stop_by.is_none()) else { return };
        self.looked_back = Some(found.epoch);
        let now = self.now();
        let (outcomes, waiting) = (found.known.finished.len(), found.lane.len());
        for id in &found.known.finished {
            self.finished.insert(self.finished.mark(id), now);
        }
        self.owed = found.known.owed;
        info!(event = "egress.looked_back", outcomes, waiting, "looked back at outcomes");
        self.drop_finished();
        for entry in found.lane {
            self.adopt(entry);
        }
        self.join();
        self.look_back_if_broken();
        if std::mem::take(&mut self.look_again) {
            self.look_back();
        }
        if !self.may_begin() {
            return;
        }
        self.ready.extend(std::mem::take(&mut self.stalled));
        for (slot, delivery) in std::mem::take(&mut self.unread) {
            self.accept(slot, delivery);
        }
    }

    /// What waits here and has its outcome already is let go.
    fn drop_finished(&mut self) {
        let ended = |id: &WorkId| {
            self.works.get(*id).is_some_and(|work| {
                matches!(work.place, Place::Held(_) | Place::Parked) && self.finished.contains(work.mark)
            })
        };
        let over: Vec<WorkId> = self.lanes.iter().flat_map(|(_, c)| c.queued()).filter(ended).collect();
        for id in over {
            self.forget(id);
        }
    }

    /// Takes over what waits in the lane, from an earlier life of this instance.
    fn adopt(&mut self, entry: LaneEntry) {
        let mark = self.finished.mark(&entry.ticket.id);
        if self.finished.contains(mark) {
            return self.clear_known(&entry.ticket.id, entry.seq);
        }
        if self.by_id.contains_key(&entry.ticket.name()) {
            return;
        }
        let clock = &self.shared.runtime.clock;
        let timing = entry.ticket.timing(entry.timeout_at, clock.now(), clock.instant());
        let (name, order) = (entry.ticket.name(), entry.ticket.order);
        let work = self.works.insert(Work {
            ticket: entry.ticket,
            mark,
            timing,
            conversation: None,
            key: None,
            sink: None,
            place: Place::Parked,
            lane: Some(entry.seq),
            lost: 0,
            inputs: Vec::new(),
            newer: None,
            failures: 0,
            may_have_been_sent: false,
            doubt: None,
            ends: None,
        });
        self.by_id.insert(name, work);
        match entry.goes {
            Err(ending) => self.finish(work, ending),
            Ok(Destination { platform, target, sink, also }) => {
                let key = Key { platform, target };
                let at = self.lanes.open(key.clone(), sink, also);
                if let Some(work) = self.works.get_mut(work) {
                    (work.conversation, work.key, work.sink) = (Some(at), Some(key), sink);
                    // More than the first may have been: the outcomes of those before it may have been lost.
                    work.may_have_been_sent = true;
                }
                self.lanes.join(at, order, work, true);
                self.deadlines.insert((timing.deadline, work));
                self.ready.push_back(at);
                self.count_waiting();
            }
        }
    }
}

async fn run(shared: std::sync::Arc<Shared>) -> Done {
    let mut backoff = jobs::bus_backoff();
    let stop = shared.runtime.stop.clone();
    let looking = async {
        loop {
            match shared.look_back().await {
                Ok(found) => return found,
                Err(failed) => {
                    if backoff.attempts() == 0 {
                        warn!(event = "egress.look_back_failed", reason = %failed, "cannot look back yet");
                    }
                    tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await;
                }
            }
        }
    };
    Done::LookedBack(stop.run_until_cancelled(looking).await)
}

// === impl Shared ===

impl Shared {
    async fn look_back(&self) -> Result<Found, BusError> {
        // Read first: a break in the middle makes another look-back necessary.
        let epoch = self.bus.status().borrow().epoch;
        self.bus.declare(&Engine::subscriptions(&self.config)).await?;
        let now = self.runtime.clock.now();
        let mut since = now.minus(self.config.dedupe_window * 2);
        let mut lane = Vec::new();
        let all = ScanTopics::One(self.lane.clone());
        let mut records = self.bus.scan(Scan { topics: all, from: ScanFrom::Oldest, follow: false }).await?;
        while let Some(record) = records.next().await {
            let record = record?;
            since = since.min(record.published_at);
            let Some(ticket) = Ticket::of_lane(&record) else {
                warn!(
                    event = "egress.lane_foreign",
                    seq = record.seq,
                    "a lane record that is not ours stays"
                );
                continue;
            };
            let event = Event::decode(&record.message.body);
            let timeout_at = event.as_ref().ok().and_then(Event::timeout_at);
            let goes = match &event {
                Ok(event) => self.address(event, ticket.origin.family()).map(|(destination, _)| destination),
                Err(invalid) => Err(Ending::failed(chatbus_event::Reason::InvalidEvent, invalid.to_string())),
            };
            lane.push(LaneEntry { seq: record.seq, ticket, timeout_at, goes });
        }
        for lag in self.bus.lag().await? {
            if self.topics.contains(&lag.topic)
                && let Some(age) = lag.oldest
            {
                since = since.min(now.minus(age));
            }
        }
        let since = since.minus(outcomes::SKEW).max(now.minus(outcomes::FURTHEST));
        let known = match self.config.has(Defect::NoLookBack) {
            true => Known::default(),
            false => outcomes::read_back(&*self.bus, since).await?,
        };
        lane.sort_by_key(|entry| entry.ticket.order);
        Ok(Found { epoch, known, lane })
    }
}
