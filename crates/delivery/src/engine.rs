//! The loop: one task that owns everything the engine knows.
//!
//! Its inputs: answers to outcomes, jobs that are done (sends, reads of the lane) and deliveries, which are taken first
//! and some of them in a row; the stop signal, the loss of the lease, the state of the bus, timers, sinks
//! and peers that changed. Deciding is left to the pure modules; waiting is left to jobs, so the loop itself
//! never blocks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_bus::{Bus, BusStatus, Delivery, Group, Subscription};
use chatbus_connector::Sink;
use chatbus_event::{Timestamp, Topic};
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use chatbus_telemetry::Metrics;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt};
use tokio::sync::watch;
use tracing::info;

use crate::cluster::Cluster;
use crate::config::EngineConfig;
use crate::defects::Defect;
use crate::finished::Finished;
use crate::lanes::{ConversationId, Lanes, WorkId};
use crate::peers::PeerChange;
use crate::platform::PlatformTable;
use crate::policy::Policy;
use crate::slab::Slab;
use confirm::{Answered, Confirmations};
use jobs::{Done, Input, Intake, Job};
use weigh::{Held, Loads, Slot};
use work::Work;

mod advance;
mod confirm;
mod finish;
mod forward;
mod intake;
mod jobs;
mod legs;
pub(crate) mod letters;
mod meter;
mod recover;
mod stop;
mod weigh;
mod work;

/// The egress engine of one instance.
pub struct Engine {
    shared: Arc<Shared>,
    /// When the loop last woke.
    woke_at: Instant,
    /// What was published before may have been tried by an earlier life of this instance.
    started_at: Timestamp,
    /// The same for the generic topic.
    dispatches_since: Timestamp,
    state: watch::Sender<EngineState>,
    works: Slab<Work>,
    by_id: HashMap<Arc<str>, WorkId, foldhash::quality::RandomState>,
    lanes: Lanes,
    finished: Finished,
    /// Failed deliveries whose dead letter the last look-back did not find; no more than it found.
    owed: letters::Owed,
    /// Conversations to look at before waiting for the next input.
    ready: VecDeque<ConversationId>,
    /// Conversations that may go on when outcomes are confirmed or the look-back is over.
    stalled: BTreeSet<ConversationId>,
    /// Conversations that a change of a sink may let go on, by sink.
    by_sink: Vec<BTreeSet<ConversationId>>,
    deadlines: BTreeSet<(Instant, WorkId)>,
    wakes: BTreeSet<(Instant, ConversationId)>,
    to_fetch: VecDeque<WorkId>,
    fetching: usize,
    jobs: FuturesUnordered<Job>,
    /// Outcomes that were published.
    confirmations: Confirmations,
    /// Sends that were over at once, and are not dealt with yet.
    at_once: Vec<Done>,
    /// Deliveries held.
    held: Held,
    /// When slow conversations give up slots, once all of a topic's, or all bytes, are taken.
    relief: Option<Instant>,
    /// Outcomes the bus has not confirmed.
    unconfirmed: usize,
    /// The bus's epoch at the last look-back; `None` until the first is done.
    looked_back: Option<u64>,
    looking_back: bool,
    /// Whether the look-back under way began too early: another follows it.
    look_again: bool,
    bus_status: watch::Receiver<BusStatus>,
    /// Deliveries that came while outcomes had to be looked up first.
    unread: Vec<(Slot, Delivery)>,
    /// What is read of each topic: the instance's own, and the generic one while it dispatches that.
    intakes: [Option<Intake>; 2],
    /// Topics being joined.
    joining: [bool; 2],
    dispatch: watch::Receiver<Option<Fence>>,
    /// Whether the lease is lost: what is in hand is finished as far as that may be, and then it ends.
    is_lost: bool,
    /// Conversations that no sink here serves.
    unserved: BTreeSet<ConversationId>,
    /// When a stop must be over.
    stop_by: Option<Instant>,
    /// Cancelled when sends that still have no verdict are given up, at the end of a stop.
    cut: CancellationToken,
    cut_at: Option<Instant>,
}

/// How far an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// Looking back at outcomes, before anything is read: at the start, and after each break.
    LookingBack,
    /// Reading and saying.
    Running,
    /// Finishing what is in hand.
    Stopping,
    /// Over.
    Stopped,
}

/// What jobs need too.
struct Shared {
    config: EngineConfig,
    bus: Arc<dyn Bus>,
    sinks: Vec<Arc<dyn Sink>>,
    table: PlatformTable,
    metrics: Metrics,
    meter: meter::Meter,
    runtime: Runtime,
    cluster: Cluster,
    policy: Option<Arc<dyn Policy>>,
    /// The egress topics that are read: the instance's own, then the generic one.
    topics: [Topic; 2],
    lane: Topic,
    loads: Loads,
    /// Who we are in what we publish.
    source: String,
}

/// Why an engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// Its lease is lost: whoever wants to go on takes a new one, and starts a new engine.
    Lost,
}

/// The place of the instance's own topic.
const OWN: Input = 0;
/// The place of the generic topic.
const GENERIC: Input = 1;
/// The one group of an egress topic.
const GROUP: &str = "egress";
/// How long all slots of a topic are taken before slow conversations give theirs up.
const RELIEF_AFTER: Duration = Duration::from_millis(10);
/// Jobs and deliveries in a row before all else has its turn.
const EAGER: u32 = 16;
/// Deliveries that are taken together.
const TOGETHER: usize = 16;
/// The longest the loop sleeps; also bounds how late it notices a timer that moved.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

enum Happened {
    Stop,
    Bus,
    Done(Done),
    Answered(Answered),
    Timer,
    SinkChanged(usize),
    Delivered(Input, Delivery),
    Closed(Input),
    Lost,
    Dispatch,
    PeersChanged(PeerChange),
}

impl From<(Input, Option<Delivery>)> for Happened {
    fn from((input, next): (Input, Option<Delivery>)) -> Self {
        match next {
            Some(delivery) => Self::Delivered(input, delivery),
            None => Self::Closed(input),
        }
    }
}

// === impl Engine ===

impl Engine {
    /// An engine that says things through these sinks, at most one for each platform of the table.
    pub fn new(
        config: EngineConfig,
        bus: Arc<dyn Bus>,
        sinks: Vec<Arc<dyn Sink>>,
        table: PlatformTable,
        metrics: Metrics,
        runtime: Runtime,
    ) -> Self {
        let bus_status = bus.status();
        let finished = Finished::new(config.dedupe_window * 2, config.limits.finished);
        let topics = [config.role.topic(&config.instance), Topic::egress()];
        let cluster = Cluster::alone();
        let shared = Shared {
            meter: meter::Meter::new(&metrics, &topics, &sinks),
            topics,
            lane: config.role.lane(&config.instance),
            loads: Loads::default(),
            source: format!("{}.{}", config.role.as_str(), config.instance),
            config,
            bus,
            sinks,
            table,
            metrics,
            runtime,
            cluster,
            policy: None,
        };
        Self {
            dispatch: shared.cluster.dispatch.clone(),
            by_sink: shared.sinks.iter().map(|_| BTreeSet::new()).collect(),
            woke_at: shared.runtime.clock.instant(),
            started_at: shared.runtime.clock.now(),
            dispatches_since: shared.runtime.clock.now(),
            shared: Arc::new(shared),
            state: watch::Sender::new(EngineState::LookingBack),
            works: Slab::new(),
            by_id: HashMap::default(),
            lanes: Lanes::new(),
            finished,
            owed: letters::Owed::new(),
            ready: VecDeque::new(),
            stalled: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            wakes: BTreeSet::new(),
            to_fetch: VecDeque::new(),
            fetching: 0,
            jobs: FuturesUnordered::new(),
            confirmations: Confirmations::default(),
            at_once: Vec::new(),
            held: Held::default(),
            relief: None,
            unconfirmed: 0,
            looked_back: None,
            looking_back: false,
            look_again: false,
            bus_status,
            unread: Vec::new(),
            intakes: [None, None],
            joining: [false; 2],
            is_lost: false,
            unserved: BTreeSet::new(),
            stop_by: None,
            cut: CancellationToken::new(),
            cut_at: None,
        }
    }

    /// The same engine as one of several.
    #[must_use]
    pub fn in_cluster(mut self, cluster: Cluster) -> Self {
        self.dispatch = cluster.dispatch.clone();
        let mut cluster = cluster;
        if self.shared.config.has(Defect::NoLeaseCheck) {
            (cluster.fence, cluster.lost) = (Fence::always(), CancellationToken::new());
        }
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.cluster = cluster;
        }
        self
    }

    /// The same engine, asking this before every send.
    #[must_use]
    pub fn with_policy(mut self, policy: Arc<dyn Policy>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.policy = Some(policy);
        }
        self
    }

    /// What an engine for this instance reads, to be declared before anything is published there: its own
    /// topic, then the generic one.
    pub fn subscriptions(config: &EngineConfig) -> Vec<Subscription> {
        let Ok(group) = Group::parse(GROUP) else { return Vec::new() };
        [config.role.topic(&config.instance), Topic::egress()]
            .into_iter()
            .map(|topic| Subscription::new(topic, group.clone()).max_in_flight(config.limits.slots))
            .collect()
    }

    /// How far it is, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }

    /// Runs until the runtime's stop signal or the loss of its lease, and then for at most the configured
    /// grace. Dropping the future at any point is safe: what was not acknowledged comes again, what waits
    /// is in the lane.
    pub async fn run(mut self) -> Ended {
        let stop = self.shared.runtime.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut bus_status = self.bus_status.clone();
        let mut sinks = jobs::sink_changes(&self.shared.sinks);
        let mut peers = self.shared.cluster.peers.changes();
        let lost = self.shared.cluster.lost.clone();
        let mut lost = pin!(lost.cancelled());
        let mut turn = 0;
        let mut eager = EAGER;
        self.woke_at = self.shared.runtime.clock.instant();
        let mut sleep_end = self.now() + LONGEST_SLEEP;
        let mut sleep = pin!(tokio::time::sleep_until(sleep_end.into()));
        self.look_back();
        loop {
            self.advance_ready();
            if self.stop_is_over() {
                break;
            }
            // A timer that fires too early finds nothing to do; moving it for every message costs more.
            let next = self.next_timer();
            if next < sleep_end {
                sleep_end = next;
                sleep.as_mut().reset(next.into());
            }
            let reading = self.may_read();
            turn = 1 - turn;
            let is_ending = self.stop_by.is_some();
            // To look at everything costs as much as some of the work: what there is most of is taken alone
            // for so many turns, as long as there is any.
            eager = if eager == 0 { EAGER } else { eager - 1 };
            let Self { jobs: at_work, confirmations, intakes, dispatch, .. } = &mut self;
            let others = async {
                tokio::select! {
                    biased;
                    () = &mut stopped, if !is_ending => Happened::Stop,
                    () = &mut lost, if !is_ending => Happened::Lost,
                    Ok(()) = dispatch.changed() => Happened::Dispatch,
                    Ok(()) = bus_status.changed() => Happened::Bus,
                    () = &mut sleep => Happened::Timer,
                    Some(sink) = sinks.next(), if !sinks.is_empty() => Happened::SinkChanged(sink),
                    Some(change) = peers.next() => Happened::PeersChanged(change),
                }
            };
            let deliveries = jobs::next_delivery(intakes, turn);
            let happened = if eager > 0 {
                tokio::select! {
                    biased;
                    answered = confirmations.next() => Happened::Answered(answered),
                    Some(done) = at_work.next(), if !at_work.is_empty() => Happened::Done(done),
                    next = deliveries, if reading => next.into(),
                    other = others => other,
                }
            } else {
                tokio::select! {
                    biased;
                    other = others => other,
                    answered = confirmations.next() => Happened::Answered(answered),
                    Some(done) = at_work.next(), if !at_work.is_empty() => Happened::Done(done),
                    next = deliveries, if reading => next.into(),
                }
            };
            self.woke_at = self.shared.runtime.clock.instant();
            match happened {
                Happened::Stop => self.begin_stop(),
                Happened::Bus => self.look_back_if_broken(),
                Happened::Done(done) => self.on_done(done),
                Happened::Answered(answered) => {
                    self.on_answered(answered);
                    // Answers come many at a time.
                    while let Some(answered) = self.confirmations.next().now_or_never() {
                        self.on_answered(answered);
                    }
                }
                Happened::Timer => {
                    self.on_timer();
                    sleep_end = self.next_timer();
                    sleep.as_mut().reset(sleep_end.into());
                }
                Happened::SinkChanged(sink) => self.on_sink_changed(sink),
                Happened::Delivered(input, delivery) => {
                    self.on_delivery(input, delivery);
                    self.take_more(input);
                    // What they lead to is on its way before the next are taken: the bus works on it meanwhile.
                    self.advance_ready();
                    tokio::task::yield_now().await;
                }
                Happened::Closed(input) => self.close(input),
                Happened::Lost => self.on_lost(),
                Happened::Dispatch => self.on_dispatch(),
                Happened::PeersChanged(change) => self.on_peers_changed(&change),
            }
        }
        let left = self.by_id.len();
        info!(event = "egress.stopped", waiting = left, "egress stopped");
        self.state.send_replace(EngineState::Stopped);
        if self.is_lost { Ended::Lost } else { Ended::Stopped }
    }

    /// Takes what else was delivered by now on a topic, as far as that may be and not too much of it.
    fn take_more(&mut self, input: Input) {
        for _ in 1..TOGETHER {
            if !self.may_read() {
                return;
            }
            let next = self.intakes.get_mut(input).and_then(|intake| intake.as_mut()?.try_next());
            let Some(delivery) = next else { return };
            self.on_delivery(input, delivery);
        }
    }

    fn close(&mut self, input: Input) {
        if let Some(intake) = self.intakes.get_mut(input) {
            *intake = None;
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::LookedBack(found) => self.on_looked_back(found),
            Done::Subscribed { input, intake } => self.on_subscribed(input, intake),
            Done::Forwarded { work, stored } => self.on_forwarded(work, stored),
            Done::Sent { work, verdict, took } => self.on_verdict(work, &verdict, took),
            Done::Parked { work, seq } => self.on_parked(work, seq),
            Done::Fetched { work, record } => self.on_fetched(work, record),
            Done::Concluded { work, inputs } => self.on_concluded(work, inputs),
            Done::NotOurs { work, inputs } => self.on_not_ours(work, inputs),
            Done::Checked { again, gone } => self.on_checked(again, gone),
            Done::Settled { slot } => self.release(slot),
            Done::Cleared => {}
        }
    }

    /// The moment of this turn of the loop. Nothing in a turn waits, so it is looked up once.
    fn now(&self) -> Instant {
        self.woke_at
    }

    fn next_timer(&self) -> Instant {
        let timers = [
            self.deadlines.first().map(|(at, _)| *at),
            self.wakes.first().map(|(at, _)| *at),
            self.relief,
            self.cut_at,
            self.stop_by,
        ];
        let longest = self.now() + LONGEST_SLEEP;
        timers.into_iter().flatten().min().map_or(longest, |at| at.min(longest))
    }

    fn on_timer(&mut self) {
        let now = self.now();
        while let Some(&(at, work)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            self.expire(work);
        }
        while let Some(&(at, conversation)) = self.wakes.first()
            && at <= now
        {
            self.wakes.pop_first();
            self.ready.push_back(conversation);
        }
        if self.relief.is_some_and(|at| at <= now) {
            self.relieve(now);
        }
        if self.cut_at.is_some_and(|at| at <= now) {
            self.cut_at = None;
            self.cut.cancel();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("instance", &self.shared.config.instance).finish_non_exhaustive()
    }
}
