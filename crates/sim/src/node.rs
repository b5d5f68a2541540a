//! An instance through all of its lives: what it is made of as shipped, and how it is started.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chatbus_bus::{Bus, EventDeadLetters, MemoryBus, MemoryConfig, MemoryStore};
use chatbus_connector::Sink;
use chatbus_delivery::{
    Applicant, ClusterView, Defect, Ended, Engine, EngineConfig, Ledger, Membership, Platform, PlatformTable,
    Process, Reach as Audience, Role, Takeover,
};
use chatbus_event::{Clock, InstanceId};
use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use chatbus_state::{Expected, Key, LeaseTimes, LeaseView, Space, State};
use chatbus_telemetry::Metrics;
use tokio::sync::watch;

use crate::bus::SimBus;
use crate::clock::SimClock;
use crate::link::Link;
use crate::plan::{BROOK, DELTA, Instance, SOCKET, SOCKET_ALIAS};
use crate::platform::{Platforms, Reach, SimSink};
use crate::process::{self, Control, End, ProcessSpawner};
use crate::rng::SharedRng;
use crate::state::SimState;

/// An instance through all of its lives.
pub(crate) struct Node {
    pub(crate) plan: Instance,
    pub(crate) at: usize,
    pub(crate) link: Arc<Link>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) clock: Arc<SimClock>,
    /// Its life now.
    pub(crate) life: Option<Life>,
    pub(crate) lives: u32,
}

/// One life.
pub(crate) struct Life {
    pub(crate) control: Arc<Control>,
    pub(crate) stop: CancellationToken,
}

/// What every life needs of the world.
pub(crate) struct Around {
    pub(crate) store: MemoryStore,
    pub(crate) server: Runtime,
    pub(crate) platforms: Arc<Platforms>,
    pub(crate) metrics: Metrics,
    pub(crate) seed: u64,
    pub(crate) configure: Arc<dyn Fn(&mut EngineConfig) + Send + Sync>,
}

/// What one life is made of.
struct Parts {
    instance: InstanceId,
    role: Role,
    runtime: Runtime,
    state: Arc<dyn State>,
    bus: Arc<dyn Bus>,
    sinks: Vec<Arc<dyn Sink>>,
    reach: Arc<Reach>,
    link: Arc<Link>,
    metrics: Metrics,
    pid: u32,
    known_over: bool,
    configure: Arc<dyn Fn(&mut EngineConfig) + Send + Sync>,
}

fn table() -> PlatformTable {
    let platform = |name, aliases, reach| Platform { name, aliases, reach };
    PlatformTable::new([
        platform(BROOK, &[], Audience::Public),
        platform(DELTA, &[], Audience::Public),
        platform(SOCKET, &[SOCKET_ALIAS], Audience::Gateway),
    ])
}

// === impl Node ===

impl Node {
    /// Begins a life. Gives its process, and what the wire does for it.
    pub(crate) fn start(
        &mut self,
        around: &Around,
        known_over: bool,
    ) -> (process::Process, impl Future<Output = ()> + Send + 'static) {
        self.lives += 1;
        let control = Arc::<Control>::default();
        let stop = CancellationToken::new();
        let stream = 1_000 + self.at as u64 * 100 + u64::from(self.lives);
        let runtime = Runtime {
            clock: self.clock.clone(),
            entropy: Arc::new(SharedRng::new(around.seed, stream)),
            spawner: Arc::new(ProcessSpawner(control.clone())),
            stop: stop.clone(),
        };
        let letters = Arc::new(EventDeadLetters::new(self.plan.name.clone(), runtime.clone()));
        let inner = Arc::new(MemoryBus::new(
            &around.store,
            MemoryConfig::default(),
            letters.clone(),
            around.server.clone(),
        ));
        let (bus, client, network) = SimBus::new(inner, self.link.clone(), control.clone(), letters.clone());
        let bus: Arc<dyn Bus> = Arc::new(bus);
        letters.attach(&bus);
        runtime.spawn("bus.client", client);
        let platforms: &[&'static str] =
            if self.plan.role == Role::ApiGateway { &[SOCKET] } else { &[BROOK, DELTA] };
        let sink = |platform: &&'static str| -> Arc<dyn Sink> {
            Arc::new(SimSink {
                platform,
                instance: self.at,
                reach: self.reach.clone(),
                platforms: around.platforms.clone(),
                link: self.link.clone(),
                control: control.clone(),
                clock: self.clock.clone(),
            })
        };
        let parts = InstanceId::parse(&self.plan.name).ok().map(|instance| Parts {
            instance,
            role: self.plan.role,
            state: Arc::new(SimState { link: self.link.clone(), control: control.clone() }),
            bus,
            sinks: platforms.iter().map(sink).collect(),
            reach: self.reach.clone(),
            link: self.link.clone(),
            metrics: around.metrics.clone(),
            pid: self.lives,
            known_over,
            configure: around.configure.clone(),
            runtime,
        });
        let process = process::Process::new(
            control.clone(),
            Box::pin(async move {
                if let Some(parts) = parts {
                    Box::pin(parts.live()).await;
                }
            }),
        );
        self.life = Some(Life { control, stop });
        (process, network)
    }

    /// Its life is over: so are its users' connections, until they come again.
    pub(crate) fn ended(&mut self, how: End) -> Vec<&'static str> {
        self.life = None;
        self.link.say(|| format!("process over: {how:?}"));
        let users = self.reach.users();
        users.iter().for_each(|user| self.reach.set_user(user, false));
        users
    }

    /// The moment by its clock.
    pub(crate) fn instant(&self) -> std::time::Instant {
        self.clock.instant()
    }
}

// === impl Parts ===

impl Parts {
    /// From its start to its stop, however often it loses its lease in between.
    async fn live(self) {
        let Self { runtime, state, .. } = &self;
        let leases = LeaseView::new(LeaseTimes::INSTANCE.ttl, runtime.clock.clone());
        let view = ClusterView::new(self.role, self.instance.clone(), SOCKET, leases.clone());
        {
            let (leases, state, own) = (leases.clone(), state.clone(), runtime.clone());
            runtime.spawn("leases", async move { leases.keep(state, own).await });
            let (view, state, own) = (view.clone(), self.state.clone(), runtime.clone());
            runtime.spawn("view", async move { view.keep(state, own).await });
        }
        let janitors = self.janitors(&leases);
        let epoch = watch::Sender::new(None);
        let life: Arc<str> = runtime.entropy.uuid().simple().to_string().into();
        if self.role == Role::ApiGateway {
            let presence = Presence {
                instance: self.instance.clone(),
                state: state.clone(),
                reach: self.reach.clone(),
                runtime: runtime.clone(),
            };
            runtime.spawn("presence", presence.keep(epoch.subscribe()));
        }
        let mut was_here = self.known_over;
        while !runtime.stop.is_cancelled() {
            let applicant = self.applicant(life.clone());
            let pid = self.pid;
            let is_over = move |there: &Process| there.pid == pid || (was_here && there.pid < pid);
            let Some(membership) = applicant.join(Arc::new(view.clone()), self.reach.serves(), is_over).await
            else {
                return;
            };
            was_here = true;
            self.link.say(|| "has its lease".to_owned());
            epoch.send_replace(Some(life.clone()));
            Box::pin(self.serve(membership, &janitors)).await;
        }
    }

    /// The leases as the takeover sees them: as everybody does, but by mistake without the grace, where who
    /// is late with one renewal is dead.
    fn janitors(&self, leases: &LeaseView) -> LeaseView {
        let mut config = EngineConfig::new(self.instance.clone());
        (self.configure)(&mut config);
        if config.defect != Some(Defect::NoGrace) {
            return leases.clone();
        }
        let hasty = LeaseView::new(LeaseTimes::INSTANCE.renew, self.runtime.clock.clone());
        let (view, state, own) = (hasty.clone(), self.state.clone(), self.runtime.clone());
        self.runtime.spawn("hasty", async move { view.keep(state, own).await });
        hasty
    }

    fn applicant(&self, epoch: Arc<str>) -> Applicant {
        Applicant {
            state: self.state.clone(),
            runtime: self.runtime.clone(),
            role: self.role,
            instance: self.instance.clone(),
            epoch,
            process: Process { boot: self.instance.to_string(), pid: self.pid, started: 0 },
            times: LeaseTimes::INSTANCE,
            dispatcher: LeaseTimes::DISPATCHER,
        }
    }

    /// As long as it has its lease.
    async fn serve(&self, membership: Membership, leases: &LeaseView) {
        let runtime = &self.runtime;
        let mut config = EngineConfig::new(self.instance.clone());
        config.role = self.role;
        (self.configure)(&mut config);
        let cluster = membership.cluster.clone();
        let dispatch = cluster.dispatch.clone();
        let engine = Engine::new(
            config.clone(),
            self.bus.clone(),
            self.sinks.clone(),
            table(),
            self.metrics.clone(),
            runtime.clone(),
        )
        .in_cluster(cluster);
        let ledger = Ledger::new(self.state.clone(), runtime.clone(), self.instance.as_str());
        let mut dispatches = dispatch.clone();
        let takeover =
            Takeover::new(self.bus.clone(), leases.clone(), ledger, dispatch, config, runtime.clone());
        let leave = CancellationToken::new();
        let (serves, served) = watch::channel(self.reach.serves());
        let mut changes = self.reach.changes();
        let follow = async {
            while changes.changed().await.is_ok() {
                serves.send_replace(self.reach.serves());
            }
        };
        let tell = async {
            while dispatches.changed().await.is_ok() {
                let is = dispatches.borrow_and_update().is_some();
                self.link.say(|| if is { "dispatches" } else { "dispatches no more" }.to_owned());
            }
            std::future::pending::<()>().await;
        };
        let engine = async {
            let ended = engine.run().await;
            self.link.say(|| format!("engine over: {ended:?}"));
            leave.cancel();
            ended
        };
        let keep = membership.keep(served, leave.clone());
        // It ends with the stop, the engine a little later.
        let take_over = async {
            takeover.run().await;
            std::future::pending::<()>().await;
        };
        let work = async { tokio::join!(engine, keep) };
        tokio::select! {
            biased;
            (Ended::Stopped | Ended::Lost, ()) = work => {}
            () = take_over => {}
            () = follow => {}
            () = tell => {}
        }
    }
}

/// Keeps the presence of this gateway's users.
struct Presence {
    instance: InstanceId,
    state: Arc<dyn State>,
    reach: Arc<Reach>,
    runtime: Runtime,
}

// === impl Presence ===

impl Presence {
    async fn keep(self, mut epoch: watch::Receiver<Option<Arc<str>>>) {
        let written = Mutex::new(std::collections::BTreeMap::<&'static str, Arc<str>>::new());
        let mut changes = self.reach.changes();
        loop {
            changes.borrow_and_update();
            let now = epoch.borrow_and_update().clone();
            if let Some(epoch) = &now {
                self.write(epoch, &written).await;
            }
            tokio::select! {
                biased;
                changed = epoch.changed() => if changed.is_err() { return },
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn write(
        &self,
        epoch: &Arc<str>,
        written: &Mutex<std::collections::BTreeMap<&'static str, Arc<str>>>,
    ) {
        let lock = || written.lock().unwrap_or_else(PoisonError::into_inner);
        let mut backoff =
            Backoff::new(std::time::Duration::from_millis(50), std::time::Duration::from_secs(1));
        loop {
            let there = self.reach.users();
            let wrong = {
                let written = lock();
                let missing =
                    there.iter().find(|user| written.get(*user) != Some(epoch)).map(|user| (*user, true));
                missing
                    .or_else(|| written.keys().find(|user| !there.contains(user)).map(|user| (*user, false)))
            };
            let Some((user, is_here)) = wrong else { return };
            let Ok(key) = Key::parse(&format!("{}.{}", Key::hex(user), self.instance)) else { return };
            let done = if is_here {
                let value = Bytes::from(format!(r#"{{"epoch":"{epoch}","connections":1}}"#));
                self.state.put(Space::Presence, &key, value, Expected::Anything).await.is_ok()
            } else {
                self.state.remove(Space::Presence, &key, Expected::Anything).await.is_ok()
            };
            if !done {
                tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await;
            } else if is_here {
                lock().insert(user, epoch.clone());
            } else {
                lock().remove(user);
            }
        }
    }
}
