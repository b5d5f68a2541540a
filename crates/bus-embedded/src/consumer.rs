//! Members of a group, and what they hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{BusError, Consumer, Delivery, Settler};
use tokio::sync::{Notify, oneshot};

use crate::bus::Threads;
use crate::error::closed;
use crate::group::{Group, Taken, Taking};
use crate::shared::{Command, Read, Settle, Shared};

/// One member. Cancelling `next` loses nothing: a message is taken only when it is returned.
pub(crate) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    group: Arc<Group>,
    member: u64,
    notify: Arc<Notify>,
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
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<Group>, max: usize, threads: Arc<Threads>) -> Self {
        let notify = Arc::new(Notify::new());
        let member = group.lock().join(max, Arc::clone(&notify));
        Self { shared, group, member, notify, _threads: threads }
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
        if self.shared.closing.is_cancelled() {
            return Err(closed());
        }
        self.settled = true;
        if !self.group.lock().begin_settling(self.seq) {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Settle { group: Arc::clone(&self.group), seq: self.seq, how, reply };
        if self.shared.writes.push_bounded_elsewhere(command).is_err() {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
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
