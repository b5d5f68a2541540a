//! Where a server is, and how it is spoken to.

use std::fmt;
use std::io;

use rustls_pki_types::ServerName;
use url::Url;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `irc://`: lines over TCP.
    Irc,
    /// `ircs://`: lines over TLS.
    Ircs,
    /// `ws://`: lines in WebSocket messages.
    Ws,
    /// `wss://`: the same over TLS.
    Wss,
}

/// A server's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    url: String,
}

/// Why a text is no [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IRC address: it is irc://, ircs://, ws:// or wss:// with a host, and no password")]
pub struct InvalidEndpoint(pub String);

/// Twitch's own server.
const TWITCH: &str = "ircs://irc.chat.twitch.tv:6697";

// === impl Scheme ===

impl Scheme {
    /// Whether TLS is spoken.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Ircs | Self::Wss)
    }

    /// Whether WebSocket is spoken.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The port where none is named: Twitch's for IRC, the web's for WebSocket.
    fn default_port(self) -> u16 {
        match self {
            Self::Irc => 6667,
            Self::Ircs => 6697,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// When the scheme is another, the host is missing, or there is a user or password in it.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint(text.to_owned());
        let url = Url::parse(text.trim()).map_err(|_| invalid())?;
        let scheme = match url.scheme() {
            "irc" => Scheme::Irc,
            "ircs" => Scheme::Ircs,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            _ => return Err(invalid()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidEndpoint(format!("{}://…", url.scheme())));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        // IPv6 addresses stand in brackets in a URL and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port().unwrap_or(scheme.default_port());
        Ok(Self { scheme, host, port, url: url.to_string() })
    }

    /// Twitch's own server.
    pub fn twitch() -> Self {
        let host = "irc.chat.twitch.tv".to_owned();
        Self { scheme: Scheme::Ircs, host, port: 6697, url: TWITCH.to_owned() }
    }

    /// Whether this is a server of Twitch itself, whose limits always hold.
    pub fn is_twitch(&self) -> bool {
        let host = self.host.trim_end_matches('.').to_ascii_lowercase();
        ["twitch.tv", "twitch.com"].iter().any(|domain| {
            host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    pub(super) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(super) fn server_name(&self) -> io::Result<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).map_err(io::Error::other)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        for (text, host, port) in [
            ("irc://127.0.0.1:1234", "127.0.0.1", 1234),
            ("irc://localhost", "localhost", 6667),
            ("ircs://irc.chat.twitch.tv", "irc.chat.twitch.tv", 6697),
            ("ws://[::1]:80/x", "::1", 80),
            ("wss://irc-ws.chat.twitch.tv", "irc-ws.chat.twitch.tv", 443),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().address(), (host, port), "{text}");
        }
        for bad in ["", "127.0.0.1:6667", "http://a", "irc://", "irc://user:secret@a"] {
            let error = Endpoint::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_servers_of_twitch_are_known_by_their_domain() {
        assert_eq!(Endpoint::parse(TWITCH).unwrap().address(), Endpoint::twitch().address());
        for (text, is_twitch) in [
            ("ircs://irc.chat.twitch.tv", true),
            ("wss://IRC-WS.chat.twitch.tv.", true),
            ("irc://127.0.0.1", false),
            ("irc://nottwitch.tv", false),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_twitch(), is_twitch, "{text}");
        }
    }
}
