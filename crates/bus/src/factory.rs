//! How a bus is configured and opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::Clock;
use chatbus_runtime::Runtime;
use chatbus_runtime::settings::{Problem, SettingSpec, Values};
use chatbus_state::State;

use crate::{Bus, BusError};

/// A driver that can be configured. The binary's registry lists one for each.
#[async_trait]
pub trait BusFactory: Send + Sync {
    /// Its word in MESSAGE_BUS_DRIVER.
    fn driver(&self) -> &'static str;

    /// Its own settings.
    fn settings(&self) -> &'static [SettingSpec];

    /// Problems with its settings that can be found without opening anything.
    fn check(&self, values: &Values) -> Vec<Problem>;

    /// What the state is that is opened beside it.
    fn state(&self) -> StateKind;

    /// A state like that for one process that has another bus; `None` where there is none without the bus.
    fn lone_state(&self, _clock: Arc<dyn Clock>) -> Option<Arc<dyn State>> {
        None
    }

    /// Opens it, and the shared state beside it. A server that is out of reach is no error: the bus is
    /// then not connected yet.
    ///
    /// # Errors
    /// When it can never work as configured; see [`OpenError`].
    async fn open(&self, values: &Values, cx: OpenContext) -> Result<Opened, OpenError>;
}

/// What a driver's shared state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateKind {
    /// The words of STATE_URL that mean it; the first is its name.
    pub names: &'static [&'static str],
    /// Whose it is; its bus is as many processes'.
    pub reach: StateReach,
}

/// Whose a state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateReach {
    /// One process's, and it ends with it.
    Process,
    /// One process's at a time; what is durable stays on the machine.
    Machine,
    /// Every process's that reaches the servers.
    Servers,
}

/// What opening a driver gives: both over one connection, or in one folder under one lock.
#[derive(Clone)]
pub struct Opened {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The shared state. It ends with the bus; whoever closes both closes it first.
    pub state: Arc<dyn State>,
}

/// What a driver is told when it is opened.
#[derive(Debug, Clone)]
pub struct OpenContext {
    /// Clock, randomness, spawning, stopping.
    pub runtime: Runtime,
    /// Where this machine keeps its data.
    pub data_dir: PathBuf,
    /// BUS_PREFIX: put before every topic by the driver and by nothing else.
    pub prefix: String,
    /// DEDUPE_WINDOW_MS.
    pub dedupe_window: Duration,
    /// Who this process is to the reader of a dead letter.
    pub source: String,
}

/// Why a bus cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration, or another process on the same data: exit 2.
    #[error("{0}")]
    Configuration(Problem),
    /// Anything else: exit 1.
    #[error(transparent)]
    Bus(#[from] BusError),
}

// === impl StateReach ===

impl StateReach {
    /// Whether several processes use it at the same time.
    pub fn is_shared(self) -> bool {
        self == Self::Servers
    }
}
