//! What else there is of Twitch beside IRC, as the rooms see it: it knows tokens, and hears what is said.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::message::Tags;
use super::world::Moment;
use super::{TwitchIrc, names};

/// The other side. Called while the rooms' lock is held: it must be short and never call back.
pub(crate) trait Attached: Send + Sync + fmt::Debug {
    /// Whether this account may log in with this token now; `None` for a token it never gave.
    fn token_is_good(&self, token: &str, login: &str) -> Option<bool>;

    /// Whether anybody there wants to hear what is said.
    fn listens(&self) -> bool;

    /// Something was said in a room, by a viewer or a client.
    fn said(&self, said: &InRoom<'_>, now: Moment);

    /// Waits until those who listen have read most of what they were told; for nobody who is frozen. Not called
    /// while the rooms' lock is held.
    fn caught_up(&self) -> BoxFuture<'_, ()>;
}

/// What was said in a room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InRoom<'a> {
    pub(crate) login: &'a str,
    pub(crate) channel: &'a str,
    /// As IRC tells it: a `/me` as an ACTION.
    pub(crate) text: &'a str,
    /// The tags IRC tells.
    pub(crate) tags: &'a Tags,
}

// === impl TwitchIrc ===

impl TwitchIrc {
    /// Tells the rooms of the other side.
    pub(crate) fn attach(&self, other: Arc<dyn Attached>) {
        self.shared.lock().attached = Some(other);
    }

    /// Waits until those who listen on the other side have read most of what they were told.
    pub(super) async fn others_caught_up(&self) {
        let attached = self.shared.lock().attached.clone();
        if let Some(other) = attached {
            other.caught_up().await;
        }
    }

    /// The login of this id, among those that are connected or have a room.
    pub(crate) fn login_with_id(&self, id: &str) -> Option<String> {
        let world = self.shared.lock();
        let clients = world.clients.values().filter_map(|client| client.login.as_deref());
        let rooms = world.rooms.keys().map(String::as_str);
        clients.chain(rooms).find(|login| names::user_id(login).to_string() == id).map(str::to_owned)
    }

    /// Whether this account moderates a channel, or owns it.
    pub(crate) fn is_moderator(&self, channel: &str, login: &str) -> bool {
        let now = self.shared.moment();
        let world = self.shared.lock();
        login == channel
            || world.rooms.get(channel).is_some_and(|room| room.standing(login, channel, now.mono).moderator)
    }
}
