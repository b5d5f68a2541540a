//! The settings of a test's nats-server, and the file they become.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::NatsServer;

/// What a test may want of its server; the default is JetStream on loopback and nothing else.
#[derive(Debug, Clone, Default)]
pub struct NatsConfig {
    /// Sync each write before it is acknowledged (`sync_interval: always`). The server's own
    /// default is a sync every two minutes, which a kill of the process survives and a power cut
    /// does not.
    pub sync_always: bool,
    /// TLS for clients; without it the connection is plain.
    pub tls: Option<NatsTls>,
    /// A user and password without which nobody gets in.
    pub user: Option<(String, String)>,
    /// A token without which nobody gets in.
    pub token: Option<String>,
    /// The largest message in bytes; the server's default is 1 MiB.
    pub max_payload: Option<u64>,
    /// The most bytes that JetStream may keep on disk; the server's default depends on the disk.
    pub max_file_store: Option<u64>,
    /// Further lines for the settings file, as nats-server reads them: operators, resolvers, limits.
    pub extra: String,
}

/// Files for TLS, in PEM.
#[derive(Debug, Clone)]
pub struct NatsTls {
    /// The server's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// With it, clients must show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// Where one server listens and keeps its streams.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) client: u16,
    pub(super) monitor: u16,
    pub(super) store: &'a Path,
    /// Its own port for routes, and the routes to all members.
    pub(super) cluster: Option<(u16, &'a [String])>,
}

// === impl NatsConfig ===

impl NatsConfig {
    /// Starts a server with these settings and waits until it serves clients.
    pub async fn start(&self) -> NatsServer {
        let server = self.prepare();
        server.restart().await;
        server
    }

    /// A server that has its port and store but does not run yet: `restart` starts it. For tests
    /// of clients that are there before their server.
    pub fn prepare(&self) -> NatsServer {
        NatsServer::prepare(self)
    }

    pub(super) fn render(&self, place: &Place<'_>) -> String {
        let mut lines = vec![
            format!("server_name: {}", quoted(place.name)),
            format!("listen: \"127.0.0.1:{}\"", place.client),
            format!("http: \"127.0.0.1:{}\"", place.monitor),
            self.jetstream(place.store),
        ];
        if let Some(max) = self.max_payload {
            lines.push(format!("max_payload: {max}"));
        }
        if let Some(tls) = &self.tls {
            lines.push(tls.render());
        }
        if let Some((user, password)) = &self.user {
            lines.push(format!("authorization {{ user: {}, password: {} }}", quoted(user), quoted(password)));
        }
        if let Some(token) = &self.token {
            lines.push(format!("authorization {{ token: {} }}", quoted(token)));
        }
        if let Some((port, routes)) = place.cluster {
            let routes: Vec<String> = routes.iter().map(|route| quoted(route)).collect();
            lines.push(format!(
                "cluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: [{}] }}",
                routes.join(", ")
            ));
        }
        lines.push(self.extra.clone());
        lines.join("\n") + "\n"
    }

    fn jetstream(&self, store: &Path) -> String {
        let mut text = format!("jetstream {{ store_dir: {}", quoted(&store.display().to_string()));
        if self.sync_always {
            text.push_str(", sync_interval: always");
        }
        if let Some(max) = self.max_file_store {
            let _ = write!(text, ", max_file_store: {max}");
        }
        text + " }"
    }
}

// === impl NatsTls ===

impl NatsTls {
    fn render(&self) -> String {
        let (cert, key) = (self.cert.display().to_string(), self.key.display().to_string());
        let mut text = format!("tls {{ cert_file: {}, key_file: {}", quoted(&cert), quoted(&key));
        if let Some(ca) = &self.client_ca {
            let _ = write!(text, ", ca_file: {}, verify: true", quoted(&ca.display().to_string()));
        }
        text + " }"
    }
}

/// A string as the settings file of nats-server writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
