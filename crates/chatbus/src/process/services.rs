//! The roles between ingress and egress, put together: each a handler on the bus, alone or with the others.

mod build;
mod checks;
mod policy;
mod refresh;
mod replaying;

use std::sync::Arc;

use chatbus_bus::{BatchHandler, BatchLoop, Bus, Group, HandlerPolicy, Subscription};
use chatbus_delivery::Policy;
use chatbus_event::Topic;
use chatbus_ops::{ReadinessCheck, Refresh};
use chatbus_persistence::Persistence;
use chatbus_runtime::Runtime;
use chatbus_runtime::settings::Problem;
use chatbus_telemetry::Metrics;
use tokio::sync::watch;

use super::parts::Part;
use super::roles::{Roles, Service};
use super::storing::Storing;
use super::{GRACE_SHARE, declare};
use crate::settings::Core;

pub(crate) use build::{check_personality, check_rule};
pub(super) use replaying::replay;

/// What the services of a process are made of.
pub(super) struct With<'a> {
    pub(super) core: &'a Core,
    pub(super) roles: &'a Roles,
    pub(super) bus: &'a Arc<dyn Bus>,
    pub(super) store: &'a Storing,
    pub(super) metrics: &'a Metrics,
    pub(super) runtime: &'a Runtime,
    /// This instance's id.
    pub(super) instance: &'a str,
    /// The login of the account that speaks here.
    pub(super) login: Option<String>,
}

/// Services that were started.
pub(super) struct Services {
    pub(super) parts: Vec<Part>,
    pub(super) checks: Vec<Arc<dyn ReadinessCheck>>,
    /// What is asked before every send.
    pub(super) policy: Option<Arc<dyn Policy>>,
    pub(super) refresh: Refresh,
}

/// A service that is ready to run.
struct Ready {
    topics: Vec<Topic>,
    handler: Arc<dyn BatchHandler>,
}

/// Messages of a topic that a service holds unsettled: two batches.
const IN_FLIGHT: usize = 2 * BatchLoop::MAX_BATCH;

/// What all services read. Whichever process starts first declares all of it, so that no service misses what
/// was published before it was there.
pub(super) fn subscriptions() -> Vec<Subscription> {
    let all = [
        (Service::Auth, vec![Topic::ingress()]),
        (Service::EventRouter, vec![Topic::enriched()]),
        (Service::LlmBot, vec![Topic::llmbot()]),
        (Service::Persistence, Persistence::topics()),
    ];
    all.iter().flat_map(|(service, topics)| of(*service, topics)).collect()
}

fn of(service: Service, topics: &[Topic]) -> Vec<Subscription> {
    let Ok(group) = Group::parse(service.as_str()) else { return Vec::new() };
    let one = |topic: &Topic| Subscription::new(topic.clone(), group.clone()).max_in_flight(IN_FLIGHT);
    topics.iter().map(one).collect()
}

/// Starts the services of this process.
///
/// # Errors
/// Every setting that is wrong.
pub(super) async fn start(with: With<'_>) -> Result<Services, Vec<Problem>> {
    let (policy, policy_check) = policy::open(&with).await?;
    let mut checks: Vec<Arc<dyn ReadinessCheck>> = vec![Arc::new(checks::StoreCheck(with.store.clone()))];
    checks.extend(policy_check);
    let totals = refresh::Totals::default();
    let mut parts = Vec::new();
    for &service in &with.roles.services {
        let Some(plan) = build::plan(service, &with, &totals)? else { continue };
        let (running, is_running) = watch::channel(false);
        checks.push(Arc::new(checks::ServiceCheck { role: service.as_str(), running: is_running }));
        checks.extend(plan.checks);
        let lives = Lives {
            service,
            bus: Arc::clone(with.bus),
            store: with.store.clone(),
            runtime: with.runtime.clone(),
            policy: HandlerPolicy {
                max_deliveries: with.core.max_deliveries,
                grace: with.core.shutdown_grace.mul_f64(GRACE_SHARE),
                ..HandlerPolicy::default()
            },
            running,
        };
        parts.push(Part::spawn(with.runtime, service.as_str(), lives.run(plan.make)));
    }
    Ok(Services { parts, checks, policy, refresh: refresh::refresh(&with, totals) })
}

/// One service, for as long as the process lives.
struct Lives {
    service: Service,
    bus: Arc<dyn Bus>,
    store: Storing,
    runtime: Runtime,
    policy: HandlerPolicy,
    running: watch::Sender<bool>,
}

// === impl Lives ===

impl Lives {
    /// Waits for the store, then handles until the stop.
    async fn run(mut self, make: build::Make) {
        let Some(store) = self.store.opened(&self.runtime).await else { return };
        let Ready { topics, handler } = make(store);
        let subscriptions = of(self.service, &topics);
        declare::until_done(&*self.bus, &subscriptions, &self.runtime).await;
        self.running.send_replace(true);
        let loops = subscriptions.into_iter().map(|subscription| {
            let (bus, handler) = (Arc::clone(&self.bus), Arc::clone(&handler));
            BatchLoop::new(bus, handler, self.runtime.clone(), self.policy.clone()).run(subscription)
        });
        futures::future::join_all(loops).await;
        self.running.send_replace(false);
    }
}
