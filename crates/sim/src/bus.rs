//! The bus as an instance sees it: late, sometimes without an answer, sometimes not at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusErrorKind, BusStatus, Consumer, DeadLettering, Delivery, Group, Lag, MemoryBus,
    Message, Publish, Receipt, Record, Records, Scan, Settlement, Settler, Stored, Subscription, Waiting,
};
use chatbus_event::{Family, Topic};
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::now;
use crate::link::{Fate, Held, Link, drop_later, later, pause};
use crate::process::Control;

/// One life's connection to the bus.
pub(crate) struct SimBus {
    inner: Arc<MemoryBus>,
    link: Arc<Link>,
    control: Arc<Control>,
    dead_letters: Arc<dyn DeadLettering>,
    buffer: Arc<Queue>,
}

/// Messages on their way, in order.
#[derive(Default)]
struct Queue {
    ops: Mutex<VecDeque<Op>>,
    more: Notify,
}

struct Op {
    topic: Topic,
    message: Message,
    fate: Fate,
    begun: Instant,
    reply: oneshot::Sender<Result<Stored, BusError>>,
}

/// The server waits this long for what it handed to somebody who says nothing any more.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(8);

// === impl Queue ===

impl Queue {
    fn push(&self, op: Op) {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner).push_back(op);
        self.more.notify_one();
    }

    async fn pop(&self) -> Op {
        loop {
            let op = self.ops.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match op {
                Some(op) => return op,
                None => self.more.notified().await,
            }
        }
    }
}

// === impl SimBus ===

impl SimBus {
    /// A connection of this process. Gives with it what the process has to run, and what the wire does,
    /// which outlives it.
    pub(crate) fn new(
        inner: Arc<MemoryBus>,
        link: Arc<Link>,
        control: Arc<Control>,
        dead_letters: Arc<dyn DeadLettering>,
    ) -> (Self, impl Future<Output = ()> + Send, impl Future<Output = ()> + Send) {
        let (buffer, wire) = (Arc::<Queue>::default(), Arc::<Queue>::default());
        let client = {
            let (from, to, link) = (buffer.clone(), wire.clone(), link.clone());
            async move {
                loop {
                    let op = from.pop().await;
                    pause(op.fate.held_back).await;
                    if link.is_cut() {
                        let _ = op.reply.send(Err(BusError::closed("cut off")));
                    } else {
                        to.push(op);
                    }
                }
            }
        };
        let network = {
            let (link, inner) = (link.clone(), inner.clone());
            async move {
                loop {
                    let op = wire.pop().await;
                    pause(op.fate.before).await;
                    carry(&link, &inner, op).await;
                }
            }
        };
        (Self { inner, link, control, dead_letters, buffer }, client, network)
    }

    async fn around<T>(
        &self,
        what: &str,
        operation: impl Future<Output = Result<T, BusError>> + Send,
    ) -> Result<T, BusError> {
        around(&self.link, &self.control, what, operation).await
    }
}

async fn carry(link: &Link, bus: &MemoryBus, op: Op) {
    let Op { topic, message, fate, begun, reply } = op;
    let result = if link.is_cut() {
        link.note_uncertain(begun);
        Err(BusError::new(BusErrorKind::Timeout, "cut off on the way"))
    } else if fate.done {
        let id = message.id.clone();
        let done = bus.publish(&topic, message).await;
        link.say(|| {
            let how = match &done {
                Ok(stored) if stored.duplicate => "duplicate",
                Ok(_) => "stored",
                Err(_) => "refused",
            };
            format!("publish {topic} {} {how}", id.as_str())
        });
        if fate.answered {
            done
        } else {
            link.say(|| "  its answer is lost".to_owned());
            link.note_uncertain(begun);
            Err(BusError::new(BusErrorKind::Timeout, "no answer"))
        }
    } else {
        link.say(|| format!("publish {topic} {} lost", message.id.as_str()));
        link.note_uncertain(begun);
        Err(BusError::new(BusErrorKind::Timeout, "lost on the way"))
    };
    let _ = reply.send(result);
}

async fn around<T>(
    link: &Link,
    control: &Control,
    what: &str,
    operation: impl Future<Output = Result<T, BusError>> + Send,
) -> Result<T, BusError> {
    control.point().await;
    let (begun, fate) = (now(), link.bus_fate());
    pause(fate.held_back + fate.before).await;
    if link.is_cut() {
        return Err(BusError::closed("cut off"));
    }
    if !fate.done {
        link.say(|| format!("{what} fails"));
        return Err(BusError::new(BusErrorKind::Timeout, "lost on the way"));
    }
    let result = operation.await;
    control.point().await;
    pause(fate.after).await;
    if !fate.answered || link.is_cut() {
        link.say(|| format!("{what} done, its answer is lost"));
        link.note_uncertain(begun);
        return Err(BusError::new(BusErrorKind::Timeout, "no answer"));
    }
    control.point().await;
    result
}

impl Publish for SimBus {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        if self.link.is_cut() {
            return Receipt::ready(Err(BusError::closed("cut off")));
        }
        let fate = self.link.bus_fate();
        let (reply, answer) = oneshot::channel();
        let control = self.control.clone();
        self.buffer.push(Op { topic: topic.clone(), message, fate, begun: now(), reply });
        Receipt::future(async move {
            control.point().await;
            let result = answer.await.unwrap_or_else(|_| Err(BusError::closed("the bus is gone")));
            control.point().await;
            pause(fate.after).await;
            result
        })
    }

    fn max_message_bytes(&self) -> usize {
        self.inner.max_message_bytes()
    }
}

#[async_trait]
impl Bus for SimBus {
    async fn declare(&self, subscriptions: &[Subscription]) -> Result<(), BusError> {
        self.around("declare", self.inner.declare(subscriptions)).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let topic = subscription.topic.clone();
        let inner = self.around("subscribe", self.inner.subscribe(subscription)).await?;
        self.link.say(|| format!("reads {topic}"));
        Ok(Box::new(SimConsumer {
            inner,
            link: self.link.clone(),
            control: self.control.clone(),
            dead_letters: self.dead_letters.clone(),
            coming: None,
            again: VecDeque::new(),
        }))
    }

    async fn scan(&self, scan: Scan) -> Result<Box<dyn Records>, BusError> {
        let inner = self.around("scan", self.inner.scan(scan)).await?;
        Ok(Box::new(SimRecords { inner, link: self.link.clone(), control: self.control.clone() }))
    }

    async fn fetch(&self, topic: &Topic, seq: u64) -> Result<Option<Record>, BusError> {
        self.around("fetch", self.inner.fetch(topic, seq)).await
    }

    async fn remove(&self, topic: &Topic, seq: u64) -> Result<(), BusError> {
        let removed = self.around("remove", self.inner.remove(topic, seq)).await;
        self.link.say(|| format!("remove {topic} {seq} {}", if removed.is_ok() { "done" } else { "unsure" }));
        removed
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.link.bus.subscribe()
    }

    async fn lag(&self) -> Result<Vec<Lag>, BusError> {
        self.around("lag", self.inner.lag()).await
    }

    async fn waiting(&self, family: Family) -> Result<Vec<Waiting>, BusError> {
        self.around("waiting", self.inner.waiting(family)).await
    }

    async fn delete_group(&self, topic: &Topic, group: &Group) -> Result<(), BusError> {
        let deleted = self.around("delete_group", self.inner.delete_group(topic, group)).await;
        self.link.say(|| format!("delete group {group} of {topic}: {}", deleted.is_ok()));
        deleted
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

impl Drop for SimBus {
    fn drop(&mut self) {
        // The server learns late that a process is gone.
        if self.control.is_over() {
            drop_later(ACK_WAIT, self.inner.clone());
        }
    }
}

struct SimConsumer {
    inner: Box<dyn Consumer>,
    link: Arc<Link>,
    control: Arc<Control>,
    dead_letters: Arc<dyn DeadLettering>,
    /// On its way here, until then.
    coming: Option<(Instant, Delivery)>,
    /// Handed out once, and coming once more.
    again: VecDeque<(Instant, Record, u32)>,
}

// === impl SimConsumer ===

impl SimConsumer {
    fn hand_out(&mut self, inner: Delivery) -> Delivery {
        let (record, failures, deliveries) = (inner.record().clone(), inner.failures(), inner.deliveries());
        self.link.say(|| format!("gets {} {} ({deliveries})", record.topic, record.message.id.as_str()));
        let repeats = self.link.weather().repeats;
        if repeats > 0 && self.link.draw(|rng| rng.chance(repeats)) {
            let wait = self.link.draw(|rng| rng.millis(0, 3_000));
            self.again.push_back((now() + wait, record.clone(), deliveries + 1));
        }
        let held = Arc::new(Mutex::new(Some(inner)));
        self.link.hold(&held);
        let settler = SimSettler { held, link: self.link.clone(), control: self.control.clone() };
        Delivery::new(record, failures, deliveries, Box::new(settler), self.dead_letters.clone())
    }
}

#[async_trait]
impl Consumer for SimConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let mut bus = self.link.bus.subscribe();
        loop {
            self.control.point().await;
            if bus.wait_for(|status| status.connected).await.is_err() {
                return None;
            }
            if let Some((at, _)) = &self.coming {
                let at = *at;
                tokio::time::sleep_until(at.into()).await;
                if self.link.is_cut() {
                    continue;
                }
                let Some((_, delivery)) = self.coming.take() else { continue };
                return Some(self.hand_out(delivery));
            }
            let again = self.again.front().map(|(at, ..)| *at);
            tokio::select! {
                biased;
                _ = bus.wait_for(|status| !status.connected) => {}
                () = tokio::time::sleep_until(again.unwrap_or_else(now).into()), if again.is_some() => {
                    let Some((_, record, deliveries)) = self.again.pop_front() else { continue };
                    self.link.say(|| format!("gets again {} {}", record.topic, record.message.id.as_str()));
                    let letters = self.dead_letters.clone();
                    return Some(Delivery::new(record, 0, deliveries, Box::new(Repeat), letters));
                }
                next = self.inner.next() => {
                    let wait = self.link.bus_fate().before;
                    self.coming = Some((now() + wait, next?));
                }
            }
        }
    }
}

/// The settler of a delivery that the server handed out once more by itself.
#[derive(Debug)]
struct Repeat;

#[async_trait]
impl Settler for Repeat {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        Ok(())
    }

    fn ack_unconfirmed(self: Box<Self>) {}

    async fn retry(self: Box<Self>, _: Duration) -> Result<(), BusError> {
        Ok(())
    }

    async fn give_back(self: Box<Self>) -> Result<(), BusError> {
        Ok(())
    }
}

struct SimSettler {
    held: Arc<Held>,
    link: Arc<Link>,
    control: Arc<Control>,
}

// === impl SimSettler ===

impl SimSettler {
    fn take(&self) -> Option<Delivery> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), BusError> {
        self.control.point().await;
        let (begun, fate) = (now(), self.link.bus_fate());
        pause(fate.held_back + fate.before).await;
        let lost = |why: &str| BusError::new(BusErrorKind::Timeout, why);
        let Some(delivery) = self.take() else { return Err(lost("the server took it back")) };
        let name = delivery.record().message.id.clone();
        let topic = delivery.record().topic.clone();
        if self.link.is_cut() || !fate.done {
            self.link.say(|| format!("settling {topic} {} is lost", name.as_str()));
            drop_later(ACK_WAIT, delivery);
            return Err(lost("lost on the way"));
        }
        self.link.say(|| format!("{settlement:?} {topic} {}", name.as_str()));
        let settled = delivery.settle(settlement).await;
        self.control.point().await;
        pause(fate.after).await;
        if fate.answered {
            settled
        } else {
            self.link.note_uncertain(begun);
            Err(lost("no answer"))
        }
    }
}

impl Drop for SimSettler {
    fn drop(&mut self) {
        // Of a process that died the server learns late.
        if let Some(delivery) = self.take()
            && (self.control.is_over() || self.link.is_cut())
        {
            drop_later(ACK_WAIT, delivery);
        }
    }
}

impl std::fmt::Debug for SimSettler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimSettler")
    }
}

#[async_trait]
impl Settler for SimSettler {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.settle(Settlement::Ack).await
    }

    /// On its way it outlives the process that sent it.
    fn ack_unconfirmed(self: Box<Self>) {
        let fate = self.link.bus_fate();
        let Some(delivery) = self.take() else { return };
        let (name, topic) = (delivery.record().message.id.clone(), delivery.record().topic.clone());
        if self.control.is_over() || self.link.is_cut() || !fate.done {
            self.link.say(|| format!("acknowledging {topic} {} is lost", name.as_str()));
            return drop_later(ACK_WAIT, delivery);
        }
        self.link.say(|| format!("acknowledged, unconfirmed, {topic} {}", name.as_str()));
        later(fate.held_back + fate.before, async move { drop(delivery.settle(Settlement::Ack).await) });
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BusError> {
        self.settle(Settlement::Retry { after }).await
    }

    async fn give_back(self: Box<Self>) -> Result<(), BusError> {
        self.settle(Settlement::Return).await
    }
}

struct SimRecords {
    inner: Box<dyn Records>,
    link: Arc<Link>,
    control: Arc<Control>,
}

#[async_trait]
impl Records for SimRecords {
    async fn next(&mut self) -> Option<Result<Record, BusError>> {
        self.control.point().await;
        if self.link.is_cut() {
            return Some(Err(BusError::closed("cut off")));
        }
        // A tenth of what fails, fails in the middle.
        let flaky = self.link.weather().flaky_bus;
        if flaky > 0 && self.link.draw(|rng| rng.chance(10) && rng.chance(flaky)) {
            return Some(Err(BusError::new(BusErrorKind::Timeout, "no answer")));
        }
        self.inner.next().await
    }
}
