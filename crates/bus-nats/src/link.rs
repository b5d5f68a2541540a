//! The way to the servers: one connection after another, and what is said of it.
//!
//! A connection is in use only once the server is known to be new enough, JetStream answers and
//! every stream is as it should be. Until then, and between connections, the status says why not.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatbus_bus::{BusError, BusErrorKind, BusStatus};
use chatbus_event::Topic;
use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Endpoint};
use crate::config::NatsConfig;
use crate::failures::Failures;
use crate::lag::Losses;
use crate::names::Names;
use crate::state::buckets;
use crate::streams::{self, Small};
use crate::wire::{Bounds, Session, dial};

const FIRST_RETRY: Duration = Duration::from_millis(50);
/// A server that comes back is in use again within this.
const MAX_RETRY: Duration = Duration::from_secs(1);
/// The oldest server whose pull consumers and stream settings are what we use.
const OLDEST: (u32, u32) = (2, 10);
/// Servers of the cluster tried beside the configured ones.
const MAX_DISCOVERED: usize = 32;

/// What everything of one bus shares.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) config: NatsConfig,
    pub(crate) names: Names,
    pub(crate) runtime: Runtime,
    /// Cancelled when the bus closes.
    pub(crate) closing: CancellationToken,
    /// Members that have to give back what they hold before the connection goes.
    pub(crate) members: TaskTracker,
    pub(crate) failures: Mutex<Failures>,
    pub(crate) losses: Mutex<Losses>,
    access: Access,
    current: watch::Sender<Option<Arc<Epoch>>>,
    status: watch::Sender<BusStatus>,
    /// Whether there is a connection in use.
    pub(crate) up: watch::Sender<bool>,
    /// Whether the last attempt failed for a reason that trying again cannot mend.
    misconfigured: Mutex<bool>,
    /// Whether it was said that streams are smaller than configured.
    told_small: AtomicBool,
}

/// One connection in use.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) session: Arc<Session>,
    pub(crate) others: Mutex<Others>,
}

/// Topics of [`Family::Other`](chatbus_event::Family::Other) in this epoch: those known to have their
/// stream, and what waits for the others to get theirs.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub(crate) known: HashSet<Topic>,
    pub(crate) waiting: HashMap<Topic, Vec<crate::others::Waiting>>,
}

// === impl Link ===

impl Link {
    pub(crate) fn new(config: NatsConfig, runtime: Runtime) -> Result<Self, BusError> {
        let names = Names::new(&config.prefix)?;
        let access = Access::new(&config)?;
        if !(1..=5).contains(&config.replicas) {
            return Err(BusError::new(BusErrorKind::Misconfigured, "NATS_REPLICAS must be 1 to 5"));
        }
        let status =
            BusStatus { connected: false, epoch: 0, reason: Some("not connected to NATS yet".into()) };
        Ok(Self {
            config,
            names,
            runtime,
            access,
            closing: CancellationToken::new(),
            members: TaskTracker::new(),
            failures: Mutex::default(),
            losses: Mutex::default(),
            current: watch::Sender::new(None),
            status: watch::Sender::new(status),
            up: watch::Sender::new(false),
            misconfigured: Mutex::new(false),
            told_small: AtomicBool::new(false),
        })
    }

    /// The connection in use now.
    ///
    /// # Errors
    /// `Misconfigured` when there is none for a reason that stays, else `Closed`.
    pub(crate) fn epoch(&self) -> Result<Arc<Epoch>, BusError> {
        if self.closing.is_cancelled() {
            return Err(BusError::closed("the bus is closed"));
        }
        self.current().ok_or_else(|| {
            let reason = self.status.borrow().reason.clone();
            let reason = reason.as_deref().unwrap_or("not connected to NATS");
            let stays = *self.misconfigured.lock().unwrap_or_else(PoisonError::into_inner);
            BusError::new(if stays { BusErrorKind::Misconfigured } else { BusErrorKind::Closed }, reason)
        })
    }

    /// The connection in use, also while the bus closes: for settling and for giving back.
    pub(crate) fn current(&self) -> Option<Arc<Epoch>> {
        self.current.borrow().clone()
    }

    /// The next connection in use; `None` once the bus closes. `last` is the one that is of no use
    /// any more.
    pub(crate) async fn next_epoch(&self, last: Option<&Arc<Epoch>>) -> Option<Arc<Epoch>> {
        let mut current = self.current.subscribe();
        let fresh = |epoch: &Option<Arc<Epoch>>| match (epoch, last) {
            (Some(epoch), Some(last)) => !Arc::ptr_eq(epoch, last),
            (epoch, _) => epoch.is_some(),
        };
        tokio::select! {
            () = self.closing.cancelled() => None,
            seen = current.wait_for(fresh) => seen.ok()?.clone(),
        }
    }

    pub(crate) fn status(&self) -> watch::Receiver<BusStatus> {
        self.status.subscribe()
    }

    /// Keeps a connection until the bus closes.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        let mut discovered: Vec<Endpoint> = Vec::new();
        let mut turn = 0;
        while !self.closing.is_cancelled() {
            let endpoints = self.endpoints(&discovered);
            let endpoint = &endpoints[turn % endpoints.len()];
            turn += 1;
            let attempt = tokio::select! {
                () = self.closing.cancelled() => break,
                attempt = self.attempt(endpoint) => attempt,
            };
            match attempt {
                Ok(session) => {
                    backoff.reset();
                    discovered = found(endpoint, &session, &self.access.endpoints);
                    self.serve(endpoint, session).await;
                }
                Err(error) => self.refused(endpoint, &error),
            }
            // Each server is tried at once; only a whole round without luck waits longer.
            let wait =
                if turn % endpoints.len() == 0 { backoff.next(&*self.runtime.entropy) } else { FIRST_RETRY };
            tokio::select! {
                () = self.closing.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn endpoints(&self, discovered: &[Endpoint]) -> Vec<Endpoint> {
        self.access.endpoints.iter().chain(discovered).cloned().collect()
    }

    async fn attempt(&self, endpoint: &Endpoint) -> Result<Arc<Session>, BusError> {
        let dialled = tokio::time::timeout(self.config.connect_timeout, dial(&self.access, endpoint))
            .await
            .map_err(|_| BusError::closed(format!("NATS server {endpoint} did not answer in time")))??;
        let info = &dialled.info;
        if !info.headers || info.release().is_none_or(|release| release < OLDEST) {
            let why = format!("NATS server {endpoint} is {}; 2.10 or newer is needed", info.version);
            return Err(BusError::new(BusErrorKind::Misconfigured, why));
        }
        let bounds = Bounds {
            window_messages: self.config.window_messages,
            window_bytes: self.config.window_bytes,
            ack_timeout: self.config.ack_timeout,
        };
        let session = Session::start(dialled, self.names.prefix(), &bounds, &self.runtime);
        let mut guard = CloseUnlessKept(Some(Arc::clone(&session)));
        // The small ones first: the others take what room there is.
        let entropy = &*self.runtime.entropy;
        let mut small = buckets::ensure_all(&session, &self.names, &self.config, entropy).await?;
        small.extend(streams::ensure_all(&session, &self.names, &self.config, entropy).await?);
        // It stays so over every reconnect, and there is one bus in a process.
        if !small.is_empty() && !self.told_small.swap(true, Ordering::Relaxed) {
            Small::warn(&small);
        }
        guard.0 = None;
        Ok(session)
    }

    async fn serve(&self, endpoint: &Endpoint, session: Arc<Session>) {
        *self.misconfigured.lock().unwrap_or_else(PoisonError::into_inner) = false;
        let epoch = Arc::new(Epoch { session: Arc::clone(&session), others: Mutex::default() });
        self.current.send_replace(Some(epoch));
        self.status.send_modify(|status| {
            *status = BusStatus { connected: true, epoch: status.epoch + 1, reason: None };
        });
        self.up.send_replace(true);
        tracing::info!(
            event = "bus.connected",
            server = %endpoint,
            name = session.info.server_name,
            version = session.info.version,
            "connected to NATS"
        );
        // The session outlives the wish to close: whoever closes ends it when all is in.
        session.ended().await;
        let reason = session.reason();
        self.current.send_replace(None);
        self.down(&reason);
        if !self.closing.is_cancelled() {
            tracing::warn!(event = "bus.disconnected", server = %endpoint, reason, "the connection to NATS ended");
        }
    }

    fn refused(&self, endpoint: &Endpoint, error: &BusError) {
        let stays = error.kind() == BusErrorKind::Misconfigured;
        *self.misconfigured.lock().unwrap_or_else(PoisonError::into_inner) = stays;
        let reason = error.to_string();
        let known = self.status.borrow().reason.as_deref() == Some(reason.as_str());
        self.down(&reason);
        if known {
            tracing::debug!(event = "bus.unreachable", server = %endpoint, reason, "NATS is still out of reach");
        } else if stays {
            tracing::error!(event = "bus.misconfigured", server = %endpoint, reason, "NATS cannot be used");
        } else {
            tracing::warn!(event = "bus.unreachable", server = %endpoint, reason, "NATS is out of reach");
        }
    }

    pub(crate) fn down(&self, reason: &str) {
        self.up.send_if_modified(std::mem::take);
        self.status.send_modify(|status| {
            status.connected = false;
            status.reason = Some(reason.into());
        });
    }
}

/// What else the cluster has, beside what is known.
fn found(endpoint: &Endpoint, session: &Session, known: &[Endpoint]) -> Vec<Endpoint> {
    let mut found: Vec<Endpoint> = Vec::new();
    for address in session.info.connect_urls.iter().take(MAX_DISCOVERED) {
        if let Some(other) = endpoint.discovered(address)
            && !known.iter().chain(&found).any(|e| e.to_string() == other.to_string())
        {
            found.push(other);
        }
    }
    found
}

/// Closes a session whose set-up was given up, however that came.
struct CloseUnlessKept(Option<Arc<Session>>);

impl Drop for CloseUnlessKept {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.close("its set-up failed");
        }
    }
}
