//! Who else could say it: from an instance that cannot to the generic topic, and from the dispatcher of
//! that to an instance that can.
//!
//! Only what waits for a connection is passed on, never what waits for a limit: a limit is the account's,
//! wherever it is used. Every hop is counted, and after the last an event stays where it is until its
//! deadline, so nothing travels in circles.

use std::time::Instant;

use chatbus_connector::{Audience, Availability};
use chatbus_event::Topic;
use tracing::{debug, warn};

use super::work::{Loaded, Place};
use super::{Engine, jobs, legs};
use crate::config::{MAX_HOPS, PATIENCE};
use crate::lanes::{Conversation, ConversationId, Key, WorkId};
use crate::peers::{Peer, PeerChange};

/// Where something that cannot be said here goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To one that can say it.
    Peer(Peer),
    /// To several, because a user is connected to several.
    Legs(Vec<Peer>),
    /// It was one of several, and comes to nothing here.
    Left,
    /// To whoever dispatches the generic topic.
    Generic,
}

/// What can be done about something that cannot be said here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Pass it on.
    Go(Way),
    /// Wait, and look again then at the latest.
    Stay(Option<Instant>),
}

// === impl Engine ===

impl Engine {
    /// Whether this instance dispatches the generic topic at this moment.
    pub(super) fn dispatches(&self) -> bool {
        self.dispatch.borrow().as_ref().is_some_and(|fence| fence.is_held(self.now()))
    }

    /// Whether a conversation is with a user of ours.
    pub(super) fn is_gateway(&self, at: ConversationId) -> bool {
        let platform = self.lanes.get(at).map(|conversation| conversation.key.platform);
        self.shared.table.gateway().map(|gateway| gateway.name) == platform
    }

    /// Whether a delivery may be begun: the leases that make it ours are held.
    pub(super) fn may_claim(&self, id: WorkId) -> bool {
        let is_generic = self.works.get(id).is_some_and(|work| work.is_from(super::GENERIC));
        self.shared.cluster.fence.is_held(self.now()) && (!is_generic || self.dispatches())
    }

    /// Where the head of a conversation could be said that cannot be said here.
    pub(super) fn elsewhere(&self, at: ConversationId, head: WorkId, here: Availability) -> Elsewhere {
        let stay = Elsewhere::Stay(None);
        let (Some(conversation), Some(work)) = (self.lanes.get(at), self.works.get(head)) else {
            return stay;
        };
        let peers = &self.shared.cluster.peers;
        let is_bound = work.ticket.hops >= MAX_HOPS && !work.ticket.is_leg;
        if is_bound || !peers.are_there() {
            return stay;
        }
        let is_generic = work.ticket.origin == Topic::egress();
        let gone_for = match here {
            Availability::Ready | Availability::NotBefore(_) => return stay,
            Availability::Unserved => None,
            Availability::Disconnected { since } => Some(since),
        };
        // A generic event goes to whoever can say it now. One for this instance waits a little for it.
        if let Some(since) = gone_for.filter(|_| !is_generic)
            && self.now() < since + PATIENCE
        {
            return Elsewhere::Stay(Some(since + PATIENCE));
        }
        if work.ticket.is_leg {
            return Elsewhere::Go(Way::Left);
        }
        if self.dispatches() {
            let peers = self.served_by(conversation);
            return self.way_to(at, peers).map_or(stay, Elsewhere::Go);
        }
        // What the dispatcher sent here and is not to be said here after all goes back to it as well.
        Elsewhere::Go(Way::Generic)
    }

    /// The other gateways of a user to whom something generic can be said here: it goes to all.
    pub(super) fn also(&self, at: ConversationId, head: WorkId) -> Option<Way> {
        let (conversation, work) = (self.lanes.get(at)?, self.works.get(head)?);
        if !self.is_gateway(at) || work.ticket.origin != Topic::egress() || !self.dispatches() {
            return None;
        }
        let mut peers =
            self.shared.cluster.peers.serving(conversation.key.platform, &conversation.key.target);
        if peers.is_empty() {
            return None;
        }
        let config = &self.shared.config;
        peers.push(Peer {
            instance: config.instance.as_str().into(),
            topic: config.role.topic(&config.instance),
        });
        Some(Way::Legs(peers))
    }

    /// The others that can say it now, to its user under either name.
    fn served_by(&self, conversation: &Conversation) -> Vec<Peer> {
        let (peers, platform) = (&self.shared.cluster.peers, conversation.key.platform);
        let found = peers.serving(platform, &conversation.key.target);
        match &conversation.also {
            Some(also) if found.is_empty() => peers.serving(platform, also),
            _ => found,
        }
    }

    /// How something reaches the best of these, or of a user's gateways all.
    fn way_to(&self, at: ConversationId, mut peers: Vec<Peer>) -> Option<Way> {
        if peers.len() > 1 && self.is_gateway(at) {
            return Some(Way::Legs(peers));
        }
        (!peers.is_empty()).then(|| Way::Peer(peers.swap_remove(0)))
    }

    /// Passes on the head of a conversation.
    pub(super) fn forward(
        &mut self,
        at: ConversationId,
        head: WorkId,
        loaded: Box<Loaded>,
        way: Way,
        now: Instant,
    ) {
        let Some(work) = self.works.get_mut(head) else { return };
        let Some(original) = work.record(&loaded).map(|record| record.message.clone()) else { return };
        let (shared, mut ticket) = (self.shared.clone(), work.ticket.clone());
        ticket.may_have_been_sent |= work.may_have_been_sent;
        debug!(event = "egress.forwarded", deliveryId = &*ticket.id, "passed on");
        let job: jobs::Job = match way {
            Way::Generic => {
                Box::pin(jobs::forward(shared, head, Topic::egress(), ticket.forwarded(&original)))
            }
            Way::Peer(peer) => Box::pin(jobs::forward(shared, head, peer.topic, ticket.forwarded(&original))),
            Way::Legs(peers) => Box::pin(legs::send(shared, head, ticket, original, peers)),
            Way::Left => Box::pin(legs::leave(shared, head, ticket, original, loaded.event.clone())),
        };
        work.place = Place::Sending(loaded);
        if let Some(conversation) = self.lanes.get_mut(at) {
            conversation.in_flight = Some((head, now));
        }
        self.jobs.push(job);
    }

    pub(super) fn on_forwarded(&mut self, id: WorkId, stored: bool) {
        let Some(work) = self.works.get_mut(id) else { return };
        let at = work.conversation;
        if let Some(conversation) = at.and_then(|at| self.lanes.get_mut(at)) {
            conversation.in_flight = None;
        }
        if stored {
            self.forget(id);
        } else {
            warn!(event = "egress.not_forwarded", deliveryId = &*work.ticket.id, "it stays here");
            work.ticket.hops = MAX_HOPS;
            self.take_back(id);
        }
        self.ready.extend(at);
    }

    /// Puts something that was about to leave back at its place.
    fn take_back(&mut self, id: WorkId) {
        let Some(work) = self.works.get_mut(id) else { return };
        let Place::Sending(loaded) = std::mem::replace(&mut work.place, Place::Ending) else { return };
        let parked = work.lane.is_some();
        work.place = if parked { Place::Parked } else { Place::Held(loaded) };
        let (order, deadline) = (work.ticket.order, work.timing.deadline);
        if let Some(at) = work.conversation {
            self.lanes.join(at, order, id, parked);
            self.deadlines.insert((deadline, id));
        }
    }

    /// Something changed among the others: what waits for them may go on.
    pub(super) fn on_peers_changed(&mut self, change: &PeerChange) {
        match change {
            PeerChange::Any => {
                self.ready.extend(&self.unserved);
                self.ready.extend(self.by_sink.iter().flatten());
            }
            PeerChange::User(user) => {
                let Some(gateway) = self.shared.table.gateway() else { return };
                // It may be waited for by the name that its platform gives it.
                let bare = user.split_once(':').map(|(_, id)| id.into());
                for name in std::iter::once(user.clone()).chain(bare) {
                    let key = Key { platform: gateway.name, target: Audience::User(name) };
                    self.ready.extend(self.lanes.find(&key));
                }
            }
        }
    }

    /// The lease is lost: nothing more is begun. What is in hand comes to its end as far as it may.
    pub(super) fn on_lost(&mut self) {
        warn!(event = "egress.lease_lost", "the lease is lost; another instance takes over what waits here");
        self.is_lost = true;
        self.begin_stop();
    }
}
