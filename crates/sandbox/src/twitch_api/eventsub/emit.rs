//! Telling subscriptions what happened.

use serde_json::{Value, json};

use super::conduit::Shard;
use super::connection::Out;
use super::frames;
use super::hub::Hub;
use super::subscription::{ENABLED, PENDING, Told, Transport};
use super::webhook::{Outcome, Post};
use crate::twitch_irc::Moment;

/// After so many posts in a row that no answer came to, a subscription is given up.
const MAX_FAILURES: u32 = 5;

// === impl Hub ===

impl Hub {
    /// Tells all subscriptions whose type and condition fit, or only the one named, whatever its condition. Says
    /// how many it was told to.
    pub(in crate::twitch_api) fn emit(
        &mut self,
        kind: &str,
        version: Option<&str>,
        event: &Value,
        only: Option<&str>,
        now: Moment,
    ) -> usize {
        let fits = self.subscriptions.iter().filter(|(_, s)| {
            s.is_enabled()
                && s.kind == kind
                && version.is_none_or(|version| s.version == version)
                && only.map_or_else(|| s.is_met_by(event), |id| s.id == id)
        });
        let places: Vec<u64> = fits.map(|(place, _)| *place).collect();
        places.into_iter().filter(|place| self.notify(*place, event, now)).count()
    }

    fn notify(&mut self, place: u64, event: &Value, now: Moment) -> bool {
        let message_id = self.fresh();
        let Some(subscription) = self.subscriptions.get_mut(&place) else { return false };
        let payload = json!({ "subscription": subscription.shown(), "event": event });
        let told = Told { message_id, at: now.wall, payload };
        subscription.last = Some(told.clone());
        self.tell(place, "notification", &told, now)
    }

    /// The last notification once more, with its message id: at least once is what Twitch promises. `None` when
    /// there is no such subscription, or it was told nothing yet.
    pub(super) fn repeat(&mut self, id: &str, now: Moment) -> Option<bool> {
        let (place, last) = self
            .subscriptions
            .iter()
            .find(|(_, s)| s.id == id)
            .and_then(|(p, s)| Some((*p, s.last.clone()?)))?;
        Some(self.tell(place, "notification", &last, now))
    }

    /// Takes a subscription back, with this status. `false` when there is none.
    pub(super) fn revoke(&mut self, id: &str, status: &str, now: Moment) -> bool {
        let message_id = self.fresh();
        let Some((place, subscription)) = self.subscriptions.iter_mut().find(|(_, s)| s.id == id) else {
            return false;
        };
        let place = *place;
        subscription.status = status.to_owned();
        let told =
            Told { message_id, at: now.wall, payload: json!({ "subscription": subscription.shown() }) };
        self.tell(place, "revocation", &told, now);
        true
    }

    /// Takes back all that an account's tokens made. Says how many.
    pub(in crate::twitch_api) fn revoke_all_of(&mut self, login: &str, now: Moment) -> usize {
        let own = self.subscriptions.values().filter(|s| s.is_enabled() && s.login.as_deref() == Some(login));
        let ids: Vec<String> = own.map(|subscription| subscription.id.clone()).collect();
        ids.iter().filter(|id| self.revoke(id, "authorization_revoked", now)).count()
    }

    fn tell(&mut self, place: u64, kind: &'static str, told: &Told, now: Moment) -> bool {
        let Some(subscription) = self.subscriptions.get(&place) else { return false };
        // A shard that fails says nothing about the subscription.
        let mut answers_for = Some(subscription.id.clone());
        let transport = match &subscription.transport {
            Transport::Conduit { id } => match self.shard_for(id, &told.message_id) {
                Some(shard) => {
                    answers_for = None;
                    shard.transport
                }
                None => {
                    self.undeliverable += 1;
                    return false;
                }
            },
            own => own.clone(),
        };
        match transport {
            Transport::WebSocket { session } => {
                let Some(connection) = self.sessions.get(&session).copied() else {
                    self.undeliverable += 1;
                    return false;
                };
                let text = frames::about(kind, &told.message_id, told.at, &told.payload);
                self.put(connection, Out::Text(text), now.mono);
                // Its next keepalive is later now.
                self.stir(connection);
                true
            }
            Transport::Webhook { callback, secret } => {
                let post = Post::about(kind, &callback, &secret, &told.message_id, told.at, &told.payload);
                self.post(match answers_for {
                    Some(id) => post.for_subscription(&id),
                    None => post,
                })
            }
            Transport::Conduit { .. } => false,
        }
    }

    /// A shard that can be told, the same for the same message.
    fn shard_for(&self, conduit: &str, message_id: &str) -> Option<Shard> {
        let shards = &self.conduits.get(conduit)?.shards;
        let able: Vec<&Shard> = shards.values().filter(|shard| shard.status == ENABLED).collect();
        let sum: usize = message_id.bytes().map(usize::from).sum();
        able.get(sum.checked_rem(able.len())?).map(|shard| (*shard).clone())
    }

    /// Hands a post to those who carry them; `false` when too many wait.
    pub(super) fn post(&mut self, post: Post) -> bool {
        let taken = self.posts.try_send(post).is_ok();
        self.undeliverable += u64::from(!taken);
        taken
    }

    /// What became of a post for a subscription.
    pub(super) fn posted(&mut self, id: &str, verifies: bool, outcome: Outcome) {
        let Some(subscription) = self.subscriptions.values_mut().find(|s| s.id == id) else { return };
        match (outcome, verifies) {
            (Outcome::Taken, true) if subscription.status == PENDING => {
                subscription.status = ENABLED.to_owned();
            }
            (_, true) => subscription.status = "webhook_callback_verification_failed".to_owned(),
            (Outcome::Taken, false) => subscription.failures = 0,
            (Outcome::Gone | Outcome::Failed, false) => {
                subscription.failures += 1;
                if subscription.failures >= MAX_FAILURES || outcome == Outcome::Gone {
                    subscription.status = "notification_failures_exceeded".to_owned();
                }
            }
        }
    }
}
