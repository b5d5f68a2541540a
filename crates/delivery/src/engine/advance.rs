//! Whose turn it is: from a conversation's head to the sink, or to the lane while it has to wait.

use std::time::{Duration, Instant};

use chatbus_connector::{Audience, Availability, Outbound, Verdict};
use chatbus_event::{Attempt, ErrorInfo, Reason};
use futures::FutureExt as _;
use tracing::{debug, error};

use super::forward::{Elsewhere, Way};
use super::jobs;
use super::work::{Loaded, Place};
use super::{Engine, RELIEF_AFTER};
use crate::decide::{After, Before, Cause, Ending, after_send, at_deadline, attempt_word, before_send};
use crate::defects::Defect;
use crate::lanes::{ConversationId, Wait, WorkId};
use crate::policy::{self, Answer};

/// A conversation that needs longer than this to empty its slots gives them up when all are taken.
const SLOW: Duration = Duration::from_millis(50);
/// How many of a conversation that flows are read back from its lane ahead of their turn.
const READ_AHEAD: usize = 8;

/// What is done with the head of a conversation.
enum Step {
    Send,
    Forward(Way),
}

// === impl Engine ===

impl Engine {
    /// Whether anything new may begin: not before the look-back is over, not while stopping.
    pub(super) fn may_begin(&self) -> bool {
        self.looked_back.is_some() && !self.looking_back && self.stop_by.is_none()
    }

    /// Lets every conversation that may go on do so. What is said at once is said one right behind the
    /// other, before what follows from each: whoever hears them then wakes up once for several.
    pub(super) fn advance_ready(&mut self) {
        loop {
            while let Some(conversation) = self.ready.pop_front() {
                self.advance(conversation);
            }
            if self.at_once.is_empty() {
                break;
            }
            for done in std::mem::take(&mut self.at_once) {
                self.on_done(done);
            }
        }
        self.fetch_next();
    }

    /// Lets a conversation go as far as it can.
    fn advance(&mut self, at: ConversationId) {
        loop {
            let Some(conversation) = self.lanes.get(at) else { return };
            if conversation.in_flight.is_some() {
                return;
            }
            let Some(head) = conversation.head() else {
                self.set_wait(at, None);
                self.stalled.remove(&at);
                self.lanes.close_if_idle(at);
                return;
            };
            if !self.may_begin() || self.unconfirmed >= self.shared.config.limits.unconfirmed {
                self.stalled.insert(at);
                return;
            }
            let now = self.now();
            let Some(work) = self.works.get(head) else { return };
            if !self.may_claim(head) {
                // Whoever holds the lease now has it, or will.
                self.stalled.insert(at);
                return;
            }
            if work.timing.deadline <= now {
                self.expire(head);
                continue;
            }
            let firm = conversation.wait.as_ref().filter(|wait| wait.firm);
            if firm.is_some_and(|wait| wait.until.is_some_and(|until| now < until)) {
                return self.park_beyond(at, 0);
            }
            let sink = conversation.sink.and_then(|sink| self.shared.sinks.get(sink));
            let availability = sink.map_or(Availability::Unserved, |sink| {
                let here = sink.availability(&conversation.key.target);
                match (here, &conversation.also) {
                    (Availability::Unserved, Some(also)) => sink.availability(also),
                    _ => here,
                }
            });
            match before_send(availability, now) {
                Before::Send => {
                    self.set_wait(at, None);
                    let step = self.also(at, head).map_or(Step::Send, Step::Forward);
                    self.begin(at, head, step);
                }
                Before::Wait { until, cause } => match self.elsewhere(at, head, availability) {
                    Elsewhere::Go(way) => {
                        self.set_wait(at, None);
                        self.begin(at, head, Step::Forward(way));
                    }
                    Elsewhere::Stay(look_again) => {
                        let until = until.into_iter().chain(look_again).min();
                        let cause =
                            if cause != Cause::Limit && self.is_gateway(at) { Cause::Offline } else { cause };
                        self.set_wait(at, Some(Wait { until, firm: false, cause }));
                        self.park_beyond(at, 0);
                    }
                },
            }
            return;
        }
    }

    /// Takes the next step with the head, or first reads it back from the lane.
    fn begin(&mut self, at: ConversationId, head: WorkId, step: Step) {
        let now = self.now();
        let Some(work) = self.works.get_mut(head) else { return };
        match std::mem::replace(&mut work.place, Place::Fetching) {
            Place::Held(loaded) => {
                self.lanes.leave(at, work.ticket.order, head);
                self.deadlines.remove(&(work.timing.deadline, head));
                match step {
                    Step::Send => self.send(at, head, loaded, now),
                    Step::Forward(way) => self.forward(at, head, loaded, way, now),
                }
            }
            Place::Parked => self.to_fetch.push_back(head),
            // Already on its way into memory or to the lane: it comes back here when it is there.
            other => work.place = other,
        }
        self.read_ahead(at);
    }

    /// Has what is next in the lane read back, so that each need not wait for a trip of its own.
    fn read_ahead(&mut self, at: ConversationId) {
        let Some(conversation) = self.lanes.get(at).filter(|conversation| conversation.parked() > 0) else {
            return;
        };
        for id in conversation.queued().take(READ_AHEAD) {
            let Some(work) = self.works.get_mut(id) else { continue };
            if let Place::Parked = work.place {
                work.place = Place::Fetching;
                self.to_fetch.push_back(id);
            }
        }
    }

    fn send(&mut self, at: ConversationId, head: WorkId, mut loaded: Box<Loaded>, now: Instant) {
        let (Some(work), Some(conversation)) = (self.works.get_mut(head), self.lanes.get_mut(at)) else {
            return;
        };
        let Some(sink) = conversation.sink.and_then(|sink| self.shared.sinks.get(sink)) else { return };
        let target = match &conversation.also {
            Some(also) if sink.availability(&conversation.key.target) == Availability::Unserved => also,
            _ => &conversation.key.target,
        };
        if let Some(policy) = &self.shared.policy {
            let (platform, event) = (conversation.key.platform, loaded.event.as_deref());
            match policy::ask(&**policy, event, platform, target, &loaded.text) {
                Answer::Allow => {}
                Answer::Replace { text, .. } => loaded.text = text,
                Answer::Deny { rule } => {
                    let ending = Ending::failed(Reason::Denied, format!("the policy {rule} says no"));
                    return self.conclude(head, &loaded, &ending);
                }
            }
        }
        let outbound = Outbound {
            delivery_id: work.ticket.id.clone(),
            target: target.clone(),
            text: loaded.take_text(),
            reply_to: None,
            deadline: work.timing.deadline,
            may_have_been_sent: work.may_have_been_sent && !self.shared.config.has(Defect::ResendOnDuplicate),
            fence: self.shared.cluster.fence.clone(),
            event: loaded.event.clone().filter(|_| sink.capabilities().data),
        };
        work.place = Place::Sending(loaded);
        conversation.in_flight = Some((head, now));
        let job = jobs::send(sink.clone(), outbound, head, self.shared.clone(), self.cut.clone());
        let mut job: jobs::Job = Box::pin(job);
        // A socket of ours takes a frame at once, and then there is nothing to wait for.
        match job.as_mut().now_or_never() {
            Some(done) => self.at_once.push(done),
            None => self.jobs.push(job),
        }
    }

    pub(super) fn on_verdict(&mut self, id: WorkId, verdict: &Verdict, took: Duration) {
        let clock = &self.shared.runtime.clock;
        let (now, instant) = (clock.now(), self.now());
        let remembers = match verdict {
            Verdict::Unverified { .. } => self.remembers(id),
            _ => None,
        };
        let Some(work) = self.works.get_mut(id) else { return };
        let Some(at) = work.conversation else { return };
        let Place::Sending(mut loaded) = std::mem::replace(&mut work.place, Place::Ending) else { return };
        self.shared.meter.send.observe(took.as_secs_f64());
        if let Some(word) = attempt_word(verdict) {
            let instance = self.shared.config.instance.as_str().to_owned();
            work.ticket.tried(Attempt { at: now, instance, outcome: word.to_owned() });
        }
        if let (Verdict::Unverified { code, message }, Some(time)) = (verdict, remembers)
            && work.doubt.is_none()
        {
            work.doubt = Some(Box::new(ErrorInfo { code: code.clone(), message: message.clone() }));
            // Once the platform has forgotten this attempt another one would not be safe, whoever makes it.
            let left = time.saturating_sub(took);
            work.timing.deadline = work.timing.deadline.min(instant + left);
            work.ticket.deadline = work.ticket.deadline.min(now.plus(left));
            (work.may_have_been_sent, work.ticket.may_have_been_sent) = (true, true);
        }
        let after = after_send(verdict, work.failures, remembers.is_some(), work.timing, instant);
        let order = work.ticket.order;
        if let Some(conversation) = self.lanes.get_mut(at) {
            conversation.in_flight = None;
            if !matches!(verdict, Verdict::NotNow) {
                conversation.took(took);
            }
            debug!(
                event = "egress.attempt",
                platform = conversation.key.platform,
                channel = channel_of(&conversation.key.target),
                deliveryId = &*work.ticket.id,
                outcome = attempt_word(verdict).unwrap_or("not_now"),
                durationMs = took.as_secs_f64() * 1000.0,
                "egress attempt"
            );
        }
        match after {
            After::End(ending) => self.conclude(id, &loaded, &ending),
            After::Again { until, cause } => {
                work.failures = work.failures.saturating_add(1);
                let parked = work.lane.is_some();
                work.place = if parked {
                    Place::Parked
                } else {
                    loaded.restore();
                    Place::Held(loaded)
                };
                self.lanes.join(at, order, id, parked);
                self.deadlines.insert((work.timing.deadline, id));
                self.set_wait(at, Some(Wait { until: Some(until), firm: true, cause }));
                if self.stop_by.is_some() {
                    self.give_back(id);
                }
                self.ready.push_back(at);
            }
        }
    }

    /// How long the platform it is said on remembers an attempt.
    pub(super) fn remembers(&self, id: WorkId) -> Option<Duration> {
        let sink = self.works.get(id)?.sink?;
        self.shared.sinks.get(sink)?.capabilities().remembers
    }

    /// Moves what holds a slot of the bus into the lane, all but the first `keep`.
    fn park_beyond(&mut self, at: ConversationId, keep: usize) {
        let Some(conversation) = self.lanes.get(at) else { return };
        let held: Vec<WorkId> = conversation.held().skip(keep).collect();
        let limits = self.shared.config.limits;
        for id in held {
            let Some(conversation) = self.lanes.get(at) else { return };
            let full = conversation.parked() >= limits.lane || self.lanes.parked() >= limits.waiting;
            let Some(work) = self.works.get_mut(id) else { continue };
            if work.lane.is_none() && full {
                let message = format!("{} events wait in its conversation", conversation.parked());
                self.finish(id, Ending::failed(Reason::Overloaded, message));
                continue;
            }
            match std::mem::replace(&mut work.place, Place::Parked) {
                Place::Held(loaded) if work.lane.is_none() => {
                    let message = work
                        .record(&loaded)
                        .map(|record| work.ticket.lane_message(&record.message, work.lost));
                    let Some(message) = message else {
                        work.place = Place::Held(loaded);
                        continue;
                    };
                    work.place = Place::Parking(loaded);
                    self.jobs.push(Box::pin(jobs::park(self.shared.clone(), id, message)));
                }
                Place::Held(_) => {}
                other => {
                    work.place = other;
                    continue;
                }
            }
            self.lanes.park(at, work.ticket.order, id, true);
        }
        self.count_waiting();
    }

    pub(super) fn on_parked(&mut self, id: WorkId, seq: Option<u64>) {
        let Some(work) = self.works.get_mut(id) else { return };
        work.lane = seq;
        let Place::Parking(loaded) = std::mem::replace(&mut work.place, Place::Parked) else { return };
        if seq.is_some() {
            let inputs = std::mem::take(&mut work.inputs);
            for (slot, delivery) in inputs {
                self.jobs.push(Box::pin(jobs::settle(slot, delivery, chatbus_bus::Settlement::Ack)));
            }
        } else {
            work.place = Place::Held(loaded);
            if let Some(at) = work.conversation {
                self.lanes.park(at, work.ticket.order, id, false);
            }
        }
        if let Some(ending) = work.ends.take() {
            return self.finish(id, ending);
        }
        if let Some(at) = work.conversation {
            self.ready.push_back(at);
        }
        if self.stop_by.is_some() && seq.is_none() {
            self.give_back(id);
        }
    }

    fn fetch_next(&mut self) {
        let limits = self.shared.config.limits;
        while self.fetching < limits.fetches
            && self.unconfirmed + self.fetching < limits.unconfirmed
            && self.has_room_to_load()
        {
            let Some(id) = self.to_fetch.pop_front() else { return };
            let Some(seq) = self.works.get(id).and_then(|work| work.lane) else { continue };
            self.fetching += 1;
            self.jobs.push(Box::pin(jobs::fetch(self.shared.clone(), id, seq)));
        }
    }

    pub(super) fn on_fetched(&mut self, id: WorkId, record: Option<chatbus_bus::Record>) {
        self.fetching = self.fetching.saturating_sub(1);
        let Some(work) = self.works.get_mut(id) else { return };
        let copy = || work.inputs.first().map(|(_, delivery)| delivery.record().clone());
        let Some(record) = record.or_else(copy) else {
            error!(event = "egress.lane_lost", deliveryId = &*work.ticket.id, "the bus lost its lane record");
            return self.forget(id);
        };
        let loaded = self.shared.load(record, &work.ticket);
        if let Some(ending) = work.ends.take() {
            return self.conclude(id, &loaded, &ending);
        }
        work.place = Place::Held(loaded);
        if let Some(at) = work.conversation {
            self.lanes.park(at, work.ticket.order, id, false);
            self.ready.push_back(at);
        }
    }

    /// Its deadline is over, or it was found to be.
    pub(super) fn expire(&mut self, id: WorkId) {
        let Some(work) = self.works.get(id) else { return };
        let conversation = work.conversation.and_then(|at| self.lanes.get(at));
        let cause = conversation.and_then(|c| c.wait.as_ref()).map(|wait| &wait.cause);
        let ending = at_deadline(work.timing, cause);
        self.finish(id, ending);
    }

    /// All slots of a topic have been taken for a while: conversations that hold theirs long keep few, and
    /// none where it is the bytes that are taken.
    pub(super) fn relieve(&mut self, now: Instant) {
        self.relief = None;
        if !self.is_full() || self.stop_by.is_some() {
            return;
        }
        let keep = if self.is_heavy() { 0 } else { self.shared.config.limits.kept_slots };
        let slow: Vec<ConversationId> =
            self.lanes.iter().filter(|(_, c)| c.drain_time(now) > SLOW).map(|(at, _)| at).collect();
        for at in slow {
            self.park_beyond(at, keep);
        }
        self.relief = Some(now + RELIEF_AFTER);
    }

    pub(super) fn on_sink_changed(&mut self, sink: usize) {
        if let Some(waiting) = self.by_sink.get(sink) {
            self.ready.extend(waiting);
        }
    }

    /// Notes why a conversation waits, and arranges for what ends the wait.
    pub(super) fn set_wait(&mut self, at: ConversationId, wait: Option<Wait>) {
        let Some(conversation) = self.lanes.get_mut(at) else { return };
        if conversation.wait == wait {
            return;
        }
        let sink = conversation.sink.and_then(|sink| self.by_sink.get_mut(sink));
        let old = std::mem::replace(&mut conversation.wait, wait.clone());
        if let Some(until) = old.and_then(|wait| wait.until) {
            self.wakes.remove(&(until, at));
        }
        if let Some(until) = wait.as_ref().and_then(|wait| wait.until) {
            self.wakes.insert((until, at));
        }
        let waiting = sink.unwrap_or(&mut self.unserved);
        match wait {
            Some(wait) if !wait.firm => drop(waiting.insert(at)),
            _ => drop(waiting.remove(&at)),
        }
    }

    pub(super) fn count_waiting(&self) {
        let waiting = i64::try_from(self.lanes.parked()).unwrap_or(i64::MAX);
        self.shared.metrics.egress_waiting.set(waiting);
    }
}

/// What may be logged of a target: a channel's name, never a user.
pub(super) fn channel_of(target: &Audience) -> &str {
    match target {
        Audience::Channel(name) => name,
        Audience::User(_) => "",
    }
}
