//! What the Twitch connector is made from: values that are read and checked already.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{Account, Credential};
use chatbus_event::{Shape, Topic};
use secrecy::SecretString;
use url::Url;

use crate::irc::transport::Endpoint;

/// Settings of the Twitch connector.
#[derive(Debug, Clone)]
pub struct TwitchConfig {
    /// The IRC server.
    pub endpoint: Endpoint,
    /// Channels to be in, as [`channel_name`](crate::channel_name) gives them; the first is where a
    /// public text goes that names none.
    pub channels: Vec<Arc<str>>,
    /// The bot's account, whose token may change or come later; while it has none the connector only reads.
    pub bot: Account,
    /// The account of the channel's owner, for what only that one may see.
    pub broadcaster: Account,
    /// Whether an application is configured whose account has no token yet: chat is read anonymously,
    /// and the account shows as `needs_reauth`.
    pub awaits_login: bool,
    /// By which interface chat is read.
    pub read: Read,
    /// By which interface something is said.
    pub send: SendBy,
    /// Where Helix is, and as which application it is asked; without an application it is not.
    pub api: Option<ApiConfig>,
    /// Where EventSub's WebSockets are.
    pub eventsub_url: Url,
    /// How EventSub's notifications come.
    pub eventsub_transport: EventSubTransport,
    /// Signs the notifications that come as webhooks: 10 to 100 ASCII characters.
    pub eventsub_secret: Option<SecretString>,
    /// Under which address the world reaches this process's HTTP paths, without a slash at its end.
    pub public_url: Option<Arc<str>>,
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

/// By which interface chat is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Read {
    /// IRC.
    #[default]
    Irc,
    /// EventSub.
    EventSub,
    /// Both at once; what both bring is one event.
    Both,
}

/// By which interface something is said in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendBy {
    /// Helix where the token may, and IRC and Helix are of one Twitch; IRC otherwise, and where nothing can
    /// have been said by Helix.
    #[default]
    Auto,
    /// IRC.
    Irc,
    /// Helix.
    Helix,
}

/// How EventSub's notifications come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventSubTransport {
    /// Over WebSockets that we open.
    #[default]
    WebSocket,
    /// As HTTP requests to us.
    Webhook,
    /// Over the shards of a conduit.
    Conduit,
}

/// Twitch's HTTP interfaces, and the application that asks them.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Where Helix is.
    pub api_url: Url,
    /// Where tokens are had and validated.
    pub auth_url: Url,
    /// The application's id.
    pub client_id: String,
    /// The application's secret, for tokens of its own.
    pub client_secret: Option<SecretString>,
}

/// Where Helix is.
pub(crate) const API_URL: &str = "https://api.twitch.tv/helix";
/// Where tokens are had and validated.
pub(crate) const AUTH_URL: &str = "https://id.twitch.tv/oauth2";
/// Where EventSub's WebSockets are.
pub(crate) const EVENTSUB_URL: &str = "wss://eventsub.wss.twitch.tv/ws";

// === impl TwitchConfig ===

impl TwitchConfig {
    /// Twitch itself, read anonymously, with the defaults of every setting.
    pub fn anonymous(channels: Vec<Arc<str>>, egress: Topic) -> Self {
        let nobody = Account::fixed(Credential::default());
        Self {
            endpoint: Endpoint::twitch(),
            channels,
            bot: nobody.clone(),
            broadcaster: nobody,
            awaits_login: false,
            read: Read::Irc,
            send: SendBy::Auto,
            api: None,
            eventsub_url: constant(EVENTSUB_URL),
            eventsub_transport: EventSubTransport::WebSocket,
            eventsub_secret: None,
            public_url: None,
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

    /// Whether channel messages may go out by Helix, if the token allows it: what is meant for another
    /// Twitch than the one that is read must not go to the real one.
    pub(crate) fn may_chat_by_helix(&self) -> bool {
        let Some(api) = &self.api else { return false };
        match self.send {
            SendBy::Irc => false,
            SendBy::Helix => true,
            SendBy::Auto => api.is_twitch() == self.endpoint.is_twitch(),
        }
    }
}

// === impl ApiConfig ===

impl ApiConfig {
    /// Twitch's own addresses.
    pub fn twitch(client_id: String, client_secret: Option<SecretString>) -> Self {
        Self { api_url: constant(API_URL), auth_url: constant(AUTH_URL), client_id, client_secret }
    }

    /// Whether Helix is Twitch's own.
    pub fn is_twitch(&self) -> bool {
        is_twitch(&self.api_url)
    }

    /// Whether tokens are validated where Helix takes them: one of another Twitch is no business of the
    /// real one.
    pub(crate) fn is_of_one_twitch(&self) -> bool {
        self.is_twitch() == is_twitch(&self.auth_url)
    }
}

/// Whether an address is Twitch's own.
fn is_twitch(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host.strip_suffix("twitch.tv").is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// One of the addresses above, which are URLs as the test below shows.
fn constant(url: &'static str) -> Url {
    Url::parse(url).expect("a constant that is a URL")
}

#[cfg(test)]
mod tests {
    use chatbus_event::InstanceId;

    use super::*;

    #[test]
    fn the_real_addresses_are_twitchs_and_others_are_not() {
        let egress = Topic::egress_of(&InstanceId::parse("i-1").unwrap());
        assert!(is_twitch(&TwitchConfig::anonymous(Vec::new(), egress).eventsub_url));
        let api = ApiConfig::twitch("id".to_owned(), None);
        assert!(api.is_twitch() && is_twitch(&api.auth_url) && api.is_of_one_twitch());
        for other in ["http://127.0.0.1:1/helix", "https://nottwitch.tv", "https://api.twitch.tv.example.com"]
        {
            let other = ApiConfig { api_url: Url::parse(other).unwrap(), ..api.clone() };
            assert!(!other.is_twitch() && !other.is_of_one_twitch(), "{}", other.api_url);
        }
    }

    #[test]
    fn helix_and_irc_are_used_together_only_on_one_twitch() {
        let egress = Topic::egress_of(&InstanceId::parse("i-1").unwrap());
        let real = ApiConfig::twitch("id".to_owned(), None);
        let other = ApiConfig { api_url: Url::parse("http://127.0.0.1:1/helix").unwrap(), ..real.clone() };
        let (twitch, elsewhere) = (Endpoint::twitch(), Endpoint::parse("irc://127.0.0.1:1").unwrap());
        for (send, api, endpoint, expected) in [
            (SendBy::Auto, None, &twitch, false),
            (SendBy::Auto, Some(&real), &twitch, true),
            (SendBy::Auto, Some(&real), &elsewhere, false),
            (SendBy::Auto, Some(&other), &twitch, false),
            (SendBy::Auto, Some(&other), &elsewhere, true),
            (SendBy::Helix, Some(&other), &twitch, true),
            (SendBy::Helix, None, &twitch, false),
            (SendBy::Irc, Some(&real), &twitch, false),
        ] {
            let config = TwitchConfig {
                send,
                api: api.cloned(),
                endpoint: endpoint.clone(),
                ..TwitchConfig::anonymous(Vec::new(), egress.clone())
            };
            assert_eq!(config.may_chat_by_helix(), expected, "{send:?} {api:?} {endpoint:?}");
        }
    }
}
