//! Several instances over one in-memory bus and state, each as a process of its own would be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::Bus;
use chatbus_connector::{Audience, Availability, Sink};
use chatbus_delivery::{
    Applicant, ClusterView, Ended, Engine, EngineConfig, EngineState, Ledger, Peers as _, Process, Role,
    Served, Takeover,
};
use chatbus_event::InstanceId;
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_state::{Expected, Key, LeaseTimes, LeaseView, MemoryState, MemoryStateStore, Space, State as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::counting::Counting;
use crate::sink::FakeSink;
use crate::world::{World, connect, table};

/// One instance.
pub(crate) struct Node {
    pub(crate) instance: InstanceId,
    pub(crate) sink: Arc<FakeSink>,
    pub(crate) state: Arc<MemoryState>,
    pub(crate) engine: watch::Receiver<EngineState>,
    pub(crate) epoch: Arc<str>,
    view: ClusterView,
    stop: CancellationToken,
    tasks: JoinSet<Option<Ended>>,
}

/// What they share beside the world's bus.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) store: MemoryStateStore,
    lives: std::sync::atomic::AtomicU32,
    published: Arc<AtomicUsize>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let store = MemoryStateStore::new(world.runtime.clock.clone());
        Self { world, store, lives: std::sync::atomic::AtomicU32::new(1), published: Arc::default() }
    }

    /// How much all instances have published so far.
    pub(crate) fn published(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    /// Starts an ingress-egress instance that is in these channels of the platform `brook`.
    pub(crate) async fn ingress(&self, name: &str, channels: &[&str]) -> Node {
        self.start(Role::IngressEgress, name, channels).await
    }

    /// Starts a gateway.
    pub(crate) async fn gateway(&self, name: &str) -> Node {
        self.start(Role::ApiGateway, name, &[]).await
    }

    async fn start(&self, role: Role, name: &str, channels: &[&str]) -> Node {
        let instance = InstanceId::parse(name).unwrap();
        let mut runtime: Runtime = self.world.runtime.clone();
        runtime.stop = CancellationToken::new();
        let stop = runtime.stop.clone();
        let state = self.store.open();
        let bus = connect(&self.world.store, &runtime);
        let bus: Arc<dyn Bus> = Arc::new(Counting { bus, published: self.published.clone() });
        let leases = LeaseView::new(LeaseTimes::INSTANCE.ttl, runtime.clock.clone());
        let view = ClusterView::new(role, instance.clone(), "socket", leases.clone());
        let platform = if role == Role::ApiGateway { "socket" } else { "brook" };
        let sink = FakeSink::new(platform, runtime.clock.clone());
        if role == Role::ApiGateway {
            sink.serves_nobody();
        } else {
            sink.serves_only(channels);
        }
        let mut tasks = JoinSet::new();
        let own: Arc<dyn chatbus_state::State> = state.clone();
        {
            let (leases, state, runtime) = (leases.clone(), own.clone(), runtime.clone());
            tasks.spawn(async move {
                leases.keep(state, runtime).await;
                None
            });
            let (view, state, runtime) = (view.clone(), own.clone(), self.runtime(&stop));
            tasks.spawn(async move {
                view.keep(state, runtime).await;
                None
            });
        }
        let serves = if channels.is_empty() {
            Vec::new()
        } else {
            let channels = channels.iter().map(|channel| (*channel).to_owned()).collect();
            vec![Served { platform: "brook".into(), channels, direct: true, account: None }]
        };
        let pid = self.lives.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let epoch: Arc<str> = format!("life {pid}").into();
        let applicant = Applicant {
            state: own.clone(),
            runtime: runtime.clone(),
            role,
            instance: instance.clone(),
            epoch: epoch.clone(),
            process: Process { boot: "machine".into(), pid, started: 0 },
            times: LeaseTimes::INSTANCE,
            dispatcher: LeaseTimes::DISPATCHER,
        };
        let membership = applicant.join(Arc::new(view.clone()), serves.clone(), |_| false).await.unwrap();
        let mut config = EngineConfig::new(instance.clone());
        config.role = role;
        let cluster = membership.cluster.clone();
        let dispatch = cluster.dispatch.clone();
        let shared: Arc<dyn Bus> = bus;
        let sinks: Vec<Arc<dyn Sink>> = vec![sink.clone()];
        let engine = Engine::new(
            config.clone(),
            shared.clone(),
            sinks,
            table(),
            self.world.metrics.clone(),
            runtime.clone(),
        )
        .in_cluster(cluster);
        let engine_state = engine.state();
        let ledger = Ledger::new(own, runtime.clone(), instance.as_str());
        let takeover = Takeover::new(shared, leases, ledger, dispatch, config, runtime.clone());
        let leave = CancellationToken::new();
        let gone = leave.clone();
        tasks.spawn(async move {
            let ended = engine.run().await;
            gone.cancel();
            Some(ended)
        });
        tasks.spawn(async move {
            let (_serves, serves) = watch::channel(serves);
            membership.keep(serves, leave).await;
            None
        });
        tasks.spawn(async move {
            takeover.run().await;
            None
        });
        Node { instance, sink, state, engine: engine_state, epoch, view, stop, tasks }
    }

    fn runtime(&self, stop: &CancellationToken) -> Runtime {
        let mut runtime = self.world.runtime.clone();
        runtime.stop = stop.clone();
        runtime
    }
}

impl Node {
    pub(crate) async fn runs(&mut self) {
        self.engine.wait_for(|state| *state == EngineState::Running).await.unwrap();
    }

    /// A user connects to this gateway.
    pub(crate) async fn connect(&self, user: &str) {
        self.sink.begins_to_serve(user);
        let key = Key::parse(&format!("{}.{}", Key::hex(user), self.instance)).unwrap();
        let value = Bytes::from(format!(r#"{{"epoch":"{}","connections":1}}"#, self.epoch));
        self.state.put(Space::Presence, &key, value, Expected::Anything).await.unwrap();
    }

    /// Whether it knows of another gateway to which this user is connected.
    pub(crate) fn knows(&self, user: &str) -> bool {
        !self.view.serving("socket", &Audience::User(user.into())).is_empty()
    }

    /// Whether it has this user, or knows that another has.
    pub(crate) fn knows_or_has(&self, user: &str) -> bool {
        let target = Audience::User(user.into());
        self.knows(user) || self.sink.availability(&target) == Availability::Ready
    }

    pub(crate) async fn tidies(&self) -> usize {
        self.view.tidy(&*self.state).await
    }

    /// As a process that dies: everything is dropped where it stands.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    /// As SIGTERM.
    pub(crate) async fn stop(mut self) -> Option<Ended> {
        self.stop.cancel();
        let mut ended = None;
        while let Some(task) = self.tasks.join_next().await {
            ended = ended.or(task.unwrap());
        }
        ended
    }

    /// Waits until the engine ends by itself.
    pub(crate) async fn ended(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.tasks.join_next().await.expect("the engine ends").unwrap() {
                return ended;
            }
        }
    }

    /// Cuts it off from the shared state, or lets it back.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.state.set_connected(reachable);
    }
}

pub(crate) const LEASE: Duration = LeaseTimes::INSTANCE.ttl;
