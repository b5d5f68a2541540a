//! One role's part in delivering: a life for each lease it holds, one after another.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{Bus, Subscription};
use chatbus_connector::Sink;
use chatbus_delivery::{
    Applicant, ClusterView, Ended, Engine, EngineConfig, EngineState, Ledger, PlatformTable, Policy, Served,
    Takeover,
};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_state::{LeaseTimes, LeaseView, State};
use chatbus_telemetry::Metrics;
use tokio::sync::watch;

use super::{declare, machine};

/// What a role delivers with.
pub(super) struct Member {
    pub(super) config: EngineConfig,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) state: Arc<dyn State>,
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    pub(super) table: PlatformTable,
    pub(super) metrics: Metrics,
    pub(super) runtime: Runtime,
    /// What the sinks can say now.
    pub(super) serves: watch::Receiver<Vec<Served>>,
    /// What is to be declared before anything is read.
    pub(super) subscriptions: Vec<Subscription>,
    /// How far the engine of this life is.
    pub(super) engine_state: watch::Sender<EngineState>,
    /// One life of this process.
    pub(super) epoch: Arc<str>,
    pub(super) policy: Option<Arc<dyn Policy>>,
    pub(super) leases: LeaseView,
    pub(super) view: ClusterView,
}

/// How often the dispatcher looks for what dead gateways left in the shared state.
const TIDY_EVERY: Duration = Duration::from_secs(10);

// === impl Member ===

impl Member {
    /// Delivers until the process stops.
    pub(super) async fn run(self) {
        let (leases, view) = (self.leases.clone(), self.view.clone());
        // Watching goes on while the leases are given up at the end.
        let watching = async {
            tokio::join!(
                leases.keep(Arc::clone(&self.state), self.runtime.clone()),
                view.keep(Arc::clone(&self.state), self.runtime.clone()),
            );
            std::future::pending::<()>().await;
        };
        let living = async {
            declare::until_done(&*self.bus, &self.subscriptions, &self.runtime).await;
            while Box::pin(self.live(&view, &leases)).await == Ended::Lost {
                // Whatever was said last: until it has a lease again it is not ready.
                self.engine_state.send_replace(EngineState::LookingBack);
                tracing::warn!(event = "egress.rejoining", "joining again under a new lease");
            }
        };
        tokio::select! {
            () = living => {}
            () = watching => {}
        }
        self.engine_state.send_replace(EngineState::Stopped);
    }

    /// One life: from having the lease to having it no more.
    async fn live(&self, view: &ClusterView, leases: &LeaseView) -> Ended {
        let applicant = Applicant {
            state: Arc::clone(&self.state),
            runtime: self.runtime.clone(),
            role: self.config.role,
            instance: self.config.instance.clone(),
            epoch: Arc::clone(&self.epoch),
            process: machine::this(),
            times: LeaseTimes::INSTANCE,
            dispatcher: LeaseTimes::DISPATCHER,
        };
        let serves = self.serves.borrow().clone();
        let Some(membership) = applicant.join(Arc::new(view.clone()), serves, machine::is_over).await else {
            return Ended::Stopped;
        };
        let dispatch = membership.cluster.dispatch.clone();
        let mut engine = Engine::new(
            self.config.clone(),
            Arc::clone(&self.bus),
            self.sinks.clone(),
            self.table.clone(),
            self.metrics.clone(),
            self.runtime.clone(),
        )
        .in_cluster(membership.cluster.clone());
        if let Some(policy) = &self.policy {
            engine = engine.with_policy(Arc::clone(policy));
        }
        let ledger =
            Ledger::new(Arc::clone(&self.state), self.runtime.clone(), self.config.instance.as_str());
        let takeover = Takeover::new(
            Arc::clone(&self.bus),
            leases.clone(),
            ledger,
            dispatch,
            self.config.clone(),
            self.runtime.clone(),
        );
        let leave = CancellationToken::new();
        let mut engine_state = engine.state();
        let tell = async {
            loop {
                let state = *engine_state.borrow_and_update();
                // Between two lives there is another to come.
                let state = if state == EngineState::Stopped { EngineState::Stopping } else { state };
                self.engine_state.send_replace(state);
                if engine_state.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mine = membership.cluster.dispatch.clone();
        let tidy = async {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                if mine.borrow().is_some() {
                    view.tidy(&*self.state).await;
                }
            }
        };
        let beside = async { tokio::join!(tell, takeover.run(), tidy, std::future::pending::<()>()) };
        let delivering = async {
            let ended = engine.run().await;
            leave.cancel();
            ended
        };
        let life = async { tokio::join!(delivering, membership.keep(self.serves.clone(), leave.clone())) };
        tokio::select! {
            (ended, ()) = life => ended,
            _ = beside => Ended::Stopped,
        }
    }
}
