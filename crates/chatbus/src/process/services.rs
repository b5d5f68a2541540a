//! The roles between ingress and egress, put together: each a handler on the bus, alone or with the others.

mod build;
mod checks;
mod letters;
mod policy;
mod watch;

use std::sync::Arc;

use chatbus_bus::{BatchHandler, BatchLoop, Bus, Group, HandlerPolicy, Subscription};
use chatbus_delivery::Policy;
use chatbus_event::Topic;
use chatbus_ops::{Readiness, ReadinessCheck};
use chatbus_runtime::Runtime;
use chatbus_telemetry::Metrics;
use tokio::sync::watch as tokio_watch;

use super::parts::Part;
use super::roles::{Roles, Service};
use super::storing::Storing;
use super::{GRACE_SHARE, declare};
use crate::settings::Core;

pub(crate) use build::{check_personality, check_rule};
pub(super) use letters::replay;

/// What the services of a process are made of.
pub(super) struct With<'a> {
    pub(super) core: &'a Core,
    pub(super) roles: &'a Roles,
    pub(super) bus: &'a Arc<dyn Bus>,
    pub(super) store: &'a Storing,
    pub(super) metrics: &'a Metrics,
    pub(super) runtime: &'a Runtime,
    /// Who publishes, in attributes.
    pub(super) instance: &'a str,
    /// Names of our own accounts, by which the bot is spoken to.
    pub(super) names: Vec<String>,
}

/// Services that were started.
pub(super) struct Services {
    pub(super) parts: Vec<Part>,
    pub(super) checks: Vec<Arc<dyn ReadinessCheck>>,
    /// What is asked before every send.
    pub(super) policy: Option<Arc<dyn Policy>>,
}

/// Messages of a topic that a service holds unsettled: two batches.
const IN_FLIGHT: usize = 2 * BatchLoop::MAX_BATCH;
