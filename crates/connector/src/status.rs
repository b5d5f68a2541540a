//! A platform's state, as operators see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chatbus_event::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

/// A connector's state, written by its loop and read by readiness, metrics and `/_debug`.
#[derive(Debug, Clone)]
pub struct Status {
    snapshot: Arc<Mutex<Snapshot>>,
    changed: Arc<watch::Sender<u64>>,
}

/// What `/_debug/{platform}` shows. Holds no secret and no message text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The connection.
    pub state: ConnectionState,
    /// Channels that are wanted, in the platform's form.
    pub wanted_channels: BTreeSet<String>,
    /// Those of them that are not configured but were added at run time. Nothing waits for these.
    pub added_channels: BTreeSet<String>,
    /// Channels the platform confirmed.
    pub joined_channels: BTreeSet<String>,
    /// When the last message was read.
    pub last_message_at: Option<Timestamp>,
    /// When the last reconnect succeeded.
    pub last_reconnect_at: Option<Timestamp>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// Channels the platform refused, or did not answer for three times.
    pub refused_channels: Vec<RefusedChannel>,
    /// When the platform last answered a ping.
    pub last_pong_at: Option<Timestamp>,
    /// How long that answer took.
    pub latency_ms: Option<u64>,
    /// The account.
    pub auth: AuthState,
    /// What was counted since the start.
    pub counters: Counters,
}

/// The connection's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectionState {
    /// Switched off.
    Disabled,
    /// The first connection is being made.
    Connecting,
    /// Connected and logged in.
    Connected,
    /// Lost, and being made again.
    Reconnecting,
    /// Stopped.
    Disconnected,
    /// Cannot connect without someone's help.
    Error,
}

/// The account a platform is used with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthState {
    /// `anonymous`, `ok`, `degraded` or `needs_reauth`.
    pub state: &'static str,
    /// The account's login.
    pub login: Option<String>,
    /// The account's id.
    pub user_id: Option<String>,
    /// When its token ends.
    pub expires_at: Option<Timestamp>,
    /// Scopes that are needed and not granted.
    pub missing_scopes: Vec<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// A stable code.
    pub code: String,
    /// For people; no secret in it.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// A channel that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedChannel {
    /// The channel.
    pub channel: String,
    /// The platform's code, or `no_answer`.
    pub code: String,
}

/// What was counted since the start, by name; every platform has the first five.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Messages read.
    pub received: u64,
    /// Of these, on the bus.
    pub published: u64,
    /// Of these, lost for a stated reason.
    pub failed: u64,
    /// Texts said.
    pub sent: u64,
    /// Connections made again.
    pub reconnects: u64,
    /// What only this platform counts.
    #[serde(flatten)]
    pub other: BTreeMap<String, u64>,
}

// === impl Status ===

impl Status {
    /// A connector that has not begun.
    pub fn new(wanted_channels: impl IntoIterator<Item = String>, auth: AuthState) -> Self {
        Self {
            snapshot: Arc::new(Mutex::new(Snapshot {
                state: ConnectionState::Connecting,
                wanted_channels: wanted_channels.into_iter().collect(),
                added_channels: BTreeSet::new(),
                joined_channels: BTreeSet::new(),
                last_message_at: None,
                last_reconnect_at: None,
                last_error: None,
                refused_channels: Vec::new(),
                last_pong_at: None,
                latency_ms: None,
                auth,
                counters: Counters::default(),
            })),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// A copy of the state.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the state and wakes whoever watches.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Changes counters without waking anyone: these change with every message.
    pub fn count(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes with every [`Status::update`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

// === impl AuthState ===

impl AuthState {
    /// No account: read only.
    pub fn anonymous() -> Self {
        Self { state: "anonymous", login: None, user_id: None, expires_at: None, missing_scopes: Vec::new() }
    }

    /// An account that works.
    pub fn ok(login: impl Into<String>) -> Self {
        Self { state: "ok", login: Some(login.into()), ..Self::anonymous() }
    }
}
