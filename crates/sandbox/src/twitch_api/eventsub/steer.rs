//! What tests ask of EventSub: tell something, break connections, read back.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use super::connection::{Out, SessionView};
use super::frames::Close;
use super::hub::{Hub, RECONNECT_GRACE};
use crate::twitch_api::steer::login_of;
use crate::twitch_api::{Stream, TwitchApi};
use crate::twitch_irc::{BadRequest, user_id};

/// Which sessions are meant: those that fit all that is given; with nothing given, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// The session with this id.
    pub session: Option<String>,
    /// The connection with this number.
    pub connection: Option<u64>,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Emit {
    /// The type: `channel.follow`.
    pub kind: String,
    /// Only to subscriptions of this version.
    pub version: Option<String>,
    /// The event, as it stands in the notification.
    pub event: Value,
    /// Only to this subscription, whatever its condition.
    pub subscription: Option<String>,
}

// === impl TwitchApi ===

impl TwitchApi {
    /// Tells an event of any type to whom it fits. Says to how many subscriptions.
    ///
    /// # Errors
    /// When the event is no object.
    pub fn emit(&self, emit: &Emit) -> Result<usize, BadRequest> {
        if !emit.event.is_object() {
            return Err(BadRequest::new("event", "is no object"));
        }
        let now = self.core.moment();
        let (version, only) = (emit.version.as_deref(), emit.subscription.as_deref());
        Ok(self.core.lock().hub.emit(&emit.kind, version, &emit.event, only, now))
    }

    /// Sets a channel's stream online or offline, and tells those who asked. Says to how many subscriptions.
    ///
    /// # Errors
    /// When the login is none.
    pub fn set_live(&self, login: &str, live: bool, viewers: u64) -> Result<usize, BadRequest> {
        let login = login_of(login)?;
        let now = self.core.moment();
        let mut world = self.core.lock();
        let id = world.entropy.next_u64().to_string();
        let before = world.people.person(&login).stream;
        let stream = live.then(|| before.clone().unwrap_or(Stream { id, started_at: now.wall, viewers }));
        let stream = stream.map(|stream| Stream { viewers, ..stream });
        world.people.change(&login, |person| person.stream.clone_from(&stream));
        if before.is_some() == live {
            return Ok(0);
        }
        let mut event = serde_json::json!({
            "broadcaster_user_id": user_id(&login).to_string(),
            "broadcaster_user_login": login,
            "broadcaster_user_name": world.people.shown(&login),
        });
        if let Some(stream) = stream {
            event["id"] = Value::String(stream.id);
            event["type"] = Value::String("live".to_owned());
            event["started_at"] = Value::String(stream.started_at.to_string());
        }
        let kind = if live { "stream.online" } else { "stream.offline" };
        Ok(world.hub.emit(kind, None, &event, None, now))
    }

    /// Stops (or lets go) reading and writing without closing. Says how many connections it meant.
    pub fn freeze_sessions(&self, which: &Sessions, frozen: bool) -> usize {
        self.with_each(which, |hub, id| {
            if let Some(connection) = hub.connections.get_mut(&id) {
                connection.frozen = frozen;
            }
        })
    }

    /// Sends keepalives or none.
    pub fn set_keepalives(&self, which: &Sessions, on: bool) -> usize {
        self.with_each(which, |hub, id| {
            if let Some(connection) = hub.connections.get_mut(&id) {
                connection.keepalives = on;
            }
        })
    }

    /// Ends connections without a close frame.
    pub fn drop_sessions(&self, which: &Sessions) -> usize {
        self.with_each(which, |hub, id| {
            if let Some(connection) = hub.connections.get(&id) {
                connection.cut.cancel();
            }
        })
    }

    /// Closes connections with a code.
    ///
    /// # Errors
    /// When the code is none that may be sent, or the reason is over 123 bytes.
    pub fn close_sessions(&self, which: &Sessions, code: u16, reason: &str) -> Result<usize, BadRequest> {
        if !(matches!(code, 1000..=1003 | 1007..=1014) || (3000..5000).contains(&code)) {
            return Err(BadRequest::new("code", "is no close code that can be sent"));
        }
        if reason.len() > 123 {
            return Err(BadRequest::new("reason", "is over 123 bytes"));
        }
        let now = self.core.moment().mono;
        Ok(self.with_each(which, |hub, id| {
            let reason = Cow::Owned(reason.to_owned());
            hub.put(id, Out::Close(Close { code, reason }), now);
        }))
    }

    /// Sends clients to another URL, and closes their old connection with 4004 after `grace`; `None` is the usual
    /// 30 s.
    pub fn reconnect_sessions(&self, which: &Sessions, grace: Option<Duration>) -> usize {
        let now = self.core.moment();
        self.with_each(which, |hub, id| hub.send_away(id, grace.unwrap_or(RECONNECT_GRACE), now))
    }

    fn with_each(&self, which: &Sessions, act: impl Fn(&mut Hub, u64)) -> usize {
        let mut world = self.core.lock();
        let views = world.hub.views().into_iter();
        let meant = views.filter(|view| {
            which.session.as_deref().is_none_or(|session| session == view.id)
                && which.connection.is_none_or(|connection| connection == view.connection)
        });
        let ids: Vec<u64> = meant.map(|view| view.connection).collect();
        for id in &ids {
            act(&mut world.hub, *id);
            world.hub.stir(*id);
        }
        drop(world);
        self.core.changed();
        ids.len()
    }

    /// Takes a subscription back: `authorization_revoked`, `user_removed`, `version_removed` and the like.
    ///
    /// # Errors
    /// When there is none with this id, or the status is none.
    pub fn revoke_subscription(&self, id: &str, status: &str) -> Result<(), BadRequest> {
        if status.is_empty() || !status.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(BadRequest::new("status", "is not of a-z and _"));
        }
        let now = self.core.moment();
        let known = self.core.lock().hub.revoke(id, status, now);
        self.core.changed();
        if known { Ok(()) } else { Err(BadRequest::new("subscription", "is none that there is")) }
    }

    /// Tells a subscription its last notification once more, with its message id.
    ///
    /// # Errors
    /// When there is none with this id, or it was told nothing yet.
    pub fn repeat_notification(&self, id: &str) -> Result<bool, BadRequest> {
        let now = self.core.moment();
        let told = self.core.lock().hub.repeat(id, now);
        told.ok_or(BadRequest::new("subscription", "is none that was told anything"))
    }

    /// The connections to EventSub there are.
    pub fn sessions(&self) -> Vec<SessionView> {
        self.core.lock().hub.views()
    }

    /// Notifications that nobody could be told: no shard, no session, no room in a queue.
    pub fn undeliverable(&self) -> u64 {
        self.core.lock().hub.undeliverable
    }

    /// All subscriptions, as Helix lists them, with the application and account that made them.
    pub fn subscriptions(&self) -> Vec<Value> {
        let world = self.core.lock();
        let subscriptions = world.hub.subscriptions.values();
        let listed = subscriptions.map(|subscription| {
            let mut listed = subscription.listed();
            listed["client_id"] = Value::String(subscription.client_id.clone());
            listed["login"] = subscription.login.clone().map_or(Value::Null, Value::String);
            listed
        });
        listed.collect()
    }

    /// Whether a subscription whose session is gone stands in the way of an equal new one, with 409, until it is
    /// deleted.
    pub fn set_orphans_conflict(&self, on: bool) {
        self.core.lock().hub.orphans_conflict = on;
    }

    /// Waits until at least so many subscriptions are enabled.
    pub async fn wait_for_subscriptions(&self, count: usize) {
        self.wait_until(|world| world.hub.subscriptions.values().filter(|s| s.is_enabled()).count() >= count)
            .await;
    }

    /// Waits until there are exactly so many connections to EventSub.
    pub async fn wait_for_sessions(&self, count: usize) {
        self.wait_until(|world| world.hub.connections.len() == count).await;
    }

    /// Waits until the subscription with this id has this status.
    pub async fn wait_for_status(&self, id: &str, status: &str) {
        let has_it = |hub: &Hub| hub.subscriptions.values().any(|s| s.id == id && s.status == status);
        self.wait_until(|world| has_it(&world.hub)).await;
    }
}
