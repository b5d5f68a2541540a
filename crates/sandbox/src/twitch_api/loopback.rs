//! Addresses on this machine, the only ones the sandbox ever sends anybody or anything to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::{Host, Url};

/// Whether this is plain HTTP to a loopback address, or to `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    address_of(url).is_some()
}

/// Where a loopback URL leads, without asking a name server.
pub(super) fn address_of(url: &Url) -> Option<SocketAddr> {
    if url.scheme() != "http" {
        return None;
    }
    let ip = match url.host()? {
        Host::Domain("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Domain(_) => return None,
        Host::Ipv4(ip) => ip.into(),
        Host::Ipv6(ip) => ip.into(),
    };
    ip.is_loopback().then(|| SocketAddr::new(ip, url.port().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_plain_http_to_this_machine_is_loopback() {
        for (url, address) in [
            ("http://localhost:1234/a", Some("127.0.0.1:1234")),
            ("http://127.1/", Some("127.0.0.1:80")),
            ("http://[::1]:9/", Some("[::1]:9")),
            ("https://localhost/", None),
            ("http://example.com/", None),
            ("http://localhost.example.com/", None),
            ("http://10.0.0.1/", None),
            ("http://127.0.0.1@example.com/", None),
            ("ftp://localhost/", None),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            assert_eq!(address_of(&Url::parse(url).unwrap()), address, "{url}");
        }
    }
}
