//! Connections: how they are made and set.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_store::{StoreError, StoreErrorKind};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::DropGuard;

use super::error::{opening_error, unavailable, why};
use crate::url::PostgresTarget;

/// How long a connection may take until it can be used.
const LIMIT: Duration = Duration::from_secs(4);

/// What every connection is told. The server gives up before the locks of a client that is gone are felt: a lock
/// that is waited for, a statement, a transaction that nobody goes on with.
const SETTINGS: &str = "SET search_path = chatbus; SET lock_timeout = '4s'; SET statement_timeout = '60s'; \
    SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = warning;";

/// Makes connections.
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    runtime: Runtime,
    /// Told when a connection ends that nobody ended.
    pub(super) lost: Arc<Notify>,
}

/// A connection, with the statements that it knows. Dropping it ends it, whatever it waits for.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) statements: HashMap<String, Statement>,
    _alive: DropGuard,
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(target: PostgresTarget, runtime: Runtime) -> Result<Self, StoreError> {
        let tls = MakeRustlsConnect::new(tls(target.root_cert.as_deref())?);
        let mut config = target.config;
        config.connect_timeout(LIMIT);
        Ok(Self { config, tls, runtime, lost: Arc::default() })
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Link, StoreError> {
        let connected = timeout(LIMIT, self.try_connect()).await;
        connected.unwrap_or_else(|_| Err(unavailable(&format!("{} does not answer", self.place()))))
    }

    async fn try_connect(&self) -> Result<Link, StoreError> {
        let doing = || format!("reach {}", self.place());
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, connection) = connected.map_err(|error| opening_error(&doing(), error))?;
        let (alive, lost) = (CancellationToken::new(), Arc::clone(&self.lost));
        let ended = alive.clone();
        self.runtime.spawn("store.postgres.connection", async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                outcome = connection => {
                    if let Err(error) = outcome {
                        tracing::debug!(event = "store.connection.lost", reason = why(&error), "a connection ended");
                    }
                    lost.notify_one();
                }
            }
        });
        let link = Link { client, statements: HashMap::new(), _alive: alive.drop_guard() };
        link.client.batch_execute(SETTINGS).await.map_err(|error| opening_error(&doing(), error))?;
        Ok(link)
    }

    /// Where the server is, for people: without user and password.
    pub(super) fn place(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(at, host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        format!("PostgreSQL at {}", hosts.collect::<Vec<_>>().join(", "))
    }
}

/// Checks the server's certificate against this file, else against the public authorities.
fn tls(root_cert: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let wrong = |why: String| StoreError::new(StoreErrorKind::Misconfigured, why);
    let mut roots = RootCertStore::empty();
    match root_cert {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let bad = |why: &dyn std::fmt::Display| {
                wrong(format!("sslrootcert of STORE_URL, {}: {why}", path.display()))
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| bad(&error))?;
                roots.add(certificate).map_err(|error| bad(&error))?;
            }
            if roots.is_empty() {
                return Err(bad(&"it holds no certificate"));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(format!("TLS cannot be used: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
