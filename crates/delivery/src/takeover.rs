//! What was addressed to an instance that is gone, or never was, goes on elsewhere.
//!
//! Run beside the dispatcher, by one instance at a time. Every topic of the egress and lane families whose
//! owner's lease is dead is emptied for as long as messages arrive there: each goes to the generic topic
//! under its old delivery id, after the ledger says that it may, and only then is it removed. An owner's
//! lease is dead when it was watched unchanged for its whole time, so an outage makes nobody look dead.
//!
//! A topic and its lane go on together, in the order in which the bus first took what is in them, and each
//! event takes its place in that order along: see [`estate`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{Bus, BusError, Group, Record, Subscription, Waiting};
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
use estate::Estate;

mod estate;

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
/// How often it is looked at until then.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Owners of whom something is taken over at the same time.
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
                    for (estate, messages) in Estate::among(orphans) {
                        if taken.len() < AT_ONCE && taken.insert(estate.topic.clone()) {
                            taking.push(async move {
                                let result = self.take(&estate, messages).await;
                                (estate.topic, result)
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

    /// Takes over what an owner left; gives how many events went on.
    async fn take(&self, estate: &Estate, messages: u64) -> Result<u64, BusError> {
        let now = self.runtime.clock.now();
        let mut since = now;
        for topic in estate.topics() {
            since = since.min(outcomes::since(&*self.bus, topic, &self.config, now).await?);
        }
        let (owners, ours) = (group(OWNERS)?, group(OURS)?);
        for topic in estate.topics() {
            self.bus.delete_group(topic, &owners).await?;
        }
        let taken = if messages == 0 {
            Ok(0)
        } else {
            // Nothing is read through it. While it is there the owner, if it wakes up, cannot read what is
            // being carried away.
            self.bus.declare(&[Subscription::new(estate.topic.clone(), ours.clone())]).await?;
            let mut known = outcomes::read_back(&*self.bus, since).await?;
            self.empty(estate, &mut known).await
        };
        // Another's by now, if this one does not take over any more.
        if self.is_ours() {
            for topic in estate.topics() {
                self.bus.delete_group(topic, &ours).await?;
            }
        }
        taken
    }

    /// Carries everything away, until nothing came for a while.
    async fn empty(&self, estate: &Estate, known: &mut Known) -> Result<u64, BusError> {
        let mut taken = 0;
        let mut came_at = self.runtime.clock.instant();
        loop {
            let mut left = estate.left(&*self.bus).await?;
            if !self.config.has(Defect::TakenAsFound) {
                left.sort_unstable();
            }
            let now = self.runtime.clock.instant();
            if !left.is_empty() {
                came_at = now;
            } else if now.saturating_duration_since(came_at) >= IDLE {
                return Ok(taken);
            }
            for place in left {
                // Looked at for each: the owner may be back, and then has the rest.
                if !self.is_ours() || !self.is_orphan(&estate.topic) {
                    return Ok(taken);
                }
                let topic = estate.topic_of(place);
                if let Some(record) = self.bus.fetch(topic, place.seq).await? {
                    if !self.take_record(record, known).await {
                        continue;
                    }
                    // Not removed it is taken again, and goes on under the same id.
                    self.bus.remove(topic, place.seq).await?;
                    taken += 1;
                }
            }
            // Also after something came: what goes in circles must not go fast.
            tokio::time::sleep(LOOK_AGAIN).await;
            if !self.is_ours() || !self.is_orphan(&estate.topic) {
                return Ok(taken);
            }
        }
    }

    /// Gives whether it was taken: a lane record that is not ours stays.
    async fn take_record(&self, record: Record, known: &mut Known) -> bool {
        let event = Event::decode(&record.message.body).ok();
        if record.topic.family() == Family::Lane {
            let Some(ticket) = Ticket::of_lane(&record) else { return false };
            let record = Record { topic: ticket.origin.clone(), ..record };
            self.take_event(&ticket, &record, event.as_ref(), known).await;
            return true;
        }
        let now = self.runtime.clock.now();
        let ticket = Ticket::of(delivery_id(&record), &record, event.as_ref(), &self.config, now);
        self.take_event(&ticket, &record, event.as_ref(), known).await;
        true
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
