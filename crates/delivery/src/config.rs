//! How an engine is set up, and its bounds.

use std::time::Duration;

use chatbus_event::{InstanceId, Topic};

use crate::role::Role;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// This instance.
    pub instance: InstanceId,
    /// Which of its topics is read.
    pub role: Role,
    /// How long a delivery may take, from its first publication on an egress topic, when neither the
    /// `deadline` attribute nor `metadata.deadlineMs` says otherwise.
    pub deadline: Duration,
    /// Failures that a handler reported, after which a message is given up.
    pub max_deliveries: u32,
    /// For how long the bus drops a repeated message id. Finished deliveries are remembered for twice
    /// as long.
    pub dedupe_window: Duration,
    /// How long a stop may take.
    pub grace: Duration,
    /// Topics beyond the well-known ones that a `replyTo` may name.
    pub known_topics: Vec<Topic>,
    /// Bounds of everything that grows with traffic.
    pub limits: Limits,
    /// A mistake made on purpose.
    #[cfg(feature = "defects")]
    #[doc(hidden)]
    pub defect: Option<crate::defects::Defect>,
}

/// Bounds of everything that grows with traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries held unsettled from each topic. When all are held, conversations that empty theirs
    /// slowly give them up to their lanes.
    pub slots: usize,
    /// Bytes of events in memory, half of it for deliveries held unsettled and half for what is read back
    /// from lanes. When the first half is used up nothing more is read, and conversations that empty their
    /// slots slowly give all of them up; when the second is, the next read waits for a send to end. What is
    /// under way between the bus and the engine is the driver's to bound.
    pub bytes: usize,
    /// Slots a slow conversation keeps when others want them.
    pub kept_slots: usize,
    /// Events that wait in one conversation's lane; the next one is `overloaded`.
    pub lane: usize,
    /// Events that wait in all lanes together; the next one is `overloaded`. Since a conversation is
    /// forgotten when nothing of it waits or is in flight, this bounds conversations too.
    pub waiting: usize,
    /// Outcomes that the bus has not confirmed yet. When so many are open nothing new is sent.
    pub unconfirmed: usize,
    /// Finished deliveries remembered; when full the oldest is forgotten early, and a redelivery of it
    /// would be caught only by the bus's own dedupe of its outcome.
    pub finished: usize,
    /// Lane records read at the same time.
    pub fetches: usize,
}

/// The longest a delivery may take, whoever asks for it.
pub const MAX_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// An event first read after its deadline still gets one attempt when it is not older than this.
pub const LATE_BUT_TRIED: Duration = Duration::from_secs(10 * 60);
/// How long such an attempt may wait for a connection.
pub const LATE_CHANCE: Duration = Duration::from_secs(15);
/// Forwards between topics after which an event stays where it is.
pub const MAX_HOPS: u32 = 3;
/// A connection that is gone for longer than this is looked for elsewhere.
pub const PATIENCE: Duration = Duration::from_secs(5);

// === impl EngineConfig ===

impl EngineConfig {
    /// The defaults of contract section 2.
    pub fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            role: Role::IngressEgress,
            deadline: Duration::from_secs(60),
            max_deliveries: 5,
            dedupe_window: Duration::from_secs(120),
            grace: Duration::from_secs(8),
            known_topics: Vec::new(),
            limits: Limits::default(),
            #[cfg(feature = "defects")]
            defect: None,
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            slots: chatbus_bus::limits::MAX_IN_FLIGHT,
            // Far above what chat's events need, and 128 of the largest on each side.
            bytes: 64 * 1024 * 1024,
            kept_slots: 4,
            lane: 1_000,
            waiting: 50_000,
            unconfirmed: 1_024,
            finished: 131_072,
            fetches: 64,
        }
    }
}
