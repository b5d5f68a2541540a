//! What the driver is told: where the servers are, how to get in, and every limit it sets on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{BusError, DeadLettering, Failure, Record, limits};

/// The settings of a [`NatsBus`](crate::NatsBus). Start from [`NatsConfig::default`].
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// `nats://` or `tls://` URLs of one cluster, tried in turn. A URL may hold `user:password@` or
    /// `token@`; neither is ever logged.
    pub urls: Vec<ServerUrl>,
    /// A credentials file (user JWT and seed), as `nsc` writes it.
    pub creds_file: Option<PathBuf>,
    /// The authorities a server's certificate may come from, in PEM. Without it, Mozilla's. Giving
    /// one makes TLS required.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, in PEM, for servers that ask for one. Needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM.
    pub key_file: Option<PathBuf>,
    /// How many servers keep each stream: 1 to 5.
    pub replicas: usize,
    /// BUS_PREFIX: put before every subject, and seen nowhere else.
    pub prefix: String,
    /// How long a message id is remembered.
    pub dedupe_window: Duration,
    /// Largest body.
    pub max_message_bytes: usize,
    /// How long topics other than egress and lanes are kept.
    pub retention: Duration,
    /// How many bytes each family other than egress and lanes keeps.
    pub retention_bytes: u64,
    /// How many bytes an egress or lane family holds before it refuses.
    pub queue_bytes: u64,
    /// How long the server waits for a sign of life of a delivery before it gives it to another member.
    pub ack_wait: Duration,
    /// How many published messages may wait for their acknowledgement; then publishing is `Full`.
    pub window_messages: usize,
    /// How many bytes of them; then publishing is `Full`.
    pub window_bytes: usize,
    /// How long a published message waits for its acknowledgement before it has failed.
    pub ack_timeout: Duration,
    /// How long connecting to one server may take, handshakes included.
    pub connect_timeout: Duration,
    /// Stands in for the time to live of every space of the shared state that has one; for tests.
    pub state_ttl: Option<Duration>,
    /// How long it stays readable for watchers that something was removed from a space that keeps its
    /// entries for ever; then nothing of it is kept.
    pub state_marker_life: Duration,
    /// Makes dead letters of what is given up.
    pub dead_lettering: Arc<dyn DeadLettering>,
}

/// A server's URL, whose user information cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

/// Refuses every dead letter: the delivery is then not acknowledged and comes again, so a program
/// that forgot to say how dead letters are made loses nothing.
#[derive(Debug)]
struct NoDeadLetters;

// === impl NatsConfig ===

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            urls: vec![ServerUrl::from("nats://127.0.0.1:4222")],
            creds_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            replicas: 1,
            prefix: String::new(),
            dedupe_window: Duration::from_secs(120),
            max_message_bytes: limits::MAX_MESSAGE_BYTES,
            retention: limits::RETENTION,
            retention_bytes: limits::RETENTION_BYTES,
            queue_bytes: limits::QUEUE_BYTES,
            ack_wait: Duration::from_secs(30),
            window_messages: 4096,
            window_bytes: 16 * 1024 * 1024,
            ack_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            state_ttl: None,
            state_marker_life: Duration::from_secs(120),
            dead_lettering: Arc::new(NoDeadLetters),
        }
    }
}

impl NatsConfig {
    /// The URLs of a comma or white space separated list, as `NATS_URL` has it.
    #[must_use]
    pub fn with_urls(mut self, list: &str) -> Self {
        self.urls = list
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|url| !url.is_empty())
            .map(ServerUrl::from)
            .collect();
        self
    }
}

// === impl ServerUrl ===

impl ServerUrl {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ServerUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for ServerUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.rsplit_once('@') {
            Some((_, rest)) => write!(f, "***@{rest}"),
            None => f.write_str(&self.0),
        }
    }
}

// === impl NoDeadLetters ===

#[async_trait]
impl DeadLettering for NoDeadLetters {
    async fn dead_letter(&self, _record: &Record, failure: &Failure) -> Result<(), BusError> {
        Err(BusError::new(
            chatbus_bus::BusErrorKind::Misconfigured,
            format!("nobody makes dead letters here ({})", failure.reason.as_str()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_list_is_split_and_its_passwords_are_not_printed() {
        let config = NatsConfig::default().with_urls("nats://u:s3cret@a:4222, tls://b\nc");
        let printed = format!("{config:?}");
        assert_eq!(config.urls.len(), 3);
        assert!(printed.contains("***@a:4222") && printed.contains("tls://b"), "{printed}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
