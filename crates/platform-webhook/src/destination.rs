//! Where is posted to.

use std::net::IpAddr;

use chatbus_http::Reach;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

/// An `https` URL, or where private addresses are allowed `http` and a loopback address. Its path and query may
/// be a secret, as those of many services are: only its host is ever shown.
#[derive(Debug, Clone)]
pub struct Destination {
    url: SecretString,
    host: String,
    reach: Reach,
}

/// Why a text is no [`Destination`]. Says nothing of the text but its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// It is something else.
    #[error("is no URL to post to: use https://HOST/PATH, without a user or a fragment in it")]
    Malformed,
    /// What is said would be readable on the way.
    #[error(
        "use https; http is only for a loopback address such as http://127.0.0.1:8000, with WEBHOOK_ALLOW_PRIVATE=true"
    )]
    Plain,
    /// It leads into a network of somebody's own.
    #[error("{0} is a private address: set WEBHOOK_ALLOW_PRIVATE=true if that is meant")]
    Private(String),
}

// === impl Destination ===

impl Destination {
    /// Reads a URL. A host that is a name is judged at each connection, by the address that it has then.
    ///
    /// # Errors
    /// When it must not be posted to.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, InvalidDestination> {
        let url = Url::parse(text.trim()).map_err(|_| InvalidDestination::Malformed)?;
        let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let (Some(host), true) = (url.host(), is_bare) else { return Err(InvalidDestination::Malformed) };
        let address = match &host {
            Host::Ipv4(v4) => Some(IpAddr::V4(*v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(*v6)),
            Host::Domain(_) => None,
        };
        let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if is_loopback && allow_private => {}
            "http" => return Err(InvalidDestination::Plain),
            _ => return Err(InvalidDestination::Malformed),
        }
        let reach = if allow_private { Reach::Anywhere } else { Reach::Public };
        if let Some(address) = address.filter(|address| !reach.allows(*address)) {
            return Err(InvalidDestination::Private(address.to_string()));
        }
        Ok(Self { host: host.to_string(), url: String::from(url).into(), reach })
    }

    /// Scheme and host are the only parts that are shown.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    pub(crate) fn url(&self) -> &str {
        self.url.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, allow_private: bool) -> Result<String, InvalidDestination> {
        Destination::parse(text, allow_private).map(|destination| destination.host().to_owned())
    }

    #[test]
    fn a_public_destination_is_https_and_a_private_one_is_asked_for() {
        use InvalidDestination::{Malformed, Plain, Private};
        let private = |address: &str| Err(Private(address.to_owned()));
        for (text, public, any) in [
            ("https://example.com/hook?key=1", Ok("example.com"), Ok("example.com")),
            (" https://1.1.1.1:8443/ ", Ok("1.1.1.1"), Ok("1.1.1.1")),
            // Judged when it is resolved.
            ("https://localhost/", Ok("localhost"), Ok("localhost")),
            ("https://10.0.0.1/", private("10.0.0.1"), Ok("10.0.0.1")),
            ("https://169.254.169.254/latest/", private("169.254.169.254"), Ok("169.254.169.254")),
            // Other ways to write an address.
            ("https://0x7f.1/", private("127.0.0.1"), Ok("127.0.0.1")),
            ("https://2130706433/", private("127.0.0.1"), Ok("127.0.0.1")),
            ("https://[::ffff:10.0.0.1]/", private("::ffff:10.0.0.1"), Ok("[::ffff:a00:1]")),
            ("http://127.0.0.1:8000/", Err(Plain), Ok("127.0.0.1")),
            ("http://[::1]:8000/", Err(Plain), Ok("[::1]")),
            ("http://localhost:8000/", Err(Plain), Err(Plain)),
            ("http://10.0.0.1/", Err(Plain), Err(Plain)),
            ("http://example.com/", Err(Plain), Err(Plain)),
            ("ftp://example.com/", Err(Malformed), Err(Malformed)),
            ("https://me:pw@example.com/", Err(Malformed), Err(Malformed)),
            ("https://example.com/#a", Err(Malformed), Err(Malformed)),
            ("example.com", Err(Malformed), Err(Malformed)),
            ("", Err(Malformed), Err(Malformed)),
        ] {
            assert_eq!(of(text, false), public.map(str::to_owned), "{text}");
            assert_eq!(of(text, true), any.map(str::to_owned), "{text}, where private ones are allowed");
        }
    }

    #[test]
    fn the_path_is_not_shown() {
        let destination = Destination::parse("https://example.com/hush?key=hush", false).unwrap();
        assert!(!format!("{destination:?}").contains("hush"));
        assert_eq!(destination.url(), "https://example.com/hush?key=hush");
    }
}
