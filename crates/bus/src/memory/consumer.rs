//! Members of a group, what they hold, and readers without a group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::Inner;
use super::space::{Cursor, Holder};
use crate::{BusError, Consumer, Delivery, Record, Records, Settler, Subscription, limits};

/// One member. Cancelling `next` loses nothing: a message is taken only when it is returned.
pub(super) struct MemoryConsumer {
    inner: Arc<Inner>,
    subscription: Arc<Subscription>,
    slots: Arc<Semaphore>,
    changes: watch::Receiver<()>,
    /// Since when nobody has had the topic, while the group is gone.
    free_since: Option<Instant>,
    /// Whether it was said that the group is gone.
    told: bool,
}

/// One delivery in a member's hands.
struct MemorySettler {
    inner: Arc<Inner>,
    subscription: Arc<Subscription>,
    /// The group's number when it was handed out.
    group: u64,
    seq: u64,
    settled: bool,
    _slot: OwnedSemaphorePermit,
}

/// A scan.
pub(super) struct MemoryRecords {
    inner: Arc<Inner>,
    cursor: Cursor,
    follow: bool,
    changes: watch::Receiver<()>,
}

// === impl MemoryConsumer ===

impl MemoryConsumer {
    pub(super) fn new(inner: Arc<Inner>, subscription: Subscription) -> Self {
        let slots = Arc::new(Semaphore::new(subscription.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)));
        let changes = inner.store.changes();
        Self { inner, subscription: Arc::new(subscription), slots, changes, free_since: None, told: false }
    }

    /// Whether the group is there; if not, takes the topic back when it has been free for long enough,
    /// or says how long that may take.
    fn ensure_group(&mut self, now: Instant) -> Result<(), Option<Duration>> {
        let Subscription { topic, group, .. } = &*self.subscription;
        let holder = self.inner.space(|space| space.holder(topic, group));
        if holder == Holder::Itself {
            (self.free_since, self.told) = (None, false);
            return Ok(());
        }
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                event = "bus.group_unavailable",
                topic = topic.family().label(),
                group = %group,
                reason = "deleted",
                "a group is gone; its member waits until it can be had again"
            );
        }
        if holder == Holder::Another {
            self.free_since = None;
            return Err(None);
        }
        let left = limits::RECLAIM_AFTER
            .saturating_sub(now.saturating_duration_since(*self.free_since.get_or_insert(now)));
        if !left.is_zero() {
            return Err(Some(left));
        }
        // Refused only when there are too many topics: then it is tried again in a while.
        self.inner.space(|space| space.declare(topic, group)).map_err(|_| Some(limits::RECLAIM_AFTER))
    }

    /// The next delivery, or how long until one may be due.
    fn take(&mut self, slot: OwnedSemaphorePermit) -> Result<Delivery, Option<Duration>> {
        if !self.inner.store.is_up() {
            return Err(None);
        }
        let now = self.inner.runtime.clock.instant();
        self.ensure_group(now)?;
        let Subscription { topic, group, .. } = &*self.subscription;
        let taken = self.inner.space(|space| {
            space
                .take(topic, group, self.inner.session, now)
                .ok_or_else(|| space.group(topic, group).and_then(|state| state.next_due()))
        });
        let (record, counts, number) =
            taken.map_err(|due| due.map(|due| due.saturating_duration_since(now)))?;
        let settler = MemorySettler {
            inner: Arc::clone(&self.inner),
            subscription: Arc::clone(&self.subscription),
            group: number,
            seq: record.seq,
            settled: false,
            _slot: slot,
        };
        let dead_lettering = Arc::clone(&self.inner.dead_lettering);
        let record = Record::clone(&record);
        Ok(Delivery::new(record, counts.failures, counts.deliveries, Box::new(settler), dead_lettering))
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let closed = self.inner.closed.clone();
        loop {
            let slot = tokio::select! {
                biased;
                () = closed.cancelled() => return None,
                slot = Arc::clone(&self.slots).acquire_owned() => slot.ok()?,
            };
            self.changes.borrow_and_update();
            let wait = match self.take(slot) {
                Ok(delivery) => return Some(delivery),
                Err(wait) => wait,
            };
            tokio::select! {
                biased;
                () = closed.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
                () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
            }
        }
    }
}

// === impl MemorySettler ===

impl MemorySettler {
    fn check(&self) -> Result<(), BusError> {
        self.inner.check("settling a message")
    }

    fn ack_now(&mut self) -> Result<(), BusError> {
        self.check()?;
        self.settled = true;
        let Subscription { topic, group, .. } = &*self.subscription;
        self.inner.space(|space| space.ack(topic, group, self.group, self.seq, self.inner.session));
        Ok(())
    }

    fn give_back_now(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            let Subscription { topic, group, .. } = &*self.subscription;
            self.inner.space(|space| {
                if let Some(state) = space.same_group(topic, group, self.group) {
                    state.give_back(self.seq, self.inner.session);
                }
            });
            self.inner.store.wake();
        }
    }
}

#[async_trait]
impl Settler for MemorySettler {
    async fn ack(mut self: Box<Self>) -> Result<(), BusError> {
        self.ack_now()
    }

    fn ack_unconfirmed(mut self: Box<Self>) {
        // A bus that is closed holds nothing any more.
        let _ = self.ack_now();
    }

    async fn retry(mut self: Box<Self>, after: Duration) -> Result<(), BusError> {
        self.check()?;
        self.settled = true;
        let now = self.inner.runtime.clock.instant();
        // Far enough to be never, near enough to be a time.
        let due = now + after.min(Duration::from_secs(365 * 24 * 3600));
        let Subscription { topic, group, .. } = &*self.subscription;
        self.inner.space(|space| {
            if let Some(state) = space.same_group(topic, group, self.group) {
                state.retry(self.seq, self.inner.session, due);
            }
        });
        self.inner.store.wake();
        Ok(())
    }

    async fn give_back(mut self: Box<Self>) -> Result<(), BusError> {
        self.check()?;
        self.give_back_now();
        Ok(())
    }
}

impl Drop for MemorySettler {
    fn drop(&mut self) {
        self.give_back_now();
    }
}

impl std::fmt::Debug for MemorySettler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemorySettler({} {})", self.subscription.topic, self.seq)
    }
}

// === impl MemoryRecords ===

impl MemoryRecords {
    pub(super) fn new(inner: Arc<Inner>, cursor: Cursor, follow: bool) -> Self {
        let changes = inner.store.changes();
        Self { inner, cursor, follow, changes }
    }
}

#[async_trait]
impl Records for MemoryRecords {
    async fn next(&mut self) -> Option<Result<Record, BusError>> {
        let closed = self.inner.closed.clone();
        loop {
            self.changes.borrow_and_update();
            if closed.is_cancelled() {
                return None;
            }
            if self.inner.store.is_up() {
                let cursor = &mut self.cursor;
                let record = self.inner.space(|space| space.read(cursor));
                if record.is_some() || !self.follow {
                    return record.map(Ok);
                }
            } else if !self.follow {
                return Some(Err(BusError::closed("reading back: the store is out of reach")));
            }
            tokio::select! {
                biased;
                () = closed.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
            }
        }
    }
}
