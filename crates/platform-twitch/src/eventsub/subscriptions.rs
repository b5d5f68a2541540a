//! What is to be subscribed to, and how what is there becomes that.
//!
//! [`wanted`] and [`plan`] are pure; [`reconcile`] asks Twitch through [`Api`]. Nothing is remembered about
//! what exists: Twitch is asked each time, so that what another process, a crash or a lost answer left behind is
//! found.

mod api;
mod plan;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::types::{About, CHAT_MESSAGE, EventType, TABLE};
pub(crate) use api::HelixApi;
pub use plan::{Plan, plan};
pub use run::{Outcome, Told, reconcile};

/// A channel whose owner is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// As [`channel_name`](crate::channel_name) gives it.
    pub name: Arc<str>,
    /// The id of its owner.
    pub id: Arc<str>,
}

/// Something to subscribe to.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its type.
    pub row: &'static EventType,
    /// Where.
    pub channel: Channel,
    /// As whom.
    pub user_id: Arc<str>,
}

/// What the tokens allow.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// The bot's id.
    pub user_id: String,
    /// The bot's scopes; none when they are not known.
    pub scopes: Vec<String>,
    /// The id and the scopes of a channel's owner who logged in, where subscriptions are made with the
    /// application's token; with a user's token they only see what that user may.
    pub owner: Option<(String, Vec<String>)>,
}

/// By which way notifications come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// The WebSocket session of this id.
    Session(Arc<str>),
    /// The conduit of this id.
    Conduit(Arc<str>),
    /// Requests to this address.
    Webhook(Arc<str>),
}

/// A subscription that Twitch has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Its id.
    pub id: String,
    /// `enabled`, or why it is not.
    pub status: String,
    /// Its type.
    pub kind: String,
    /// The type's version.
    pub version: String,
    /// What it is about: the members that are not empty, sorted.
    pub condition: Vec<(String, String)>,
    /// `websocket`, `webhook` or `conduit`.
    pub method: String,
    /// The session's id, the address or the conduit's id.
    pub goal: String,
}

/// One page of them.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The subscriptions.
    pub rows: Vec<Existing>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A person has to log in.
    Reauth(String),
    /// The token lacks a scope, or its user the right.
    MissingScope(String),
    /// There is one already.
    Conflict,
    /// It may be asked again after this.
    Limited(Duration),
    /// It would cost more than the application may have.
    TooCostly,
    /// It is not there.
    Missing,
    /// Any other refusal: it stays one.
    Refused(String),
    /// No answer, or none that says anything.
    Unavailable(String),
}

/// Twitch's subscriptions.
#[async_trait]
pub trait Api: Send + Sync {
    /// The subscriptions that there are, from this page on.
    ///
    /// # Errors
    /// When Twitch does not say.
    async fn list(&self, after: Option<&str>) -> Result<Page, Refusal>;

    /// Makes one.
    ///
    /// # Errors
    /// When it is not made.
    async fn create(&self, wanted: &Wanted, transport: &Transport) -> Result<(), Refusal>;

    /// Removes one.
    ///
    /// # Errors
    /// When it is not removed.
    async fn delete(&self, id: &str) -> Result<(), Refusal>;
}

// === impl Wanted ===

impl Wanted {
    /// The condition's members, sorted.
    pub fn condition(&self) -> Vec<(&'static str, &str)> {
        let channel = ("broadcaster_user_id", &*self.channel.id);
        match self.row.about {
            About::Channel => vec![channel],
            About::ChannelAsModerator => vec![channel, ("moderator_user_id", &*self.user_id)],
            About::ChannelAsUser => vec![channel, ("user_id", &*self.user_id)],
            About::RaidedChannel => vec![("to_broadcaster_user_id", &*self.channel.id)],
            About::Other => Vec::new(),
        }
    }

    /// Whether the channel is read by it.
    pub fn is_chat(&self) -> bool {
        self.row.name == CHAT_MESSAGE
    }
}

// === impl Transport ===

impl Transport {
    /// Twitch's name of it, and where it ends.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Session(id) => ("websocket", id),
            Self::Conduit(id) => ("conduit", id),
            Self::Webhook(address) => ("webhook", address),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reauth(_) => "needs_reauth",
            Self::MissingScope(_) => "missing_scope",
            Self::Conflict => "conflict",
            Self::Limited(_) => "rate_limited",
            Self::TooCostly => "max_total_cost",
            Self::Missing => "not_found",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// What is to be subscribed to in these channels, what matters most first, and the scopes that are known to be
/// missing for what everyone is expected to see.
pub fn wanted(channels: &[Channel], grants: &Grants) -> (Vec<Wanted>, BTreeSet<&'static str>) {
    let user_id: Arc<str> = grants.user_id.as_str().into();
    let mut missing = BTreeSet::new();
    let mut wanted = Vec::new();
    for row in TABLE {
        for channel in channels {
            match grants.allow(row, channel) {
                Allowed::Yes => {
                    wanted.push(Wanted { row, channel: channel.clone(), user_id: Arc::clone(&user_id) });
                }
                Allowed::No if row.is_basic => missing.extend(row.scopes.first()),
                Allowed::No => {}
            }
        }
    }
    (wanted, missing)
}

enum Allowed {
    Yes,
    No,
}

// === impl Grants ===

impl Grants {
    fn allow(&self, row: &EventType, channel: &Channel) -> Allowed {
        let has = |scopes: &[String]| row.scopes.iter().any(|needed| scopes.iter().any(|s| s == needed));
        let bot = || has(&self.scopes) || (row.is_basic && self.scopes.is_empty());
        let is_allowed = match row.about {
            About::Other => false,
            _ if row.scopes.is_empty() => row.is_basic,
            About::ChannelAsUser | About::ChannelAsModerator => bot(),
            About::Channel | About::RaidedChannel => {
                let owner = self.owner.as_ref().filter(|(id, _)| *id == *channel.id);
                (self.user_id == *channel.id && has(&self.scopes))
                    || owner.is_some_and(|(_, scopes)| has(scopes))
            }
        };
        if is_allowed { Allowed::Yes } else { Allowed::No }
    }
}

#[cfg(test)]
mod tests;
