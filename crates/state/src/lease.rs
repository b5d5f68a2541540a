//! A lease: one holder at a time, for as long as it renews.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_runtime::{Backoff, Fence, Runtime};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::{Entry, Expected, Key, Revision, Space, State, StateError};

/// How long a lease lasts, and how often it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// After this long without a renewal it is dead.
    pub ttl: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

/// A lease to be had.
pub struct Lease {
    state: Arc<dyn State>,
    runtime: Runtime,
    key: Key,
    times: LeaseTimes,
    /// What stands in it; written at once when it changes.
    value: watch::Receiver<Bytes>,
}

/// A lease that is held.
pub struct Held {
    lease: Lease,
    revision: Revision,
    fence: Fence,
    written_at: Instant,
}

/// Why a lease is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Somebody else wrote it.
    Taken,
    /// It could not be renewed in time.
    Expired,
    /// It was given up in order, at the stop.
    GivenUp,
}

const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The share of a lease's time after which its holder stops believing in it: clocks differ in speed.
const TRUSTED: f64 = 0.9;

// === impl LeaseTimes ===

impl LeaseTimes {
    /// An instance's: renewed every 5 s, dead after 15 s.
    pub const INSTANCE: Self = Self { ttl: Duration::from_secs(15), renew: Duration::from_secs(5) };
    /// The dispatcher's: renewed every second, dead after 4 s.
    pub const DISPATCHER: Self = Self { ttl: Duration::from_secs(4), renew: Duration::from_secs(1) };

    /// How long its holder trusts it after the moment at which it began to write it.
    fn trusted(self) -> Duration {
        self.ttl.mul_f64(TRUSTED)
    }
}

// === impl Lease ===

impl Lease {
    /// The lease under this key. Values have to name their holder and its life (an epoch, a random
    /// number): by its value a write whose answer was lost is known again.
    pub fn new(
        state: Arc<dyn State>,
        runtime: Runtime,
        key: Key,
        times: LeaseTimes,
        value: watch::Receiver<Bytes>,
    ) -> Self {
        Self { state, runtime, key, times, value }
    }

    /// Waits until it is ours: at once when nobody has it, else when its holder gave it up or was seen
    /// not to renew it for its whole time. `None` when the process stops first.
    ///
    /// `is_ours` says of what stands there whether it is ours to overwrite at once: our own from a life
    /// that is known to be over.
    pub async fn acquire(self, is_ours: impl Fn(&Entry) -> bool) -> Option<Held> {
        let stop = self.runtime.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            held = self.wait_for(is_ours) => Some(held),
        }
    }

    async fn wait_for(mut self, is_ours: impl Fn(&Entry) -> bool) -> Held {
        let mut backoff = Backoff::new(FIRST_RETRY, self.times.renew);
        let mut seen: Option<(Revision, Instant)> = None;
        let mut tried: Option<Bytes> = None;
        loop {
            let asked_at = self.now();
            let wait = match self.state.get(Space::Leases, &self.key).await {
                Err(error) => {
                    debug!(event = "state.lease_unread", key = %self.key, reason = %error, "not read");
                    backoff.next(&*self.runtime.entropy)
                }
                Ok(entry) => {
                    backoff.reset();
                    let expected = match &entry {
                        None => Some(Expected::Absent),
                        Some(entry) if is_ours(entry) || tried.as_ref() == Some(&entry.value) => {
                            Some(Expected::At(entry.revision))
                        }
                        Some(entry) => match seen {
                            Some((revision, since)) if revision == entry.revision => {
                                let unchanged = asked_at.saturating_duration_since(since);
                                (unchanged >= self.times.ttl).then_some(Expected::At(revision))
                            }
                            _ => {
                                seen = Some((entry.revision, self.now()));
                                None
                            }
                        },
                    };
                    if let Some(expected) = expected {
                        let written_at = self.now();
                        let value = self.value.borrow_and_update().clone();
                        match self.state.put(Space::Leases, &self.key, value.clone(), expected).await {
                            Ok(revision) => {
                                info!(event = "state.lease_held", key = %self.key, "lease held");
                                let fence = Fence::until(written_at + self.times.trusted());
                                return Held { lease: self, revision, fence, written_at };
                            }
                            Err(error) => {
                                // Perhaps it was done all the same, and is seen to be ours next time.
                                tried = Some(value);
                                debug!(event = "state.lease_not_had", key = %self.key, reason = %error, "not written");
                            }
                        }
                    }
                    (self.times.renew / 2).min(Duration::from_secs(1))
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn now(&self) -> Instant {
        self.runtime.clock.instant()
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).field("times", &self.times).finish_non_exhaustive()
    }
}

// === impl Held ===

impl Held {
    /// Whether it is held, for whoever acts on it.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Renews it until it is lost or `give_up` resolves; then it is removed.
    pub async fn keep(mut self, give_up: impl Future<Output = ()>) -> Lost {
        let mut give_up = std::pin::pin!(give_up);
        let lost = loop {
            let due = self.written_at + self.lease.times.renew;
            tokio::select! {
                biased;
                () = &mut give_up => break Lost::GivenUp,
                Ok(()) = self.lease.value.changed() => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
            let renewed = tokio::select! {
                biased;
                () = &mut give_up => break Lost::GivenUp,
                renewed = renew(&mut self.lease, &self.fence, self.revision) => renewed,
            };
            match renewed {
                Ok((revision, written_at)) => (self.revision, self.written_at) = (revision, written_at),
                Err(lost) => break lost,
            }
        };
        self.fence.lose();
        match lost {
            Lost::GivenUp => self.give_up().await,
            Lost::Taken | Lost::Expired => {
                warn!(event = "state.lease_lost", key = %self.lease.key, reason = ?lost, "lease lost");
            }
        }
        lost
    }

    async fn give_up(&self) {
        let Lease { state, key, value, .. } = &self.lease;
        let mut removed = state.remove(Space::Leases, key, Expected::At(self.revision)).await;
        // A renewal that was under way may have been done.
        if removed.as_ref().is_err_and(StateError::is_conflict)
            && let Ok(Some(entry)) = state.get(Space::Leases, key).await
            && entry.value == *value.borrow()
        {
            removed = state.remove(Space::Leases, key, Expected::At(entry.revision)).await;
        }
        match removed {
            Ok(()) => info!(event = "state.lease_given_up", key = %key, "lease given up"),
            Err(error) => {
                debug!(event = "state.lease_left", key = %key, reason = %error, "it ends by itself");
            }
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("lease", &self.lease)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// What came of one try to renew.
enum Tried {
    Written(Revision),
    /// An earlier try had been done, though its answer was lost.
    WasWritten(Revision),
    Taken,
    Failed(StateError),
}

/// Writes it again, for as long as it is held. All tries write one value, so that it is known again.
async fn renew(lease: &mut Lease, fence: &Fence, mut known: Revision) -> Result<(Revision, Instant), Lost> {
    let value = lease.value.borrow_and_update().clone();
    let mut backoff = Backoff::new(FIRST_RETRY, lease.times.renew / 2);
    loop {
        let begun = lease.now();
        let Some(end) = fence.end(begun).filter(|end| *end > begun) else { return Err(Lost::Expired) };
        let tried = tokio::time::timeout_at(end.into(), try_once(lease, &value, known));
        match tried.await.map_err(|_| Lost::Expired)? {
            Tried::Written(revision) => {
                let is_ours = fence.extend(begun + lease.times.trusted(), lease.now());
                return if is_ours { Ok((revision, begun)) } else { Err(Lost::Expired) };
            }
            Tried::WasWritten(revision) => {
                known = revision;
                continue;
            }
            Tried::Taken => return Err(Lost::Taken),
            Tried::Failed(error) => {
                debug!(event = "state.lease_not_renewed", key = %lease.key, reason = %error, "not renewed yet");
            }
        }
        let wait = tokio::time::sleep(backoff.next(&*lease.runtime.entropy));
        tokio::time::timeout_at(end.into(), wait).await.map_err(|_| Lost::Expired)?;
    }
}

async fn try_once(lease: &Lease, value: &Bytes, known: Revision) -> Tried {
    let (state, key) = (&lease.state, &lease.key);
    let error = match state.put(Space::Leases, key, value.clone(), Expected::At(known)).await {
        Ok(revision) => return Tried::Written(revision),
        Err(error) => error,
    };
    if !error.is_conflict() {
        return Tried::Failed(error);
    }
    match state.get(Space::Leases, key).await {
        Ok(Some(entry)) if entry.value == *value && entry.revision > known => {
            Tried::WasWritten(entry.revision)
        }
        // A write that is under way at the servers conflicts before it can be read.
        Ok(Some(entry)) if entry.revision == known => Tried::Failed(error),
        Ok(_) => Tried::Taken,
        Err(unread) => Tried::Failed(unread),
    }
}
