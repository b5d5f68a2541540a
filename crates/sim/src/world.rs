//! A run: the servers, the platforms, the instances, and what happens to them at which moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_bus::{
    Bus, EventDeadLetters, MemoryBus, MemoryConfig, MemoryStore, Message, Publish as _, Record, Scan,
    ScanFrom, ScanTopics,
};
use chatbus_delivery::{EngineConfig, Role};
use chatbus_event::{Attributes, Family, MessageId, Topic, names};
use chatbus_runtime::{CancellationToken, Runtime, Spawner, Task};
use chatbus_state::MemoryStateStore;
use chatbus_telemetry::Metrics;
use tokio::sync::mpsc;

use crate::bus::ACK_WAIT;
use crate::check::{self, Evidence, Harm, HarmKind};
use crate::clock::{SimClock, Skew, now};
use crate::link::{Link, Weather, pause};
use crate::node::{Around, Node};
use crate::plan::{Plan, What};
use crate::platform::{Platforms, Reach};
use crate::process::{End, Machine};
use crate::rng::{Rng, SharedRng};
use crate::trace::Trace;
use crate::wrong::Wrong;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What did not hold; empty when all did.
    pub wrong: Vec<Wrong>,
    /// What happened, when it was asked for.
    pub trace: String,
    /// Crashes, freezes and other faults that struck.
    pub struck: usize,
    /// Texts that were said.
    pub said: usize,
}

/// What happens at some moment.
#[derive(Debug, Clone)]
enum Action {
    Publish(usize),
    Move(usize),
    Fault(usize),
    /// The end of one, by its place in the plan.
    Over(usize),
    Start {
        instance: usize,
        known_over: bool,
    },
    Again {
        instance: usize,
        user: &'static str,
    },
    TakeBack(usize),
}

struct World<'a> {
    plan: &'a Plan,
    start: Instant,
    trace: Trace,
    bus: Arc<MemoryBus>,
    around: Around,
    nodes: Vec<Node>,
    agenda: BTreeMap<(Instant, u64), Action>,
    entries: u64,
    rng: Rng,
    harms: Vec<Harm>,
    /// Where in [`World::harms`] the one is that lasts now, by its place in the plan.
    lasting: BTreeMap<usize, usize>,
    /// How an instance comes back whose end was planned.
    back: BTreeMap<usize, (Duration, bool)>,
    published: BTreeMap<String, Instant>,
    /// Each start of an instance.
    starts: Vec<(usize, Instant)>,
    machine: Arc<Machine>,
    ends: mpsc::Sender<(usize, End)>,
    ended: mpsc::Receiver<(usize, End)>,
}

/// Spawns what servers do.
#[derive(Debug)]
struct ServerSpawner;

/// The longest that anything may take after everything is well again.
const PATIENCE: Duration = Duration::from_secs(400);
/// How long it may take until something cut off is asked again.
const AFTER_CUT: Duration = Duration::from_secs(3);
/// How long a world is watched after its last outcome, for one too many.
const WATCHED: Duration = Duration::from_secs(20);

impl Spawner for ServerSpawner {
    #[expect(clippy::disallowed_methods, reason = "what servers do is no task of a process")]
    fn spawn(&self, _: &'static str, task: Task) {
        tokio::spawn(task);
    }
}

/// Runs a plan.
///
/// # Panics
/// When the executor cannot be made, which needs nothing but memory.
pub fn run(plan: &Plan, listens: bool, configure: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(async { World::new(plan, listens, Arc::new(configure)).run().await }),
        Err(error) => Ran {
            wrong: vec![Wrong::Unsettled(format!("no executor: {error}"))],
            trace: String::new(),
            struck: 0,
            said: 0,
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "the world is the machine's owner")]
fn start_machine(machine: &Arc<Machine>) {
    tokio::spawn(machine.clone().run());
}

// === impl World ===

impl<'a> World<'a> {
    fn new(plan: &'a Plan, listens: bool, configure: Arc<dyn Fn(&mut EngineConfig) + Send + Sync>) -> Self {
        let start = now();
        let trace = Trace::new(start, listens);
        let clock = Arc::new(SimClock::new(start, Skew::default()));
        let server = Runtime {
            clock: clock.clone(),
            entropy: Arc::new(SharedRng::new(plan.seed, 2)),
            spawner: Arc::new(ServerSpawner),
            stop: CancellationToken::new(),
        };
        let store = MemoryStore::new();
        let states = MemoryStateStore::new(clock);
        let letters = Arc::new(EventDeadLetters::new("world", server.clone()));
        let bus = Arc::new(MemoryBus::new(&store, MemoryConfig::default(), letters, server.clone()));
        let platforms = Arc::<Platforms>::default();
        for event in &plan.events {
            platforms.answers(&event.name, event.answer);
        }
        let nodes: Vec<Node> = plan
            .instances
            .iter()
            .enumerate()
            .map(|(at, instance)| Node {
                plan: instance.clone(),
                at,
                link: Arc::new(Link::new(
                    &instance.name,
                    trace.clone(),
                    SharedRng::new(plan.seed, 100 + at as u64),
                    states.open(),
                )),
                reach: Arc::new(Reach::new(instance.channels.clone())),
                clock: Arc::new(SimClock::new(start, instance.skew)),
                life: None,
                lives: 0,
            })
            .collect();
        let (ends, ended) = mpsc::channel(64);
        let machine = Arc::<Machine>::default();
        start_machine(&machine);
        let around = Around { store, server, platforms, metrics: Metrics::new(), seed: plan.seed, configure };
        let mut world = Self {
            plan,
            start,
            trace,
            bus,
            around,
            nodes,
            agenda: BTreeMap::new(),
            entries: 0,
            rng: Rng::new(plan.seed, 3),
            harms: Vec::new(),
            lasting: BTreeMap::new(),
            back: BTreeMap::new(),
            published: BTreeMap::new(),
            starts: Vec::new(),
            machine,
            ends,
            ended,
        };
        world.fill_agenda();
        world
    }

    fn fill_agenda(&mut self) {
        let start = self.start;
        for instance in 0..self.nodes.len() {
            let at = start + self.rng.millis(0, 3_000);
            self.plan_at(at, Action::Start { instance, known_over: false });
        }
        let plan = self.plan;
        for (n, event) in plan.events.iter().enumerate() {
            self.plan_at(start + event.at, Action::Publish(n));
            if event.twice {
                let later = self.rng.millis(1, 5_000);
                self.plan_at(start + event.at + later, Action::Publish(n));
            }
        }
        for (n, moved) in plan.moves.iter().enumerate() {
            self.plan_at(start + moved.at, Action::Move(n));
        }
        for (n, fault) in plan.faults.iter().enumerate() {
            self.plan_at(start + fault.at, Action::Fault(n));
        }
    }

    fn plan_at(&mut self, at: Instant, action: Action) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), action);
    }

    async fn run(mut self) -> Ran {
        while self.agenda.first_key_value().is_some() || self.nodes.iter().any(|node| node.life.is_none()) {
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            tokio::select! {
                biased;
                Some((instance, how)) = self.ended.recv() => self.on_end(instance, how),
                () = tokio::time::sleep_until(next.unwrap_or_else(now).into()), if next.is_some() => {
                    if let Some((_, action)) = self.agenda.pop_first() {
                        self.act(action).await;
                    }
                }
            }
        }
        self.trace.say("world", || "all is well again".to_owned());
        let settled = self.settle().await;
        pause(WATCHED).await;
        let evidence = self.evidence().await;
        let mut wrong = check::check(self.plan, &evidence);
        if !settled {
            wrong.push(Wrong::Unsettled(format!("not settled {PATIENCE:?} after all was well again")));
        }
        let (struck, said) = (self.harms.len(), evidence.said.len());
        // What still runs must not speak while it is dropped.
        let trace = self.trace.text();
        Ran { wrong, trace, struck, said }
    }

    #[expect(clippy::disallowed_methods, reason = "the world starts its processes")]
    fn start(&mut self, instance: usize, known_over: bool) {
        let Some(node) = self.nodes.get_mut(instance).filter(|node| node.life.is_none()) else { return };
        let (process, network) = node.start(&self.around, known_over);
        node.link.say(|| format!("starts, life {}", node.lives));
        self.starts.push((instance, now()));
        let ends = self.ends.clone();
        self.machine.start(async move {
            let end = process.await;
            let _ = ends.send((instance, end)).await;
        });
        tokio::spawn(network);
    }

    fn on_end(&mut self, instance: usize, how: End) {
        let Some(node) = self.nodes.get_mut(instance) else { return };
        let users = node.ended(how);
        self.harms.push(Harm { instance, from: now(), to: now() + ACK_WAIT, kind: HarmKind::Crash });
        let (back, known_over) = self.back.remove(&instance).unwrap_or((Duration::from_secs(5), false));
        self.plan_at(now() + back, Action::Start { instance, known_over });
        for user in users {
            let again = back + self.rng.millis(500, 4_000);
            self.plan_at(now() + again, Action::Again { instance, user });
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Publish(n) => self.publish(n).await,
            Action::Move(n) => {
                let Some(moved) = self.plan.moves.get(n) else { return };
                self.set_user(moved.instance, moved.user, moved.comes);
            }
            Action::Again { instance, user } => self.set_user(instance, user, true),
            Action::Start { instance, known_over } => self.start(instance, known_over),
            Action::Fault(n) => self.begin(n),
            Action::Over(n) => self.end(n),
            Action::TakeBack(instance) => {
                if let Some(node) = self.nodes.get(instance) {
                    node.link.take_back();
                }
            }
        }
    }

    fn set_user(&mut self, instance: usize, user: &'static str, comes: bool) {
        let Some(node) = self.nodes.get(instance) else { return };
        if comes && node.life.is_none() {
            // Nobody answers; tried again in a while.
            return self.plan_at(now() + Duration::from_secs(2), Action::Again { instance, user });
        }
        node.link.say(|| format!("{user} {}", if comes { "connects" } else { "disconnects" }));
        node.reach.set_user(user, comes);
    }

    async fn publish(&mut self, n: usize) {
        let Some(event) = self.plan.events.get(n) else { return };
        let Ok(topic) = Topic::parse(&event.topic) else { return };
        let mut attributes = Attributes::with_capacity(4);
        attributes.set(names::CORRELATION_ID, &event.name);
        if let Some(id) = &event.delivery_id {
            attributes.set(names::DELIVERY_ID, id);
        }
        let message = Message::new(
            MessageId::new(&format!("m-{}", event.name)),
            attributes,
            Bytes::from(event.body.clone()),
        );
        self.trace.say("world", || format!("publishes {} on {topic}: {}", event.name, event.body));
        let _ = self.bus.publish(&topic, message).await;
        self.published.entry(event.name.clone()).or_insert_with(now);
    }

    fn begin(&mut self, n: usize) {
        let Some(fault) = self.plan.faults.get(n) else { return };
        let Some(node) = self.nodes.get(fault.instance) else { return };
        let what = &fault.what;
        node.link.say(|| format!("FAULT {what:?}"));
        let mut lasting = None;
        let mut harm = None;
        match *what {
            What::Crash { awaits, back, known_over } => {
                if let Some(life) = &node.life {
                    life.control.arm(awaits);
                    self.back.insert(fault.instance, (back, known_over));
                }
            }
            What::Stop { back } => {
                if let Some(life) = &node.life {
                    life.stop.cancel();
                    self.back.insert(fault.instance, (back, true));
                }
            }
            What::Freeze { lasts } => {
                if let Some(life) = &node.life {
                    life.control.set_frozen(true);
                }
                (lasting, harm) = (Some(lasts), Some(HarmKind::Freeze));
            }
            What::Cut { bus, state, lasts } => {
                if bus {
                    node.link.set_bus(false);
                }
                if state {
                    node.link.state.set_connected(false);
                }
                (lasting, harm) = (Some(lasts), Some(HarmKind::Cut));
            }
            What::Outage { lasts } => {
                for node in &self.nodes {
                    node.link.set_bus(false);
                    node.link.state.set_connected(false);
                    let harm = Harm {
                        instance: node.at,
                        from: now(),
                        to: now() + lasts + AFTER_CUT,
                        kind: HarmKind::Cut,
                    };
                    self.harms.push(harm);
                }
                lasting = Some(lasts);
            }
            What::Flaky { bus, state, lasts } => {
                let mut weather = node.link.weather();
                (weather.flaky_bus, weather.flaky_state) = (bus, state);
                (lasting, harm) = (Some(lasts), Some(HarmKind::Flaky));
            }
            What::Slow { most, lasts } => {
                node.link.weather().slow_ms = u64::try_from(most.as_millis()).unwrap_or(0);
                (lasting, harm) = (Some(lasts), Some(HarmKind::Slow));
            }
            What::Repeats { percent, lasts } => {
                node.link.weather().repeats = percent;
                (lasting, harm) = (Some(lasts), Some(HarmKind::Repeats));
            }
            What::Disconnected { platform, lasts } => {
                node.reach.set_lost(platform, Some(node.instant()));
                (lasting, harm) = (Some(lasts), Some(HarmKind::Disconnected));
            }
        }
        if let Some(kind) = harm {
            let to = now() + lasting.unwrap_or_default();
            self.harms.push(Harm { instance: fault.instance, from: now(), to, kind });
            self.lasting.insert(n, self.harms.len() - 1);
        }
        if let Some(lasts) = lasting {
            self.plan_at(now() + lasts, Action::Over(n));
            if lasts > ACK_WAIT && matches!(what, What::Freeze { .. } | What::Cut { bus: true, .. }) {
                self.plan_at(now() + ACK_WAIT, Action::TakeBack(fault.instance));
            }
        }
    }

    fn end(&mut self, n: usize) {
        let Some(fault) = self.plan.faults.get(n) else { return };
        let Some(node) = self.nodes.get(fault.instance) else { return };
        node.link.say(|| format!("over: {:?}", fault.what));
        match fault.what {
            What::Freeze { .. } => {
                if let Some(life) = &node.life {
                    life.control.set_frozen(false);
                }
            }
            What::Cut { .. } => {
                node.link.set_bus(true);
                node.link.state.set_connected(true);
            }
            What::Outage { .. } => {
                for node in &self.nodes {
                    node.link.set_bus(true);
                    node.link.state.set_connected(true);
                }
            }
            What::Disconnected { platform, .. } => node.reach.set_lost(platform, None),
            What::Flaky { .. } | What::Slow { .. } | What::Repeats { .. } => {
                *node.link.weather() = Weather::default();
            }
            What::Crash { .. } | What::Stop { .. } => {}
        }
        if let Some(harm) = self.lasting.remove(&n).and_then(|at| self.harms.get_mut(at)) {
            // A lease that was not renewed while cut off may be lost a little later.
            harm.to = now() + if harm.kind == HarmKind::Cut { AFTER_CUT } else { Duration::ZERO };
        }
    }

    /// Waits until nothing is left to do; gives whether that came.
    async fn settle(&mut self) -> bool {
        let end = now() + PATIENCE;
        while now() < end {
            // A fuse that was set may burn late.
            while let Ok((instance, how)) = self.ended.try_recv() {
                self.on_end(instance, how);
            }
            while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now()) {
                let action = entry.remove();
                self.act(action).await;
            }
            if self.left().await.is_empty() && self.finalized().await.len() >= self.published.len() {
                return true;
            }
            pause(Duration::from_secs(1)).await;
        }
        false
    }

    async fn records(&self, topics: ScanTopics) -> Vec<Record> {
        let mut all = Vec::new();
        let scan = Scan { topics, from: ScanFrom::Oldest, follow: false };
        if let Ok(mut records) = self.bus.scan(scan).await {
            while let Some(Ok(record)) = records.next().await {
                all.push(record);
            }
        }
        all
    }

    async fn finalized(&self) -> Vec<Record> {
        self.records(ScanTopics::Family(Family::Finalizer)).await
    }

    /// What waits in egress topics and lanes.
    async fn left(&self) -> Vec<Record> {
        let mut left = Vec::new();
        for family in [Family::Egress, Family::InstanceEgress, Family::ApiEgress, Family::Lane] {
            left.extend(self.records(ScanTopics::Family(family)).await);
        }
        left
    }

    async fn evidence(&self) -> Evidence {
        let uncertain = self.nodes.iter().flat_map(|node| {
            let all = node.link.uncertain.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            let harm = move |(from, to)| Harm { instance: node.at, from, to, kind: HarmKind::Uncertain };
            all.into_iter().map(harm)
        });
        let left = self.left().await;
        Evidence {
            start: self.start,
            published: self.published.clone(),
            starts: self.starts.clone(),
            outcomes: self.finalized().await,
            letters: self.records(ScanTopics::One(Topic::dead_letter())).await,
            left,
            said: self.around.platforms.said(),
            harms: self.harms.iter().cloned().chain(uncertain).collect(),
            gateways: self
                .nodes
                .iter()
                .filter(|node| node.plan.role == Role::ApiGateway)
                .map(|node| node.at)
                .collect(),
        }
    }
}
