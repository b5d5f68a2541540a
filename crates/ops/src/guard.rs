//! Who may use the admin API and the debug views.
//!
//! Without a configured token they answer the machine itself only: the peer is a loopback address,
//! the Host header names a loopback host (so that a web page that rebinds its name to 127.0.0.1 gets
//! nothing), and no proxy stands in between. With a token, others may come with it.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use chatbus_event::sha256_hex;

/// Decides who may.
#[derive(Clone, Default)]
pub struct AdminGuard {
    /// SHA-256 of CHATBUS_ADMIN_TOKEN: comparing hashes takes the same time whatever is wrong.
    token_hash: Option<String>,
}

// === impl AdminGuard ===

impl AdminGuard {
    /// With CHATBUS_ADMIN_TOKEN, or for the machine itself only.
    pub fn new(token: Option<&str>) -> Self {
        Self { token_hash: token.map(|token| sha256_hex(token.as_bytes())) }
    }

    /// Whether this request may read; `Err` says why not.
    ///
    /// # Errors
    /// A sentence for the 403.
    pub fn may_read(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), &'static str> {
        let bearer = bearer(headers);
        match (&self.token_hash, bearer) {
            (Some(_), Some(_)) if self.is_token(headers) => Ok(()),
            (Some(_), Some(_)) => Err("the admin token is wrong"),
            _ if is_local(peer.ip(), headers) => Ok(()),
            (Some(_), None) => Err("send Authorization: Bearer with CHATBUS_ADMIN_TOKEN"),
            (None, _) => {
                Err("this answers the machine itself only; set CHATBUS_ADMIN_TOKEN to use it from elsewhere")
            }
        }
    }

    /// Whether this request comes with the administrator's token, from wherever.
    pub fn is_token(&self, headers: &HeaderMap) -> bool {
        self.token_hash
            .as_ref()
            .zip(bearer(headers))
            .is_some_and(|(expected, token)| *expected == sha256_hex(token.as_bytes()))
    }

    /// Whether this request may change something: as reading, and it says that it means to, which a
    /// form on another site cannot.
    ///
    /// # Errors
    /// A sentence for the 403.
    pub fn may_write(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), &'static str> {
        self.may_read(peer, headers)?;
        let meant = headers.get("x-chatbus").is_some_and(|v| v == "1");
        if meant || is_own_origin(headers) {
            Ok(())
        } else {
            Err("send the header X-Chatbus: 1 with what changes something")
        }
    }
}

impl std::fmt::Debug for AdminGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AdminGuard {{ token: {} }}", self.token_hash.is_some())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "))
}

fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let proxied = headers.keys().any(|name| name == "forwarded" || name.as_str().starts_with("x-forwarded-"));
    let host =
        headers.get(HOST).and_then(|v| v.to_str().ok()).is_some_and(|host| is_loopback_host(host_name(host)));
    peer.to_canonical().is_loopback() && host && !proxied
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &axum::http::HeaderValue| v.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, origin_host)| origin_host == host)
        }
        _ => false,
    }
}

/// The host without its port.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(name, _)| name);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn is_loopback_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1:5";
    const REMOTE: &str = "192.0.2.1:5";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect::<HeaderMap>()
    }

    #[test]
    fn without_a_token_only_the_machine_itself_may_read() {
        let guard = AdminGuard::new(None);
        for (peer, pairs, may) in [
            (LOCAL, &[("host", "127.0.0.1:8080")][..], true),
            (LOCAL, &[("host", "localhost")], true),
            (LOCAL, &[("host", "LOCALHOST:1")], true),
            ("[::1]:5", &[("host", "[::1]:8080")], true),
            ("[::ffff:127.0.0.1]:5", &[("host", "localhost")], true),
            (LOCAL, &[("host", "evil.example")], false),
            (LOCAL, &[("host", "127.0.0.1.evil.example")], false),
            (LOCAL, &[], false),
            (LOCAL, &[("host", "localhost"), ("x-forwarded-for", "192.0.2.7")], false),
            (LOCAL, &[("host", "localhost"), ("forwarded", "for=192.0.2.7")], false),
            (REMOTE, &[("host", "localhost")], false),
            (REMOTE, &[("host", "localhost"), ("authorization", "Bearer x")], false),
        ] {
            assert_eq!(
                guard.may_read(peer.parse().unwrap(), &headers(pairs)).is_ok(),
                may,
                "{peer} {pairs:?}"
            );
        }
    }

    #[test]
    fn with_a_token_others_may_read_who_have_it() {
        let guard = AdminGuard::new(Some("t"));
        let ask = |peer: &str, pairs: &[(&'static str, &str)]| {
            guard.may_read(peer.parse().unwrap(), &headers(pairs)).is_ok()
        };
        assert!(ask(REMOTE, &[("host", "bus.example"), ("authorization", "Bearer t")]));
        assert!(!ask(REMOTE, &[("host", "bus.example"), ("authorization", "Bearer u")]));
        assert!(!ask(REMOTE, &[("host", "bus.example")]));
        assert!(!ask(LOCAL, &[("host", "localhost"), ("authorization", "Bearer u")]));
        assert!(ask(LOCAL, &[("host", "localhost")]));
        let is_token = |pairs: &[(&'static str, &str)]| guard.is_token(&headers(pairs));
        assert!(is_token(&[("authorization", "Bearer t")]));
        assert!(!is_token(&[("authorization", "Bearer u")]) && !is_token(&[("host", "localhost")]));
        assert!(!AdminGuard::new(None).is_token(&headers(&[("authorization", "Bearer t")])));
    }

    #[test]
    fn what_changes_something_must_say_that_it_means_to() {
        let guard = AdminGuard::new(None);
        let ask =
            |pairs: &[(&'static str, &str)]| guard.may_write(LOCAL.parse().unwrap(), &headers(pairs)).is_ok();
        assert!(ask(&[("host", "localhost:1"), ("x-chatbus", "1")]));
        assert!(ask(&[("host", "localhost:1"), ("origin", "http://localhost:1")]));
        assert!(!ask(&[("host", "localhost:1"), ("origin", "http://localhost:2")]));
        assert!(!ask(&[("host", "localhost:1")]));
        assert!(!ask(&[("host", "evil.example"), ("x-chatbus", "1")]));
    }
}
