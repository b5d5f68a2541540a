//! What the bus, its members and its threads have in common.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chatbus_bus::{BusError, BusStatus, DeadLettering, Message, Record, Stored, Subscription};
use chatbus_event::{Family, Topic};
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::{oneshot, watch};

use crate::EmbeddedConfig;
use crate::group::{Claim, Group, Plan};
use crate::queue::Queue;
use crate::subject::Prefix;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, BusError>>;

/// One bus.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EmbeddedConfig,
    pub(crate) prefix: Prefix,
    pub(crate) runtime: Runtime,
    pub(crate) dead_lettering: Arc<dyn DeadLettering>,
    pub(crate) writes: Queue<Command>,
    pub(crate) reads: Queue<Read>,
    groups: RwLock<Vec<Arc<Group>>>,
    pub(crate) status: watch::Sender<BusStatus>,
    /// Changes with each commit that stored a message.
    pub(crate) commits: watch::Sender<u64>,
    /// Cancelled when members and followers are to end.
    pub(crate) closing: CancellationToken,
    /// Whether to end as a killed process would; for tests.
    pub(crate) killed: AtomicBool,
}

/// What the writer is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        topic: Topic,
        message: Message,
        reply: Reply<Stored>,
    },
    Settle {
        group: Arc<Group>,
        seq: u64,
        how: Settle,
        reply: Reply<()>,
    },
    Claim {
        group: Arc<Group>,
        claim: Claim,
    },
    /// These were to come again and are there no more.
    Gone {
        group: Arc<Group>,
        seqs: Vec<u64>,
    },
    Remove {
        topic: Topic,
        seq: u64,
        reply: Reply<()>,
    },
    Declare {
        subscriptions: Vec<Subscription>,
        reply: Reply<Vec<Arc<Group>>>,
    },
    DeleteGroup {
        topic: Topic,
        name: chatbus_bus::Group,
        reply: Reply<()>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    Ack,
    Retry { after: Duration },
}

/// What the reader is asked.
#[derive(Debug)]
pub(crate) enum Read {
    Fill {
        group: Arc<Group>,
        plan: Plan,
    },
    Fetch {
        topic: Topic,
        seq: u64,
        reply: Reply<Option<Record>>,
    },
    /// Where scans begin, and where each family ends now.
    Begin {
        places: Vec<ScanPlace>,
        from: chatbus_bus::ScanFrom,
        reply: Reply<Vec<(u64, u64)>>,
    },
    Chunk {
        place: ScanPlace,
        after: u64,
        upto: u64,
        reply: Reply<Vec<Record>>,
    },
    /// When the first message of each group's topic at or after a place came, in milliseconds.
    Ages {
        firsts: Vec<(Arc<Group>, u64)>,
        reply: Reply<Vec<Option<i64>>>,
    },
    /// The topics of a family that have messages, and how many.
    Counts {
        family: Family,
        reply: Reply<Vec<(Topic, u64)>>,
    },
}

/// One family of a scan, or one topic of it.
#[derive(Debug, Clone)]
pub(crate) struct ScanPlace {
    pub(crate) family: Family,
    pub(crate) topic: Option<Topic>,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(
        config: EmbeddedConfig,
        prefix: Prefix,
        runtime: Runtime,
        dead_lettering: Arc<dyn DeadLettering>,
        groups: Vec<Arc<Group>>,
    ) -> Self {
        let status = BusStatus { connected: true, epoch: 1, reason: None };
        Self {
            writes: Queue::new(config.backlog_bytes),
            // Counted in requests. What fills groups is bounded by their number, one each.
            reads: Queue::new(256),
            config,
            prefix,
            runtime,
            dead_lettering,
            groups: RwLock::new(groups),
            status: watch::Sender::new(status),
            commits: watch::Sender::new(0),
            closing: CancellationToken::new(),
            killed: AtomicBool::new(false),
        }
    }

    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_group(&self, group: Arc<Group>) {
        self.groups.write().unwrap_or_else(PoisonError::into_inner).push(group);
    }

    pub(crate) fn remove_group(&self, group: &Arc<Group>) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|known| !Arc::ptr_eq(known, group));
    }

    /// Takes nothing more; members and followers end. What was accepted is still done.
    pub(crate) fn begin_close(&self, reason: &str) {
        self.writes.close();
        self.closing.cancel();
        self.status.send_if_modified(|status| {
            let was = status.reason.is_none() || status.connected;
            status.connected = false;
            status.reason = Some(reason.into());
            was
        });
        for group in self.groups() {
            group.lock().wake_all();
        }
    }

    /// Says whether publishing works.
    pub(crate) fn set_status(&self, failing: Option<String>) {
        if self.closing.is_cancelled() {
            return;
        }
        self.status.send_if_modified(|status| match failing {
            None if !status.connected => {
                *status = BusStatus { connected: true, epoch: status.epoch + 1, reason: None };
                true
            }
            Some(reason) if status.connected || status.reason.as_deref() != Some(&reason) => {
                status.connected = false;
                status.reason = Some(reason.into());
                true
            }
            _ => false,
        });
    }
}

/// SQLite's integers have a sign; places never get so far.
pub(crate) fn to_sql(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The other way; a negative number, which nobody writes, reads as zero.
pub(crate) fn from_sql(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
