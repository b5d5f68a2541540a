//! Members of a group, and what they hold.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_bus::{BusError, Consumer, Delivery, Settler, Subscription, limits};
use tokio::sync::{Notify, oneshot};

use crate::bus::{Threads, declared};
use crate::error::closed;
use crate::family;
use crate::group::{Group, Taken, Taking};
use crate::shared::{Command, Read, Settle, Shared};

/// How often a member whose group was deleted looks whether another has the topic.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// One member. Cancelling `next` loses nothing: a message is taken only when it is returned.
pub(crate) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    group: Arc<Group>,
    member: u64,
    notify: Arc<Notify>,
    subscription: Subscription,
    /// Since when nobody has had the topic, while the group is gone.
    free_since: Option<Instant>,
    /// Whether it was said that the group is gone.
    told: bool,
    /// A member keeps the bus open.
    _threads: Arc<Threads>,
}

/// One delivery in a member's hands.
struct EmbeddedSettler {
    shared: Arc<Shared>,
    group: Arc<Group>,
    seq: u64,
    settled: bool,
}

// === impl EmbeddedConsumer ===

impl EmbeddedConsumer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        group: Arc<Group>,
        subscription: Subscription,
        threads: Arc<Threads>,
    ) -> Self {
        let notify = Arc::new(Notify::new());
        let member = group.lock().join(subscription.max_in_flight, Arc::clone(&notify));
        Self { shared, group, member, notify, subscription, free_since: None, told: false, _threads: threads }
    }

    /// The group was deleted: joins the one that is there under its name now, makes one where the topic
    /// has been free for long enough, or rests a while.
    async fn rejoin(&mut self, now: Instant) {
        let Subscription { topic, group: name, max_in_flight } = &self.subscription;
        let (mut same, mut another) = (None, false);
        for group in self.shared.groups().into_iter().filter(|group| group.topic == *topic) {
            let is_same = group.lock().name == *name;
            another |= !is_same;
            same = same.or(is_same.then_some(group));
        }
        if let Some(group) = same {
            self.group.lock().leave(self.member);
            self.member = group.lock().join(*max_in_flight, Arc::clone(&self.notify));
            self.group = group;
            (self.free_since, self.told) = (None, false);
            return;
        }
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                event = "bus.group_unavailable",
                topic = topic.family().label(),
                group = %name,
                reason = "deleted",
                "a group is gone; its member waits until it can be had again"
            );
        }
        if another && family::holds(topic.family()) {
            self.free_since = None;
        } else if now.saturating_duration_since(*self.free_since.get_or_insert(now)) >= limits::RECLAIM_AFTER
        {
            match declared(&self.shared, vec![self.subscription.clone()]).await {
                // It is joined at the next look.
                Ok(_) => return,
                Err(error) => tracing::debug!(
                    event = "bus.group_unavailable",
                    group = %name,
                    reason = %error,
                    "a group is still not to be had"
                ),
            }
        }
        tokio::select! {
            () = self.shared.closing.cancelled() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }

    fn deliver(&self, taking: Taking) -> Delivery {
        let settler = EmbeddedSettler {
            shared: Arc::clone(&self.shared),
            group: Arc::clone(&self.group),
            seq: taking.record.seq,
            settled: false,
        };
        let dead_lettering = Arc::clone(&self.shared.dead_lettering);
        Delivery::new(taking.record, taking.failures, taking.deliveries, Box::new(settler), dead_lettering)
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if self.shared.closing.is_cancelled() {
                return None;
            }
            let now = self.shared.runtime.clock.instant();
            let taken = self.group.lock().take(self.member, now);
            let until = match taken {
                Taken::Delivery(taking) => return Some(self.deliver(*taking)),
                // Both answer by waking the members; if the bus closes instead, so does closing.
                Taken::Read(plan) => {
                    let fill = Read::Fill { group: Arc::clone(&self.group), plan };
                    let _ = self.shared.reads.push_bounded_elsewhere(fill);
                    None
                }
                Taken::Record(claim) => {
                    let claim = Command::Claim { group: Arc::clone(&self.group), claim };
                    let _ = self.shared.writes.push_bounded_elsewhere(claim);
                    None
                }
                Taken::Wait(until) => until,
                Taken::Deleted => {
                    self.rejoin(now).await;
                    continue;
                }
            };
            match until {
                None => self.notify.notified().await,
                Some(until) => {
                    let wait = tokio::time::sleep(until.saturating_duration_since(now));
                    tokio::select! {
                        () = self.notify.notified() => {}
                        () = wait => {}
                    }
                }
            }
        }
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.group.lock().leave(self.member);
    }
}

// === impl EmbeddedSettler ===

impl EmbeddedSettler {
    /// Resolves once the settlement is committed, so that what was acknowledged never comes again. The
    /// member's bound counts it until then, which bounds what waits for the writer.
    async fn settle(&mut self, how: Settle) -> Result<(), BusError> {
        match self.begin(how)? {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(closed())),
            None => Ok(()),
        }
    }

    /// Hands it to the writer; `None` when it is not ours to settle any more.
    fn begin(&mut self, how: Settle) -> Result<Option<oneshot::Receiver<Result<(), BusError>>>, BusError> {
        if self.shared.closing.is_cancelled() {
            return Err(closed());
        }
        self.settled = true;
        if !self.group.lock().begin_settling(self.seq) {
            return Ok(None);
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Settle { group: Arc::clone(&self.group), seq: self.seq, how, reply };
        self.shared.writes.push_bounded_elsewhere(command).map_err(|_| closed())?;
        Ok(Some(answer))
    }

    fn give_back_now(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.group.lock().give_back(self.seq);
        }
    }
}

#[async_trait]
impl Settler for EmbeddedSettler {
    async fn ack(mut self: Box<Self>) -> Result<(), BusError> {
        self.settle(Settle::Ack).await
    }

    /// The member's bound counts it until it is committed all the same.
    fn ack_unconfirmed(mut self: Box<Self>) {
        // A bus that closes gives it back.
        let _ = self.begin(Settle::Ack);
    }

    async fn retry(mut self: Box<Self>, after: Duration) -> Result<(), BusError> {
        self.settle(Settle::Retry { after }).await
    }

    /// Needs no commit: a message that was given back and one that was held are the same to a restart.
    async fn give_back(mut self: Box<Self>) -> Result<(), BusError> {
        self.give_back_now();
        Ok(())
    }
}

impl Drop for EmbeddedSettler {
    fn drop(&mut self) {
        self.give_back_now();
    }
}

impl fmt::Debug for EmbeddedSettler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedSettler({} {})", self.group.topic, self.seq)
    }
}
