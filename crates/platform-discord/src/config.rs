//! What the Discord connector is made from: values that are read and checked already.

use std::sync::Arc;

use chatbus_event::{Shape, Topic};
use chatbus_http::hyper::Uri;
use secrecy::SecretString;
use twilight_model::gateway::Intents;
use url::{Host, Url};

/// Settings of the Discord connector.
#[derive(Debug, Clone)]
pub struct DiscordConfig {
    /// The bot's token, without `Bot ` before it.
    pub token: SecretString,
    /// The guild that is served.
    pub guild: Arc<str>,
    /// Channels to be in, as [`channel_id`](crate::channel_id) gives them; the first is where a public text
    /// goes that names none.
    pub channels: Vec<Arc<str>>,
    /// REST, with its version.
    pub api: ApiUrl,
    /// The gateway; without one the API tells where it is.
    pub gateway: Option<GatewayUrl>,
    /// What the gateway is asked to tell. Privileged ones that the application does not have are left out.
    pub intents: Intents,
    /// Where answers come in: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
}

/// Where REST is: `https://`, or `http://` and a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl(String);

/// Where a gateway is: `wss://`, or `ws://` and a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUrl(String);

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// For REST.
    #[error("use https://, or http:// and a loopback address, such as http://127.0.0.1:9100")]
    Api,
    /// For the gateway.
    #[error("use wss://, or ws:// and a loopback address, such as ws://127.0.0.1:9100")]
    Gateway,
}

/// The version that is spoken.
const API_PATH: &str = "/api/v10";

/// Intents by the names of the public reference.
pub(crate) const INTENTS: [(&str, Intents); 11] = [
    ("guilds", Intents::GUILDS),
    ("guild_members", Intents::GUILD_MEMBERS),
    ("guild_moderation", Intents::GUILD_MODERATION),
    ("guild_messages", Intents::GUILD_MESSAGES),
    ("guild_message_reactions", Intents::GUILD_MESSAGE_REACTIONS),
    ("direct_messages", Intents::DIRECT_MESSAGES),
    ("direct_message_reactions", Intents::DIRECT_MESSAGE_REACTIONS),
    ("message_content", Intents::MESSAGE_CONTENT),
    ("guild_scheduled_events", Intents::GUILD_SCHEDULED_EVENTS),
    ("guild_invites", Intents::GUILD_INVITES),
    ("guild_message_polls", Intents::GUILD_MESSAGE_POLLS),
];

// === impl ApiUrl ===

impl ApiUrl {
    /// Reads one. A URL without a path gets Discord's.
    ///
    /// # Errors
    /// When it would send the token in the clear over a network, or is no URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let url = checked(text, "https", "http").ok_or(BadUrl::Api)?;
        let path = url.path().trim_end_matches('/');
        let path = if path.is_empty() { API_PATH } else { path };
        Ok(Self(format!("{}{path}", url.origin().ascii_serialization())))
    }

    /// The URL of a path below it, such as `/users/@me`.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

// === impl GatewayUrl ===

impl GatewayUrl {
    /// Reads one.
    ///
    /// # Errors
    /// When it would send the token in the clear over a network, or is no URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let url = checked(text, "wss", "ws").ok_or(BadUrl::Gateway)?;
        let text = url.as_str().trim_end_matches('/').to_owned();
        // The gateway's library gives up the whole program over what this one does not read.
        text.parse::<Uri>().map_err(|_| BadUrl::Gateway)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a session of this gateway may be resumed at that address: the token goes there.
    pub(crate) fn may_lead_to(&self, other: &Self) -> bool {
        let site = |url: &Self| Url::parse(&url.0).ok().and_then(|url| url.host_str().map(site_of));
        let (ours, theirs) = (site(self), site(other));
        ours.is_some() && ours == theirs
    }
}

/// The last two labels of a name, or an address whole: all of Discord's gateways have these in common.
fn site_of(host: &str) -> String {
    if host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[') {
        return host.to_owned();
    }
    let mut labels: Vec<&str> = host.rsplit('.').take(2).collect();
    labels.reverse();
    labels.join(".")
}

fn checked(text: &str, safe: &str, plain: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let is_loopback = match url.host()? {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(_) => false,
    };
    let is_safe = url.scheme() == safe || (url.scheme() == plain && is_loopback);
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (is_safe && is_bare).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_over_no_network_in_the_clear() {
        for (text, api) in [
            ("https://discord.com/api/v10", Some("https://discord.com/api/v10/users/@me")),
            ("http://127.0.0.1:9100", Some("http://127.0.0.1:9100/api/v10/users/@me")),
            ("http://[::1]:1/", Some("http://[::1]:1/api/v10/users/@me")),
            ("http://discord.com", None),
            ("http://localhost:1", None),
            ("https://me:pw@discord.com", None),
            ("ftp://discord.com", None),
            ("discord.com", None),
        ] {
            let url = ApiUrl::parse(text).ok().map(|url| url.at("/users/@me"));
            assert_eq!(url.as_deref(), api, "{text}");
        }
        for (text, good) in [
            ("wss://gateway.discord.gg", true),
            ("ws://127.0.0.1:1", true),
            ("ws://gateway.discord.gg", false),
            ("https://gateway.discord.gg", false),
            ("", false),
        ] {
            assert_eq!(GatewayUrl::parse(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_session_is_resumed_only_where_its_gateway_is() {
        let url = |text: &str| GatewayUrl::parse(text).unwrap();
        let discord = url("wss://gateway.discord.gg");
        assert!(discord.may_lead_to(&url("wss://gateway-us-east1-b.discord.gg")));
        assert!(!discord.may_lead_to(&url("wss://gateway.discord.gg.example.com")));
        assert!(!discord.may_lead_to(&url("ws://127.0.0.1:1")));
        assert!(url("ws://127.0.0.1:1").may_lead_to(&url("ws://127.0.0.1:2")));
    }
}
