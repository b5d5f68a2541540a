//! What has to change so that what is there becomes what is wanted.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Existing, Transport, Wanted};

/// What has to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Places of what is wanted and there.
    pub kept: Vec<usize>,
    /// Places of what is wanted and not there.
    pub create: Vec<usize>,
    /// Ids of what is there and of no use.
    pub remove: Vec<String>,
}

// === impl Existing ===

impl Existing {
    /// Whether notifications come of it, or will.
    pub(super) fn is_alive(&self) -> bool {
        matches!(&*self.status, "enabled" | "webhook_callback_verification_pending")
    }

    /// Whether it is the same thing, whichever way its notifications come.
    pub(super) fn is_of(&self, wanted: &Wanted) -> bool {
        let condition = wanted.condition();
        self.kind == wanted.row.name
            && self.version == wanted.row.version
            && self.condition.len() == condition.len()
            && self.condition.iter().zip(condition).all(|((a, x), (b, y))| a == b && x == y)
    }

    /// Whether it comes by this way.
    pub(super) fn is_by(&self, transport: &Transport) -> bool {
        transport.parts() == (&*self.method, &*self.goal)
    }

    /// Whether nobody will ever hear of it: it is of a session that has ended. One of another live session,
    /// another address or another conduit is somebody else's.
    pub(super) fn is_orphan(&self, dead: &[Arc<str>]) -> bool {
        self.method == "websocket" && (!self.is_alive() || dead.iter().any(|id| **id == *self.goal))
    }
}

/// Compares. `dead` are ids of sessions of ours that have ended: Twitch takes a while to notice.
pub fn plan(wanted: &[Wanted], existing: &[Existing], transport: &Transport, dead: &[Arc<str>]) -> Plan {
    let mut plan = Plan::default();
    let mut of_type: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, wanted) in wanted.iter().enumerate() {
        of_type.entry(wanted.row.name).or_default().push(place);
    }
    let mut is_there = vec![false; wanted.len()];
    for subscription in existing {
        if !subscription.is_by(transport) {
            if subscription.is_orphan(dead) {
                plan.remove.push(subscription.id.clone());
            }
            continue;
        }
        let places = of_type.get(&*subscription.kind).map(Vec::as_slice).unwrap_or_default();
        let place = places.iter().copied().find(|place| {
            wanted.get(*place).is_some_and(|wanted| subscription.is_of(wanted)) && !is_there[*place]
        });
        match place.filter(|_| subscription.is_alive()) {
            Some(place) => is_there[place] = true,
            None => plan.remove.push(subscription.id.clone()),
        }
    }
    for (place, is_there) in is_there.into_iter().enumerate() {
        if is_there { plan.kept.push(place) } else { plan.create.push(place) }
    }
    plan
}
