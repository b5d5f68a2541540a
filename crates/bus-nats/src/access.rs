//! Where the servers are and how to get in, checked once at the start: a setting that cannot work is
//! an error before anything runs, and what is secret is in a type that does not print.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chatbus_bus::{BusError, BusErrorKind};
use nkeys::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::config::{NatsConfig, ServerUrl};

const DEFAULT_PORT: u16 = 4222;

/// Everything that dialling needs.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) tls: Arc<ClientConfig>,
    /// Whether every connection must be TLS, whatever its URL says.
    pub(crate) tls_required: bool,
    creds: Option<Creds>,
}

/// One server.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    user: Option<SecretString>,
    password: Option<SecretString>,
}

/// A user's token, and the key that proves it.
struct Creds {
    jwt: SecretString,
    key: KeyPair,
}

/// The fields of CONNECT that say who we are. Serialised into the socket and nowhere else.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) user: Option<SecretString>,
    pub(crate) password: Option<SecretString>,
    pub(crate) token: Option<SecretString>,
    pub(crate) jwt: Option<SecretString>,
    pub(crate) signature: Option<SecretString>,
}

// === impl Access ===

impl Access {
    /// # Errors
    /// `Misconfigured`, naming the setting, when a URL or a file cannot be used.
    pub(crate) fn new(config: &NatsConfig) -> Result<Self, BusError> {
        if config.urls.is_empty() {
            return Err(bad("NATS_URL names no server"));
        }
        let endpoints = config.urls.iter().map(Endpoint::parse).collect::<Result<_, _>>()?;
        let creds = config.creds_file.as_deref().map(Creds::read).transpose()?;
        Ok(Self { endpoints, tls: tls(config)?, tls_required: config.ca_file.is_some(), creds })
    }

    /// Who we are, for a server that gave this nonce. User information in the URL wins over the
    /// credentials file.
    pub(crate) fn identity(&self, endpoint: &Endpoint, nonce: &str) -> Result<Identity, BusError> {
        let mut identity = Identity::default();
        match (&endpoint.user, &endpoint.password, &self.creds) {
            (Some(user), Some(password), _) => {
                identity.user = Some(user.clone());
                identity.password = Some(password.clone());
            }
            (Some(token), None, _) => identity.token = Some(token.clone()),
            (None, _, Some(creds)) => {
                let signature = creds
                    .key
                    .sign(nonce.as_bytes())
                    .map_err(|e| bad("the seed in NATS_CREDS cannot sign").caused_by(e.to_string()))?;
                identity.jwt = Some(creds.jwt.clone());
                identity.signature = Some(URL_SAFE_NO_PAD.encode(signature).into());
            }
            (None, _, None) => {}
        }
        Ok(identity)
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn parse(given: &ServerUrl) -> Result<Self, BusError> {
        let refuse = |why: &str| bad(format!("NATS_URL {given:?} {why}"));
        let text = given.reveal();
        let full = if text.contains("://") { text.to_owned() } else { format!("nats://{text}") };
        let url = Url::parse(&full).map_err(|_| refuse("is not a URL"))?;
        let tls = match url.scheme() {
            "nats" => false,
            "tls" => true,
            _ => return Err(refuse("must begin with nats:// or tls://")),
        };
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| refuse("names no host"))?;
        let secret = |text: &str| SecretString::from(percent_decoded(text));
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            tls,
            user: (!url.username().is_empty()).then(|| secret(url.username())),
            password: url.password().map(secret),
        })
    }

    /// A server that the cluster told us about, at which the same user information holds.
    pub(crate) fn discovered(&self, address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: port.parse().ok()?, ..self.clone() })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

// === impl Creds ===

impl Creds {
    fn read(path: &Path) -> Result<Self, BusError> {
        let refuse = |why: String| bad(format!("NATS_CREDS {} {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|e| refuse(format!("cannot be read: {e}")))?;
        let jwt = section(&text, "USER JWT").ok_or_else(|| refuse("holds no user JWT".into()))?;
        let seed = section(&text, "USER NKEY SEED").ok_or_else(|| refuse("holds no seed".into()))?;
        // The library's error may hold the seed.
        let key = KeyPair::from_seed(seed).map_err(|_| refuse("holds a seed that is none".into()))?;
        Ok(Self { jwt: jwt.to_owned().into(), key })
    }
}

impl std::fmt::Debug for Creds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Creds")
    }
}

/// The line after `---BEGIN NATS {name}---` or `---BEGIN {name}---`.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(name))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
}

fn tls(config: &NatsConfig) -> Result<Arc<ClientConfig>, BusError> {
    let mut roots = RootCertStore::empty();
    match &config.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates("NATS_CA_FILE", path)? {
                roots.add(certificate).map_err(|e| unusable("NATS_CA_FILE", path).caused_by(e))?;
            }
        }
    }
    // The provider is named, so that no other crate in the process has to install one first.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad("TLS cannot be used").caused_by(e))?
        .with_root_certificates(roots);
    let client = match (&config.cert_file, &config.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates("NATS_CERT_FILE", cert)?;
            let key_der =
                PrivateKeyDer::from_pem_file(key).map_err(|e| unusable("NATS_KEY_FILE", key).caused_by(e))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|e| unusable("NATS_CERT_FILE", cert).caused_by(e))?
        }
        (Some(_), None) => return Err(bad("NATS_CERT_FILE needs NATS_KEY_FILE")),
        (None, Some(_)) => return Err(bad("NATS_KEY_FILE needs NATS_CERT_FILE")),
    };
    Ok(Arc::new(client))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BusError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| unusable(setting, path).caused_by(e))?;
    if found.is_empty() { Err(unusable(setting, path).caused_by("no certificate in it")) } else { Ok(found) }
}

fn unusable(setting: &str, path: &Path) -> BusError {
    bad(format!("{setting} {} cannot be used", path.display()))
}

fn bad(what: impl Into<String>) -> BusError {
    BusError::new(BusErrorKind::Misconfigured, what)
}

/// User information of a URL is percent-encoded by those who write it.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%').then(|| tail.get(..2)).flatten();
        match code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

// === impl Identity ===

impl Identity {
    /// Adds what there is to the members of CONNECT.
    pub(crate) fn add_to(&self, connect: &mut serde_json::Map<String, serde_json::Value>) {
        let fields = [
            ("user", &self.user),
            ("pass", &self.password),
            ("auth_token", &self.token),
            ("jwt", &self.jwt),
            ("sig", &self.signature),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                connect.insert(name.into(), value.expose_secret().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let access =
            Access::new(&NatsConfig::default().with_urls("b:1,tls://u:p%40ss@[::1],nats://t0ken@c")).unwrap();
        let [a, b, c] = &access.endpoints[..] else { panic!("three servers") };
        assert_eq!((a.to_string().as_str(), a.tls), ("b:1", false));
        assert_eq!((b.host.as_str(), b.port, b.tls), ("::1", 4222, true));
        let who = access.identity(b, "").unwrap();
        assert_eq!(who.password.as_ref().map(|p| p.expose_secret()), Some("p@ss"));
        let who = access.identity(c, "").unwrap();
        assert_eq!(
            (who.user.is_none(), who.token.as_ref().map(|p| p.expose_secret())),
            (true, Some("t0ken"))
        );
        assert!(!format!("{access:?}").contains("p@ss") && !format!("{access:?}").contains("t0ken"));
    }

    #[test]
    fn every_setting_that_cannot_work_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Some(file.path().to_owned());
        let missing = Some("/does/not/exist".into());
        let base = NatsConfig::default;
        for (config, setting) in [
            (base().with_urls(""), "NATS_URL"),
            (base().with_urls("http://x"), "NATS_URL"),
            (base().with_urls("nats://u:hush@"), "NATS_URL"),
            (NatsConfig { creds_file: missing.clone(), ..base() }, "NATS_CREDS"),
            (NatsConfig { creds_file: path.clone(), ..base() }, "NATS_CREDS"),
            (NatsConfig { ca_file: missing, ..base() }, "NATS_CA_FILE"),
            (NatsConfig { ca_file: path.clone(), ..base() }, "NATS_CA_FILE"),
            (NatsConfig { cert_file: path.clone(), ..base() }, "NATS_CERT_FILE"),
            (NatsConfig { key_file: path, ..base() }, "NATS_KEY_FILE"),
        ] {
            let error = Access::new(&config).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), BusErrorKind::Misconfigured);
            assert!(error.to_string().contains(setting), "{error} does not name {setting}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
