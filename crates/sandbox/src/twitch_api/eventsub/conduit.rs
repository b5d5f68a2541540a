//! Conduits: one subscription's notifications spread over shards, each with a transport of its own.

use std::collections::BTreeMap;

use chatbus_event::Timestamp;
use serde_json::{Value, json};

use super::hub::Hub;
use super::subscription::{DISCONNECTED, ENABLED, PENDING, Transport};
use super::webhook::Post;
use crate::twitch_irc::Moment;

/// Conduits of one application (dev.twitch.tv/docs/eventsub/handling-conduit-events).
const MAX_CONDUITS: usize = 5;
/// Shards of one conduit.
pub(in crate::twitch_api) const MAX_SHARDS: u64 = 20_000;

/// A conduit.
#[derive(Debug)]
pub(super) struct Conduit {
    pub(super) client_id: String,
    pub(super) shard_count: u64,
    /// Those that were given a transport, by number.
    pub(super) shards: BTreeMap<u64, Shard>,
}

/// A shard with a transport.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) transport: Transport,
    pub(super) status: &'static str,
    connected_at: Timestamp,
    disconnected_at: Option<Timestamp>,
}

/// A transport for a shard.
#[derive(Debug)]
pub(in crate::twitch_api) struct NewShard {
    pub(in crate::twitch_api) number: u64,
    pub(in crate::twitch_api) transport: Transport,
}

// === impl Conduit ===

impl Conduit {
    pub(super) fn session_gone(&mut self, session: &str, at: Timestamp) {
        for shard in self.shards.values_mut().filter(|shard| shard.is_session(session)) {
            shard.status = DISCONNECTED;
            shard.disconnected_at = Some(at);
        }
    }

    pub(super) fn has_session(&self, session: &str) -> bool {
        self.shards.values().any(|shard| shard.is_session(session) && shard.status == ENABLED)
    }

    fn listed(&self, id: &str) -> Value {
        json!({ "id": id, "shard_count": self.shard_count })
    }
}

// === impl Shard ===

impl Shard {
    fn is_session(&self, session: &str) -> bool {
        matches!(&self.transport, Transport::WebSocket { session: own } if own == session)
    }

    fn listed(&self, number: u64) -> Value {
        let mut transport = self.transport.shown();
        if matches!(self.transport, Transport::WebSocket { .. }) {
            transport["connected_at"] = json!(self.connected_at);
            if let Some(at) = self.disconnected_at {
                transport["disconnected_at"] = json!(at);
            }
        }
        json!({ "id": number.to_string(), "status": self.status, "transport": transport })
    }
}

// === impl Hub ===

impl Hub {
    /// A new conduit; `None` when the application has too many.
    pub(in crate::twitch_api) fn make_conduit(&mut self, client_id: &str, shard_count: u64) -> Option<Value> {
        let own = self.conduits.values().filter(|conduit| conduit.client_id == client_id).count();
        if own >= MAX_CONDUITS {
            return None;
        }
        let id = self.fresh();
        let conduit = Conduit { client_id: client_id.to_owned(), shard_count, shards: BTreeMap::new() };
        let listed = conduit.listed(&id);
        self.conduits.insert(id, conduit);
        Some(listed)
    }

    /// An application's conduits.
    pub(in crate::twitch_api) fn conduits_of(&self, client_id: &str) -> Vec<Value> {
        let own = self.conduits.iter().filter(|(_, conduit)| conduit.client_id == client_id);
        own.map(|(id, conduit)| conduit.listed(id)).collect()
    }

    /// More or fewer shards; what is cut off loses its transport. `None` when there is no such conduit.
    pub(in crate::twitch_api) fn resize_conduit(
        &mut self,
        client_id: &str,
        id: &str,
        shard_count: u64,
    ) -> Option<Value> {
        let conduit = self.conduits.get_mut(id).filter(|conduit| conduit.client_id == client_id)?;
        conduit.shard_count = shard_count;
        conduit.shards.retain(|number, _| *number < shard_count);
        Some(conduit.listed(id))
    }

    /// Deletes a conduit, and the subscriptions that lead to it.
    pub(in crate::twitch_api) fn delete_conduit(&mut self, client_id: &str, id: &str) -> bool {
        if self.conduits.get(id).is_none_or(|conduit| conduit.client_id != client_id) {
            return false;
        }
        self.conduits.remove(id);
        self.subscriptions
            .retain(|_, s| !matches!(&s.transport, Transport::Conduit { id: other } if other == id));
        true
    }

    /// The shards of a conduit that have a transport, with this status if one is asked for.
    pub(in crate::twitch_api) fn shards_of(
        &self,
        client_id: &str,
        id: &str,
        status: Option<&str>,
    ) -> Option<Vec<Value>> {
        let conduit = self.conduits.get(id).filter(|conduit| conduit.client_id == client_id)?;
        let wanted = |shard: &Shard| status.is_none_or(|status| shard.status == status);
        let shards = conduit.shards.iter().filter(|(_, shard)| wanted(shard));
        Some(shards.map(|(number, shard)| shard.listed(*number)).collect())
    }

    /// Gives shards their transports: those that have it now, and those that cannot. `None` when there is no
    /// such conduit.
    pub(in crate::twitch_api) fn set_shards(
        &mut self,
        client_id: &str,
        id: &str,
        shards: Vec<NewShard>,
        now: Moment,
    ) -> Option<(Vec<Value>, Vec<Value>)> {
        let count = self.conduits.get(id).filter(|conduit| conduit.client_id == client_id)?.shard_count;
        let (mut set, mut refused) = (Vec::new(), Vec::new());
        for NewShard { number, transport } in shards {
            let problem = if number >= count {
                Some(("The shard ID is outside of the conduit's range.", "invalid_parameter"))
            } else {
                match &transport {
                    Transport::WebSocket { session } if !self.sessions.contains_key(session) => {
                        Some(("The websocket session is not connected.", "websocket_disconnected"))
                    }
                    _ => None,
                }
            };
            if let Some((message, code)) = problem {
                refused.push(json!({ "id": number.to_string(), "message": message, "code": code }));
                continue;
            }
            let status = if matches!(transport, Transport::Webhook { .. }) { PENDING } else { ENABLED };
            let shard = Shard { transport, status, connected_at: now.wall, disconnected_at: None };
            self.verify_shard(id, number, &shard, now);
            set.push(shard.listed(number));
            if let Some(conduit) = self.conduits.get_mut(id) {
                conduit.shards.insert(number, shard);
            }
        }
        Some((set, refused))
    }

    fn verify_shard(&mut self, id: &str, number: u64, shard: &Shard, now: Moment) {
        let Transport::Webhook { callback, secret } = &shard.transport else { return };
        let shown = json!({
            "id": id,
            "status": PENDING,
            "type": "conduit.shard",
            "version": "1",
            "cost": 0,
            "condition": {},
            "transport": shard.transport.shown(),
            "created_at": now.wall,
        });
        let post = Post::challenge(callback, secret, &self.fresh(), now.wall, self.fresh(), &shown);
        self.post(post.for_shard(id, number));
    }

    /// The callback of a shard has answered, rightly or not.
    pub(super) fn shard_verified(&mut self, id: &str, number: u64, rightly: bool) {
        let shard = self.conduits.get_mut(id).and_then(|conduit| conduit.shards.get_mut(&number));
        if let Some(shard) = shard {
            shard.status = if rightly { ENABLED } else { "webhook_callback_verification_failed" };
        }
    }
}
