//! Settings of how the world reaches this process, and of the secrets it keeps for others.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};
use ipnet::IpNet;
use url::Url;

pub(super) const SPECS: &[SettingSpec] = &[
    SettingSpec::new(
        "PUBLIC_URL",
        Kind::Urls(&["https", "http"]),
        "Under which address the world reaches this process, such as `https://bot.example`: platforms call it, and \
         browsers come back to it after a login.",
    ),
    SettingSpec::new(
        "TRUSTED_PROXIES",
        Kind::List,
        "Addresses or networks of proxies, such as `10.0.0.0/8`, whose Forwarded and X-Forwarded-* headers count.",
    ),
    SettingSpec::new(
        "CHATBUS_SECRET_KEY",
        Kind::Secret,
        "32 bytes in base64: encrypts stored tokens. Made in DATA_DIR for an SQLite store there; else required where \
         accounts log in.",
    ),
    SettingSpec::new(
        "CHATBUS_SECRET_KEY_PREVIOUS",
        Kind::Secret,
        "The key before it, which still decrypts; what it opens is encrypted anew.",
    ),
    SettingSpec::new(
        "OAUTH_STATE_SECRET",
        Kind::Secret,
        "At least 16 characters: signs what a browser brings back from a login. Without it accounts log in with \
         `chatbus oauth login` only.",
    ),
];

/// The same, typed.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) public_url: Option<String>,
    pub(crate) origins: Origins,
}

/// By which address the world calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    public: Option<String>,
    trusted: Vec<IpNet>,
}

// === impl Access ===

impl Access {
    /// Reads checked values.
    pub(super) fn read(values: &Values, problems: &mut Vec<Problem>) -> Self {
        let public_url = values.text("PUBLIC_URL").map(|url| url.trim().trim_end_matches('/').to_owned());
        let mut public = None;
        if let Some(url) = &public_url {
            match Url::parse(url).map(|url| url.origin()) {
                Ok(origin) if origin.is_tuple() && !url.contains(['?', '#', '@', ',', ' ']) => {
                    public = Some(origin.ascii_serialization());
                }
                _ => problems.push(Problem::new(
                    "PUBLIC_URL",
                    "is one http:// or https:// address without user, query or fragment",
                )),
            }
        }
        let mut trusted = Vec::new();
        for text in values.list("TRUSTED_PROXIES") {
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            match network {
                Some(network) => trusted.push(network),
                None => problems.push(Problem::new(
                    "TRUSTED_PROXIES",
                    format!("{text:?} is neither an IP address nor a network such as 10.0.0.0/8"),
                )),
            }
        }
        Self { public_url, origins: Origins { public, trusted } }
    }
}

// === impl Origins ===

impl Origins {
    /// Scheme and authority by which this request was made: what is configured, else what a trusted proxy says,
    /// else the Host header over plain HTTP.
    pub(crate) fn of(&self, peer: IpAddr, headers: &HeaderMap) -> String {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let first =
            |name: &str| text(name)?.split(',').next().map(str::trim).filter(|value| !value.is_empty());
        let host = text(header::HOST.as_str()).unwrap_or_default();
        let peer = peer.to_canonical();
        if !self.trusted.iter().any(|network| network.contains(&peer)) {
            return format!("http://{host}");
        }
        let forwarded = first("forwarded").unwrap_or_default();
        let part = |name: &str| {
            forwarded.split(';').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
            })
        };
        let scheme = part("proto").or_else(|| first("x-forwarded-proto")).unwrap_or("http");
        let scheme = if scheme.eq_ignore_ascii_case("https") { "https" } else { "http" };
        let host = part("host").or_else(|| first("x-forwarded-host")).unwrap_or(host);
        format!("{scheme}://{host}")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn origin(origins: &Origins, peer: &str, headers: &[(&str, &str)]) -> String {
        let pairs = headers.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        });
        origins.of(peer.parse().unwrap(), &pairs.collect())
    }

    #[test]
    fn what_is_said_to_be_forwarded_counts_from_a_trusted_proxy_only() {
        let origins = Origins { public: None, trusted: vec!["10.0.0.0/8".parse().unwrap()] };
        let told = [
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "bot.example"),
        ];
        assert_eq!(origin(&origins, "10.1.2.3", &told), "https://bot.example");
        assert_eq!(origin(&origins, "::ffff:10.1.2.3", &told), "https://bot.example");
        assert_eq!(origin(&origins, "11.1.2.3", &told), "http://127.0.0.1:8080");
        let standard = [("host", "inner"), ("forwarded", "for=1.2.3.4;proto=https;host=\"bot.example:444\"")];
        assert_eq!(origin(&origins, "10.0.0.1", &standard), "https://bot.example:444");
        let odd = [("host", "inner"), ("x-forwarded-proto", "javascript")];
        assert_eq!(origin(&origins, "10.0.0.1", &odd), "http://inner");
    }

    #[test]
    fn what_is_configured_counts_more_than_what_anybody_says() {
        let origins = Origins { public: Some("https://bot.example".to_owned()), trusted: Vec::new() };
        assert_eq!(origin(&origins, "9.9.9.9", &[("host", "evil.example")]), "https://bot.example");
    }
}
