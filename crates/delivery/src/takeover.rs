//! What was addressed to an instance that is gone, or never was, goes on elsewhere.
//!
//! Run beside the dispatcher, by one instance at a time. Every topic of the egress and lane families whose
//! owner's lease is dead is read for as long as messages arrive there: each goes to the generic topic under
//! its old delivery id, after the ledger says that it may, and only then is it acknowledged. An owner's
//! lease is dead when it was watched unchanged for its whole time, so an outage makes nobody look dead.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{
    Bus, BusError, Delivery, Group, Record, Scan, ScanFrom, ScanTopics, Settlement, Subscription, Waiting,
};
use chatbus_event::{Event, Family, InstanceId, Topic};
use chatbus_runtime::{Backoff, Fence, Runtime};
use chatbus_state::{LeaseView, Liveness};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::EngineConfig;
use crate::defects::Defect;
use crate::ledger::{Claim, Ledger, LegSays};
use crate::outcome::{Outcome, dead_letter};
use crate::outcomes::{self, Known};
use crate::presented::lease_key;
use crate::role::Role;
use crate::ticket::{Ticket, delivery_id};

/// Takes over from instances that are gone, while this one dispatches the generic topic.
pub struct Takeover {
    bus: Arc<dyn Bus>,
    leases: LeaseView,
    ledger: Ledger,
    dispatch: watch::Receiver<Option<Fence>>,
    config: EngineConfig,
    runtime: Runtime,
    source: String,
}

/// How often topics are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A topic where nothing came for this long is left, until the next look finds something there.
const IDLE: Duration = Duration::from_secs(2);
/// Topics taken over at the same time.
const AT_ONCE: usize = 16;
/// The group of an egress topic's owner, and that of who takes it over: never the same name, since what an
/// owner that wakes up still settles must settle nothing of ours.
const OWNERS: &str = "egress";
const OURS: &str = "takeover";

// === impl Takeover ===

impl Takeover {
    /// Takes over for as long as `dispatch` holds a lease.
    pub fn new(
        bus: Arc<dyn Bus>,
        leases: LeaseView,
        ledger: Ledger,
        dispatch: watch::Receiver<Option<Fence>>,
        config: EngineConfig,
        runtime: Runtime,
    ) -> Self {
        let source = format!("{}.{}", config.role.as_str(), config.instance);
        Self { bus, leases, ledger, dispatch, config, runtime, source }
    }

    /// Runs until the process stops.
    pub async fn run(mut self) {
        let stop = self.runtime.stop.clone();
        let work = async {
            loop {
                if self.dispatch.wait_for(Option::is_some).await.is_err() {
                    return std::future::pending().await;
                }
                let mut lost = self.dispatch.clone();
                tokio::select! {
                    biased;
                    _ = lost.wait_for(Option::is_none) => {}
                    () = self.look() => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Whether this instance is the one that takes over, at this moment.
    fn is_ours(&self) -> bool {
        let now = self.runtime.clock.instant();
        self.dispatch.borrow().as_ref().is_some_and(|fence| fence.is_held(now))
    }

    async fn look(&self) {
        let mut taking = FuturesUnordered::new();
        let mut taken = HashSet::new();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some((topic, result)) = taking.next(), if !taking.is_empty() => {
                    let (topic, result): (Topic, Result<u64, BusError>) = (topic, result);
                    taken.remove(&topic);
                    match result {
                        Ok(0) => {}
                        Ok(events) => info!(event = "egress.taken_over", topic = %topic, events, "taken over"),
                        Err(error) => warn!(event = "egress.takeover_failed", topic = topic.family().label(), reason = %error, "not taken over yet"),
                    }
                }
                _ = tick.tick() => {
                    let (orphans, left_behind) = self.orphans().await;
                    for topic in left_behind.iter().filter(|topic| !taken.contains(*topic)) {
                        self.clear_away(topic).await;
                    }
                    for waiting in orphans {
                        if taken.len() < AT_ONCE && taken.insert(waiting.topic.clone()) {
                            taking.push(async move {
                                let result = self.take(&waiting).await;
                                (waiting.topic, result)
                            });
                        }
                    }
                }
            }
        }
    }

    /// Topics that hold something, or have a group, and whose owners are dead; and those of others that a
    /// takeover has a group on.
    async fn orphans(&self) -> (Vec<Waiting>, Vec<Topic>) {
        let mut orphans = Vec::new();
        let mut left_behind = Vec::new();
        for family in [Family::InstanceEgress, Family::ApiEgress, Family::Lane] {
            match self.bus.waiting(family).await {
                Ok(waiting) => {
                    for waiting in waiting {
                        if self.is_orphan(&waiting.topic) {
                            orphans.push(waiting);
                        } else if waiting.groups.iter().any(|group| group.as_str() == OURS) {
                            left_behind.push(waiting.topic);
                        }
                    }
                }
                Err(error) => {
                    warn!(event = "egress.orphans_unknown", topic = family.label(), reason = %error, "cannot look for what to take over");
                }
            }
        }
        orphans.retain(|waiting| waiting.messages > 0 || !waiting.groups.is_empty());
        (orphans, left_behind)
    }

    /// Whoever took this topic over died over it, and its owner is back: it cannot read while the topic is
    /// a takeover's.
    async fn clear_away(&self, topic: &Topic) {
        let Ok(ours) = group(OURS) else { return };
        if !self.is_ours() {
            return;
        }
        match self.bus.delete_group(topic, &ours).await {
            Ok(()) => info!(event = "egress.takeover_cleared", topic = %topic, "its owner has it again"),
            Err(error) => {
                warn!(event = "egress.takeover_left", topic = topic.family().label(), reason = %error, "not cleared away yet");
            }
        }
    }

    fn is_orphan(&self, topic: &Topic) -> bool {
        let key = Role::owner(topic).and_then(|(role, instance)| lease_key(role, &instance));
        // A topic that no instance can have has no owner to wait for; but what is known must be current.
        match key {
            Some(key) if self.config.has(Defect::NoGrace) => self.leases.liveness(&key) != Liveness::Lives,
            Some(key) => self.leases.liveness(&key) == Liveness::Dead,
            None => self.leases.is_current(),
        }
    }

    /// Takes a topic over; gives how many events went on.
    async fn take(&self, waiting: &Waiting) -> Result<u64, BusError> {
        let topic = &waiting.topic;
        let since = outcomes::since(&*self.bus, topic, &self.config, self.runtime.clock.now()).await?;
        let (owners, ours) = (group(OWNERS)?, group(OURS)?);
        self.bus.delete_group(topic, &owners).await?;
        if waiting.messages == 0 {
            self.bus.delete_group(topic, &ours).await?;
            return Ok(0);
        }
        let mut known = outcomes::read_back(&*self.bus, since).await?;
        if topic.family() == Family::Lane {
            return self.take_lane(topic, &mut known).await;
        }
        let taken = self.take_topic(topic, &ours, &mut known).await;
        self.bus.delete_group(topic, &ours).await?;
        taken
    }

    async fn take_topic(&self, topic: &Topic, ours: &Group, known: &mut Known) -> Result<u64, BusError> {
        let subscription = Subscription::new(topic.clone(), ours.clone());
        let mut consumer = self.bus.subscribe(subscription).await?;
        let mut taken = 0;
        while let Ok(Some(delivery)) = tokio::time::timeout(IDLE, consumer.next()).await {
            // Looked at for each: the owner may be back, and then has the rest.
            if !self.is_ours() || !self.is_orphan(topic) {
                let _ = delivery.settle(Settlement::Return).await;
                break;
            }
            self.take_delivery(delivery, known).await;
            taken += 1;
        }
        Ok(taken)
    }

    async fn take_delivery(&self, delivery: Delivery, known: &mut Known) {
        let record = delivery.record();
        let event = Event::decode(&record.message.body).ok();
        let now = self.runtime.clock.now();
        let ticket = Ticket::of(delivery_id(record), record, event.as_ref(), &self.config, now);
        self.take_event(&ticket, record, event.as_ref(), known).await;
        // Unconfirmed it comes again, and goes on under the same id.
        let _ = delivery.settle(Settlement::Ack).await;
    }

    async fn take_lane(&self, lane: &Topic, known: &mut Known) -> Result<u64, BusError> {
        let topics = ScanTopics::One(lane.clone());
        let mut records = self.bus.scan(Scan { topics, from: ScanFrom::Oldest, follow: false }).await?;
        let mut taken = 0;
        while let Some(record) = records.next().await {
            let record = record?;
            if !self.is_ours() || !self.is_orphan(lane) {
                break;
            }
            let Some(ticket) = Ticket::of_lane(&record) else { continue };
            let seq = record.seq;
            let event = Event::decode(&record.message.body).ok();
            let record = Record { topic: ticket.origin.clone(), ..record };
            self.take_event(&ticket, &record, event.as_ref(), known).await;
            self.bus.remove(lane, seq).await?;
            taken += 1;
        }
        Ok(taken)
    }

    /// Sees to it that an event goes on, or that how it ended is on record.
    async fn take_event(&self, ticket: &Ticket, record: &Record, event: Option<&Event>, known: &mut Known) {
        if known.finished.contains(&*ticket.id) {
            if let Some(ending) = known.owed.remove(&*ticket.id) {
                let letter = dead_letter(
                    ticket,
                    &record.message.body,
                    &ending,
                    &self.source,
                    self.runtime.clock.now(),
                );
                if let Some(letter) = letter {
                    self.publish(&Topic::dead_letter(), &letter).await;
                }
            }
            return;
        }
        let ending = if ticket.is_leg {
            let instance = ticket.origin.instance();
            match self.ledger.leg_left(&ticket.id, instance.as_ref().map_or("", InstanceId::as_str)).await {
                LegSays::Silent => return,
                LegSays::Anew => None,
                LegSays::Publish(ending) => Some(ending),
            }
        } else {
            match self.ledger.claim(&ticket.id, ticket.taken).await {
                Claim::Ours => None,
                Claim::Ended(ending) => Some(ending),
            }
        };
        let Some(ending) = ending else {
            let message = ticket.taken_over(&record.message);
            return self.publish(&Topic::egress(), &message).await;
        };
        // Who decided that may have died before it said so. The ids are made from the delivery's.
        let now = self.runtime.clock.now();
        let topics = &self.config.known_topics;
        let attributes = &record.message.attributes;
        let outcome = Outcome::of(ticket, attributes, event, &ending, &self.source, topics, now);
        self.publish(&outcome.topic, &outcome.finalize).await;
        if let Some(letter) = dead_letter(ticket, &record.message.body, &ending, &self.source, now) {
            self.publish(&Topic::dead_letter(), &letter).await;
        }
    }

    /// Publishes until the bus has it. What it refuses for good is said in the log, and stays where it is
    /// no longer: it was too large already when it came.
    async fn publish(&self, topic: &Topic, message: &chatbus_bus::Message) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.bus.publish(topic, message.clone()).await {
                Ok(_) => return,
                Err(failed) => {
                    warn!(event = "egress.publish_retried", topic = topic.family().label(), reason = %failed, "not published yet");
                    tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await;
                }
            }
        }
    }
}

impl std::fmt::Debug for Takeover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Takeover").field("source", &self.source).finish_non_exhaustive()
    }
}

fn group(name: &str) -> Result<Group, BusError> {
    Group::parse(name).map_err(|error| {
        BusError::new(chatbus_bus::BusErrorKind::Misconfigured, "a group's name").caused_by(error.to_string())
    })
}
