//! How a platform is configured and made.

use std::sync::Arc;

use chatbus_event::{Clock, InstanceId, Shape, Topic};
use chatbus_runtime::settings::{Problem, SettingSpec, Values};

use crate::{AccountSource, Connector, MemoryNotes, NoAccounts, Notes};

/// A platform that can be configured. The binary's registry lists one for each.
pub trait PlatformFactory: Send + Sync {
    /// The platform's name, such as `twitch`.
    fn platform(&self) -> &'static str;

    /// Its settings.
    fn settings(&self) -> &'static [SettingSpec];

    /// Makes its connector; `None` when it is switched off or nothing of it is configured. No I/O
    /// but reading files that settings name.
    ///
    /// # Errors
    /// Every problem at once, such as each setting that is missing because others are there.
    fn build(&self, values: &Values, cx: &BuildContext) -> Result<Option<Arc<dyn Connector>>, Vec<Problem>>;
}

/// What a connector is told when it is made.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// This instance.
    pub instance: InstanceId,
    /// Where answers come in: this instance's own egress topic.
    pub egress: Topic,
    /// The shape ingress publishes.
    pub shape: Shape,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The accounts whose tokens are kept.
    pub accounts: Arc<dyn AccountSource>,
    /// What connectors remember.
    pub notes: Arc<dyn Notes>,
    /// Under which address the world reaches this process's HTTP paths (PUBLIC_URL), without a slash at its end.
    pub public_url: Option<Arc<str>>,
}

// === impl BuildContext ===

impl BuildContext {
    /// With no accounts, and notes that end with the process.
    pub fn alone(instance: InstanceId, egress: Topic, shape: Shape, clock: Arc<dyn Clock>) -> Self {
        let (accounts, notes) = (Arc::new(NoAccounts), Arc::new(MemoryNotes::default()));
        Self { instance, egress, shape, clock, accounts, notes, public_url: None }
    }
}
