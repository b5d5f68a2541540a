//! What each role delivers with, put together.

use std::sync::Arc;

use chatbus_bus::{Bus, Subscription};
use chatbus_connector::Sink;
use chatbus_delivery::{ClusterView, Engine, EngineConfig, EngineState, Policy, Role, Served};
use chatbus_event::{InstanceId, Topic};
use chatbus_runtime::Runtime;
use chatbus_state::{LeaseTimes, LeaseView, State};
use chatbus_telemetry::Metrics;
use tokio::sync::watch;

use super::member::Member;
use crate::registry;
use crate::settings::Core;

/// What all roles of a process share.
pub(super) struct Delivering<'a> {
    pub(super) core: &'a Core,
    pub(super) instance: &'a InstanceId,
    pub(super) roles: &'a [Role],
    pub(super) bus: &'a Arc<dyn Bus>,
    pub(super) state: &'a Arc<dyn State>,
    pub(super) metrics: &'a Metrics,
    pub(super) runtime: &'a Runtime,
    /// One life of this process.
    pub(super) epoch: Arc<str>,
    /// What is asked before every send.
    pub(super) policy: Option<Arc<dyn Policy>>,
}

/// What a role knows of the others.
#[derive(Clone)]
pub(super) struct Others {
    pub(super) leases: LeaseView,
    pub(super) view: ClusterView,
}

// === impl Delivering ===

impl Delivering<'_> {
    /// What a role will know of the others.
    pub(super) fn others(&self, role: Role) -> Others {
        let leases = LeaseView::new(LeaseTimes::INSTANCE.ttl, Arc::clone(&self.runtime.clock));
        let view = ClusterView::new(role, self.instance.clone(), registry::GATEWAY, leases.clone());
        Others { leases, view }
    }

    /// What delivers for a role through these sinks.
    pub(super) fn member(
        &self,
        role: Role,
        others: Others,
        sinks: Vec<Arc<dyn Sink>>,
        serves: watch::Receiver<Vec<Served>>,
    ) -> (Member, watch::Receiver<EngineState>) {
        let engine_state = watch::Sender::new(EngineState::LookingBack);
        let state = engine_state.subscribe();
        let member = Member {
            config: self.config(role),
            bus: Arc::clone(self.bus),
            state: Arc::clone(self.state),
            sinks,
            table: registry::platform_table(),
            metrics: self.metrics.clone(),
            runtime: self.runtime.clone(),
            serves,
            subscriptions: self.subscriptions(role),
            engine_state,
            epoch: Arc::clone(&self.epoch),
            policy: self.policy.clone(),
            leases: others.leases,
            view: others.view,
        };
        (member, state)
    }

    /// What a role reads. What all read is declared by the first.
    fn subscriptions(&self, role: Role) -> Vec<Subscription> {
        let mut subscriptions = Engine::subscriptions(&self.config(role));
        if self.roles.first() != Some(&role) {
            subscriptions.retain(|subscription| subscription.topic != Topic::egress());
        }
        subscriptions
    }

    fn config(&self, role: Role) -> EngineConfig {
        let mut config = EngineConfig::new(self.instance.clone());
        config.role = role;
        config.deadline = self.core.egress_deadline;
        config.max_deliveries = self.core.max_deliveries;
        config.dedupe_window = self.core.dedupe_window;
        config.grace = self.core.shutdown_grace.mul_f64(super::GRACE_SHARE);
        config
    }
}
