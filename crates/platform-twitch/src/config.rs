//! What the Twitch connector is made from: values that are read and checked already.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{Account, Credential};
use chatbus_event::{Shape, Topic};

use crate::irc::transport::Endpoint;

/// Settings of the Twitch connector.
#[derive(Debug, Clone)]
pub struct TwitchConfig {
    /// The IRC server.
    pub endpoint: Endpoint,
    /// Channels to be in, as [`channel_name`](crate::channel_name) gives them; the first is where a
    /// public text goes that names none.
    pub channels: Vec<Arc<str>>,
    /// The bot's account; while it has no token the connector only reads.
    pub account: Account,
    /// Whether an application is configured whose account has no token yet: chat is read anonymously,
    /// and the account shows as `needs_reauth`.
    pub awaits_login: bool,
    /// Whether messages are paced by Twitch's limits. `false` only against another server than
    /// Twitch's own, where it has no effect.
    pub message_limit: bool,
    /// Whether Twitch has verified the account as a bot, which may then join 2,000 channels in ten
    /// seconds and not 20.
    pub is_verified: bool,
    /// The first wait before a reconnect.
    pub reconnect_initial: Duration,
    /// The longest one.
    pub reconnect_max: Duration,
    /// Where answers come in: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
}

// === impl TwitchConfig ===

impl TwitchConfig {
    /// Twitch itself, read anonymously, with the defaults of every setting.
    pub fn anonymous(channels: Vec<Arc<str>>, egress: Topic) -> Self {
        Self {
            endpoint: Endpoint::twitch(),
            channels,
            account: Account::fixed(Credential::default()),
            awaits_login: false,
            message_limit: true,
            is_verified: false,
            reconnect_initial: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(30),
            egress,
            shape: Shape::Flat,
        }
    }

    /// Whether messages are paced: always on Twitch's own servers.
    pub(crate) fn is_paced(&self) -> bool {
        self.message_limit || self.endpoint.is_twitch()
    }
}
