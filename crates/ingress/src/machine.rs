//! Every decision of the pipeline, as values: inputs and the time in, actions out. No I/O.
//!
//! All events keep one order, in which they wait in up to three places:
//!
//! ```text
//!  oldest                                                              newest
//!  front                         | disk only          | saving  | tail
//!  [in flight][not yet published]| written, forgotten | at disk | in memory
//! ```
//!
//! * **front** feeds the bus: what is in flight, then what is next. An event leaves it when the bus
//!   has acknowledged it, never before.
//! * What is not acknowledged `save_after` after it was read is written to the spool, whatever the
//!   reason; so a kill never costs more than what was read just before it, and no detection of an
//!   outage can come too late. Writing does not stop publishing: while the front holds everything,
//!   events go out from memory though they stand on disk too.
//! * When the front is full, newer events go to the **tail**, from there to disk, and are forgotten;
//!   they are read back when the front has room. So order never depends on where an event waits.
//!
//! A record's number is given when it is handed to the disk. The cursor is the number of the first one
//! that the bus has not acknowledged.

mod feed;
mod receipts;
mod spooling;
mod trouble;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_bus::{BusErrorKind, Message};
use chatbus_connector::Accepted;
use chatbus_event::{Attributes, Entropy, Timestamp};
use chatbus_runtime::Backoff;
use tokio::sync::oneshot;

use crate::config::{Limits, RETRY_INITIAL, RETRY_MAX};
use crate::emitter::Batch;
use crate::kept::{Kept, Route};
use crate::spool::{Found, Job, Report};
use trouble::Trouble;

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Events were taken from the queue.
    Taken(Batch),
    /// The oldest so many in flight are on the bus.
    Acked(usize),
    /// The oldest in flight is not.
    Failed(BusErrorKind),
    /// The bus says whether it is in reach.
    Status { connected: bool, epoch: u64 },
    /// The disk did the job.
    Spooled(Report),
    /// Time passed.
    Tick,
    /// Take nothing more; return once all is on the bus or on disk.
    Finish,
}

/// What to do, in the order of the fields.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// Forget every receipt.
    pub(crate) forget: bool,
    /// Publish these, in order.
    pub(crate) publish: Vec<(Route, Message)>,
    /// Give this to the disk. Never given while another is at work.
    pub(crate) job: Option<Job>,
    /// Now on the bus, with the time since they were read.
    pub(crate) published: Vec<(&'static str, Duration)>,
    /// Not on the bus as what they were, by platform.
    pub(crate) failed: Counts,
    /// Written to the spool in trouble, by platform.
    pub(crate) spooled: Counts,
    /// What people should hear.
    pub(crate) notices: Vec<Notice>,
}

/// A number for each platform.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) Vec<(&'static str, u64)>);

/// Something worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Events go through the spool.
    SpoolBegun { reason: &'static str },
    /// The spool is empty again.
    SpoolDrained { reason: &'static str, events: u64, lasted: Duration },
    /// Events are lost.
    Dropped { reason: &'static str, events: u64 },
    /// One message was too long for the bus and went out without its raw payload.
    Cut { id: String, platform: &'static str },
    /// One message will never be on the bus; its dead letter is tried instead.
    GivenUp { id: String, platform: &'static str, code: &'static str },
    /// The bus refuses again and again.
    Failing { attempts: u32, kind: BusErrorKind },
    /// The disk refused what was to be spooled.
    DiskFailed { error: String },
    /// The disk works again.
    DiskRecovered,
}

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) mono: Instant,
    pub(crate) wall: Timestamp,
}

/// An event in memory.
#[derive(Debug)]
struct Slot {
    kept: Kept,
    /// Until the first publish takes them; unpacked again for a later one.
    attributes: Option<Attributes>,
    read_at: Instant,
    /// How old it already was at `read_at`: more than nothing after a restart.
    age: Duration,
    taken_at: Instant,
    /// Its record's number, once it was handed to the disk.
    number: Option<u64>,
    cut: bool,
    /// Who waits to hear that it is safe.
    told: Option<oneshot::Sender<Accepted>>,
}

/// The pipeline's state.
pub(crate) struct Machine {
    limits: Limits,
    entropy: Arc<dyn Entropy>,
    /// Who dead letters say gave up.
    source: String,
    max_message_bytes: usize,

    front: VecDeque<Slot>,
    front_bytes: usize,
    /// So many at the beginning of the front have a record.
    front_numbered: usize,
    /// So many at the beginning of the front are in flight.
    sent: usize,
    sent_bytes: usize,
    saving: VecDeque<Slot>,
    tail: VecDeque<Slot>,
    /// Of events that have no record.
    unsaved_bytes: usize,

    link: Link,
    disk: Disk,
    trouble: Option<Trouble>,
    /// Since when the intake is shut.
    shut_since: Option<Instant>,
    finishing: Option<Instant>,
    dropped: u64,
    dropped_at: Option<Instant>,
}

/// What is known of the bus.
struct Link {
    connected: bool,
    epoch: u64,
    /// Nothing is published before.
    hold_until: Option<Instant>,
    /// Failures since the last acknowledgement.
    attempts: u32,
    /// Only two go out until one is acknowledged: enough to see whether the first or all are refused.
    probing: bool,
    /// The first was refused over and over; what becomes of the second decides.
    suspect: bool,
    backoff: Backoff,
    last_progress: Instant,
}

/// What is known of the spool.
struct Disk {
    /// The first record that is not acknowledged.
    cursor: u64,
    /// The next record's number.
    next: u64,
    /// The first record that is neither in the front nor acknowledged.
    read_next: u64,
    /// Records below it are written.
    durable: u64,
    bytes: u64,
    working_since: Option<Instant>,
    /// Set while the disk refuses: when to try again.
    retry_at: Option<Instant>,
    failing: bool,
    cursor_written: u64,
    cursor_at: Instant,
    /// What the job at work writes.
    writing: Counts,
}

// === impl Machine ===

impl Machine {
    /// A pipeline on a spool that held `found`.
    pub(crate) fn new(
        limits: Limits,
        entropy: Arc<dyn Entropy>,
        source: String,
        max_message_bytes: usize,
        found: Found,
        now: Moment,
    ) -> Self {
        Self {
            entropy,
            source,
            max_message_bytes,
            front: VecDeque::new(),
            front_bytes: 0,
            front_numbered: 0,
            sent: 0,
            sent_bytes: 0,
            saving: VecDeque::new(),
            tail: VecDeque::new(),
            unsaved_bytes: 0,
            link: Link {
                connected: false,
                epoch: 0,
                hold_until: Some(now.mono + RETRY_MAX),
                attempts: 0,
                probing: true,
                suspect: false,
                backoff: Backoff::new(RETRY_INITIAL, RETRY_MAX),
                last_progress: now.mono,
            },
            disk: Disk {
                cursor: found.cursor,
                next: found.next,
                read_next: found.cursor,
                durable: found.next,
                bytes: found.bytes,
                working_since: None,
                retry_at: None,
                failing: false,
                cursor_written: found.cursor,
                cursor_at: now.mono,
                writing: Counts::default(),
            },
            trouble: (found.next > found.cursor).then_some(Trouble {
                since: now,
                reason: trouble::FOUND_AT_START,
                events: found.next - found.cursor,
            }),
            shut_since: None,
            finishing: None,
            dropped: 0,
            dropped_at: None,
            limits,
        }
    }

    /// Takes an input, and says what to do about it.
    pub(crate) fn on(&mut self, input: Input, now: Moment, actions: &mut Actions) {
        match input {
            Input::Taken(batch) => self.taken(batch, now, actions),
            Input::Acked(count) => self.acked(count, now, actions),
            Input::Failed(kind) => self.failed(kind, now, actions),
            Input::Status { connected, epoch } => self.status(connected, epoch, now),
            Input::Spooled(report) => self.spooled(report, now, actions),
            Input::Tick => {}
            Input::Finish => self.finishing = Some(now.mono + self.limits.grace),
        }
        self.bound_memory(now, actions);
        self.fill_front();
        self.judge_trouble(now, actions);
        self.publish(now, actions);
        self.use_disk(now, actions);
        self.set_gate(now);
    }

    /// When [`Machine::on`] wants a [`Input::Tick`] though nothing else happens.
    pub(crate) fn next_deadline(&self, now: Moment) -> Option<Instant> {
        let link = self.link.hold_until.filter(|_| self.sent < self.front.len());
        let gate = self.shut_since.map(|since| since + self.limits.gulp_every).filter(|at| *at > now.mono);
        let stalled = (self.sent > 0 && self.trouble.is_none() && self.uses_spool())
            .then(|| self.link.last_progress + self.limits.stalled_after)
            .filter(|at| *at > now.mono);
        let finish = self.finishing.filter(|at| *at > now.mono);
        [link, gate, stalled, finish, self.disk_deadline(now.mono)].into_iter().flatten().min()
    }

    /// Whether, after [`Input::Finish`], nothing is left to do.
    pub(crate) fn is_finished(&self, now: Moment) -> bool {
        let Some(deadline) = self.finishing else { return false };
        if self.disk.working_since.is_some() {
            return false;
        }
        let over = now.mono >= deadline;
        let bus_gone = self.link.hold_until.is_some() || !self.link.connected;
        let safe = self.tail.is_empty() && self.front_numbered == self.front.len();
        let kept = self.disk.cursor_written == self.disk.cursor || self.disk.failing || over;
        kept && ((safe && (self.front.is_empty() || bus_gone || over)) || (over && self.disk.failing))
    }

    /// After the end: how many events were neither acknowledged nor written.
    pub(crate) fn unsafe_events(&self) -> u64 {
        (self.front.len() - self.front_numbered + self.tail.len()) as u64
    }

    fn late(&self, slot: &Slot, now: Moment) -> bool {
        slot.age + now.mono.saturating_duration_since(slot.read_at) >= self.limits.late_after
    }
}

// === impl Counts ===

impl Counts {
    /// Adds.
    pub(crate) fn add(&mut self, platform: &'static str, n: u64) {
        match self.0.iter_mut().find(|(name, _)| *name == platform) {
            Some((_, count)) => *count += n,
            None => self.0.push((platform, n)),
        }
    }
}

// === impl Actions ===

impl Actions {
    /// Empties it for the next input, keeping its memory.
    pub(crate) fn clear(&mut self) {
        self.forget = false;
        self.publish.clear();
        self.job = None;
        self.published.clear();
        self.failed.0.clear();
        self.spooled.0.clear();
        self.notices.clear();
    }
}

// === impl Slot ===

impl Slot {
    fn new(
        kept: Kept,
        attributes: Option<Attributes>,
        read_at: Instant,
        wall: Timestamp,
        now: Moment,
    ) -> Self {
        let age = wall.since(kept.received_at);
        Self { kept, attributes, read_at, age, taken_at: now.mono, number: None, cut: false, told: None }
    }

    /// Tells who waits for it, once.
    fn tell(&mut self, accepted: Accepted) {
        if let Some(told) = self.told.take() {
            let _ = told.send(accepted);
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
