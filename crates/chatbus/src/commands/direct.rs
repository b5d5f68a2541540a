//! The shared state itself, for a command that finds no process to ask.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use chatbus_bus::{Bus, Opened};
use chatbus_event::InstanceId;
use chatbus_runtime::Runtime;
use chatbus_runtime::settings::{Problem, Values};
use chatbus_state::State;

use super::Failure;
use crate::process::admin::Admin;
use crate::process::{Storing, open_bus};
use crate::registry;
use crate::settings::Core;
use crate::supervisor::Supervisor;

/// The state that processes with these settings have.
pub(super) struct Direct {
    pub(super) state: Arc<dyn State>,
    /// Where that is, for people.
    pub(super) place: String,
    bus: Arc<dyn Bus>,
    supervisor: Supervisor,
}

/// How long servers may take to be in reach.
const REACH_WITHIN: Duration = Duration::from_secs(5);
/// How long what was opened may take to let go.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

// === impl Direct ===

impl Direct {
    /// Opens it. What only one process may have is then held by this one.
    ///
    /// # Errors
    /// A problem with DATA_DIR when another process has it; when the state is out of reach.
    pub(super) async fn open(values: &Values, core: &Core) -> Result<Self, Failure> {
        let problems = registry::bus_problems(values);
        if !problems.is_empty() {
            return Err(Failure::Configuration(problems));
        }
        let supervisor = Supervisor::new();
        let who = InstanceId::parse("command")
            .map_err(|error| Problem::new("EGRESS_INSTANCE_ID", error.to_string()))?;
        let (Opened { bus, state }, driver) = open_bus(values, core, &who, &supervisor.runtime()).await?;
        let place = match registry::state_reach(values) {
            Some(reach) if reach.is_shared() => format!("the state beside the bus {driver}"),
            _ => format!("what is kept in {}", core.data_dir.display()),
        };
        let direct = Self { state, place, bus, supervisor };
        let mut connected = direct.state.connected();
        let reached = connected.wait_for(|connected| *connected);
        if tokio::time::timeout(REACH_WITHIN, reached).await.is_ok_and(|reached| reached.is_ok()) {
            return Ok(direct);
        }
        let reason = direct.bus.status().borrow().reason.clone();
        let why = reason.map_or_else(|| "no connection".to_owned(), |reason| reason.to_string());
        direct.close().await;
        Err(Failure::Runtime(anyhow!("no chatbus runs here, and the bus {driver} is not in reach: {why}")))
    }

    /// What the administrator may ask for, carried out here.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub(super) async fn admin(&self, core: &Core) -> Result<Admin, Failure> {
        let runtime = self.runtime();
        let store = Storing::open(core, &runtime).await?;
        Ok(Admin { store, bus: Arc::clone(&self.bus), runtime })
    }

    pub(super) fn runtime(&self) -> Runtime {
        self.supervisor.runtime()
    }

    /// Lets go of it.
    pub(super) async fn close(self) {
        self.state.close().await;
        self.bus.close().await;
        self.supervisor.stop().cancel();
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.supervisor.ended()).await;
    }
}
