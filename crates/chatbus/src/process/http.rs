//! The HTTP side of a process.

use std::sync::Arc;

use chatbus_bus::Bus;
use chatbus_connector::Connector;
use chatbus_delivery::EngineState;
use chatbus_event::Topic;
use chatbus_gateway::Gateway;
use chatbus_ingress::IngressHealth;
use chatbus_ops::{
    AdminGuard, Check, HttpLimits, Ops, PlatformCheck, PlatformView, Readiness, ReadinessCheck, Refresh,
};
use chatbus_runtime::Runtime;
use chatbus_runtime::settings::Values;
use chatbus_telemetry::Metrics;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::INGRESS_EGRESS;
use crate::commands::config::as_json;
use crate::settings::Core;
use crate::{registry, target};

/// What the routes are made of.
pub(super) struct Parts<'a> {
    pub(super) values: &'a Values,
    pub(super) core: &'a Core,
    pub(super) bus: &'a Arc<dyn Bus>,
    pub(super) driver: &'static str,
    pub(super) metrics: &'a Metrics,
    pub(super) readiness: &'a Readiness,
    pub(super) connectors: &'a [Arc<dyn Connector>],
    pub(super) egress: &'a Topic,
    pub(super) spool: Option<watch::Receiver<IngressHealth>>,
    pub(super) refresh: Refresh,
    pub(super) runtime: &'a Runtime,
}

/// Asks whether the egress topics are read.
struct SubscriptionsCheck {
    role: &'static str,
    state: watch::Receiver<EngineState>,
}

/// Asks whether the spool drops anything.
struct SpoolCheck(watch::Receiver<IngressHealth>);

pub(super) fn readiness(
    bus: &Arc<dyn Bus>,
    connectors: &[Arc<dyn Connector>],
    engines: Vec<(&'static str, watch::Receiver<EngineState>)>,
    spool: Option<watch::Receiver<IngressHealth>>,
    services: Vec<Arc<dyn ReadinessCheck>>,
) -> Readiness {
    let mut checks = services;
    if let Some(spool) = spool {
        checks.push(Arc::new(SpoolCheck(spool)));
    }
    for (role, state) in engines {
        checks.push(Arc::new(SubscriptionsCheck { role, state }));
    }
    for connector in connectors {
        let (platform, status) = (connector.platform(), connector.status());
        checks.push(Arc::new(PlatformCheck { platform, role: INGRESS_EGRESS, status }));
    }
    Readiness::new(Arc::clone(bus), checks)
}

pub(super) fn ops(parts: Parts<'_>) -> Arc<Ops> {
    let view = |connector: &Arc<dyn Connector>| PlatformView {
        platform: connector.platform(),
        status: connector.status(),
    };
    let spool = parts.spool;
    Arc::new(Ops {
        clock: Arc::clone(&parts.runtime.clock),
        entropy: Arc::clone(&parts.runtime.entropy),
        started: parts.runtime.clock.instant(),
        stop: parts.runtime.stop.clone(),
        guard: AdminGuard::new(parts.values.text("CHATBUS_ADMIN_TOKEN")),
        metrics: parts.metrics.clone(),
        bus: Arc::clone(parts.bus),
        driver: parts.driver,
        readiness: parts.readiness.clone(),
        platforms: parts.connectors.iter().map(view).collect(),
        known_platforms: registry::platforms().iter().map(|factory| factory.platform()).collect(),
        egress_topic: parts.egress.to_string(),
        config: json!({ "settings": as_json(parts.values), "dataDir": parts.core.data_dir }),
        spool: spool.map(|spool| -> Box<dyn Fn() -> serde_json::Value + Send + Sync> {
            Box::new(move || {
                let health = *spool.borrow();
                json!({
                    "events": health.spool_events, "bytes": health.spool_bytes, "dropped": health.dropped,
                    "dropping": health.dropping, "spoolingSince": health.spooling_since,
                    "reason": health.spooling_reason,
                })
            })
        }),
        refresh: Some(parts.refresh),
        parse_target: target::parse,
    })
}

/// Routes of others.
pub(super) struct Routes {
    /// For the administrator alone.
    pub(super) admin: axum::Router,
    /// For whoever comes: they see for themselves who that is.
    pub(super) open: axum::Router,
}

/// Answers until the stop, and then what was asked before it.
pub(super) async fn serve(
    listener: TcpListener,
    ops: Arc<Ops>,
    routes: Routes,
    gateway: Option<Arc<Gateway>>,
    runtime: Runtime,
) {
    let stop = runtime.stop.clone();
    let guard = ops.guard.clone();
    let mut router = chatbus_ops::router_with(ops, routes.admin).merge(routes.open);
    if let Some(gateway) = gateway {
        router = router.merge(chatbus_gateway::routes(Arc::clone(&gateway)));
        router = chatbus_gateway::with_sends(router, gateway, move |headers| guard.is_token(headers));
    }
    chatbus_ops::serve(listener, router, HttpLimits::default(), &runtime, stop).await;
}

impl ReadinessCheck for SubscriptionsCheck {
    fn role(&self) -> Option<&str> {
        Some(self.role)
    }

    fn check(&self) -> Check {
        let running = *self.state.borrow() == EngineState::Running;
        Check {
            waiting_for: if running { vec![] } else { vec!["subscriptions".to_owned()] },
            degraded: vec![],
        }
    }
}

impl ReadinessCheck for SpoolCheck {
    fn role(&self) -> Option<&str> {
        Some(INGRESS_EGRESS)
    }

    fn check(&self) -> Check {
        let health = *self.0.borrow();
        let mut check = Check::default();
        if health.dropping {
            check.waiting_for.push("spool:full".to_owned());
        }
        if health.disk_failing {
            check.waiting_for.push("spool:disk".to_owned());
        }
        if health.spooling_since.is_some() {
            check.degraded.push("spool:filling".to_owned());
        }
        check
    }
}
