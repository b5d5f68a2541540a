//! A member of a group: pulls as many messages as it has room for, on one connection after another.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{BusError, BusErrorKind, Consumer, Delivery, Message, Record, Subscription, limits};
use chatbus_event::Family;
use chatbus_runtime::Backoff;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::api::{self, ConsumerInfo};
use crate::groups::{self, Start};
use crate::headers;
use crate::held::{Acking, Hold, Share};
use crate::link::{Epoch, Link};
use crate::names::Names;
use crate::record::{self, Place};
use crate::streams::{is_queue, is_work_queue, nanos};
use crate::wire::{Inbound, Subscribed};

/// How long the server keeps a pull that it cannot serve.
const PULL_LIFE: Duration = Duration::from_secs(30);
/// How often it says meanwhile that it still has it.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Ticks of silence after which a pull is lost: the consumer was removed or its leader died unheard.
const SILENT_TICKS: u32 = 3;
/// Messages that are taken before the other inputs are looked at again.
const AT_ONCE: usize = 64;
/// How often messages are taken in a row before that.
const BATCHES: u32 = 16;
/// Between two tries to have the group again: it begins short and doubles.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const MAX_RETRY: Duration = Duration::from_secs(2);

/// The reader's end.
struct Member {
    deliveries: mpsc::Receiver<Item>,
    share: Arc<Share>,
}

/// A message on its way to the reader.
struct Item {
    record: Record,
    deliveries: u32,
    hold: Hold,
}

/// The task's end.
struct Puller {
    share: Arc<Share>,
    subscription: Subscription,
    stream: String,
    name: String,
    out: mpsc::Sender<Item>,
    /// Whether the stream holds one subject and drops what is old, so that gaps can be told.
    shows_gaps: bool,
    /// The highest place that came, or where the group began.
    seen: u64,
    /// Which group it is, of all that have had its name.
    life: String,
    /// Place and number of the last first delivery, to see what retention dropped in between.
    last: Option<Place>,
    _token: TaskTrackerToken,
}

/// Why pulling on a subscription ended.
enum End {
    /// The reader left, or the bus closes.
    Done,
    /// The connection is gone.
    Disconnected,
    /// The consumer is gone, or silent.
    Renew,
}

/// Joins the group and starts pulling.
pub(crate) async fn join(
    link: &Arc<Link>,
    subscription: Subscription,
) -> Result<Box<dyn Consumer>, BusError> {
    let epoch = link.epoch()?;
    crate::others::ensure(link, &epoch, &subscription.topic).await?;
    let info = groups::ensure(link, &epoch.session, &subscription, Start::Fresh).await?;
    let family = subscription.topic.family();
    let (stream, name) =
        (link.names.stream(family), Names::consumer(&subscription.topic, &subscription.group));
    let max = subscription.max_in_flight;
    let consumer = format!("{stream}/{name}").into();
    let acking = match family {
        family if is_work_queue(family) => Acking::Confirmed,
        Family::Lane => Acking::Removed(stream.clone()),
        _ => Acking::Sent,
    };
    let share = Share::new(Arc::clone(link), consumer, acking, max);
    let (out, deliveries) = mpsc::channel(max.max(1));
    let puller = Puller {
        share: Arc::clone(&share),
        subscription,
        stream,
        name,
        out,
        shows_gaps: link.names.subjects(family).len() == 1 && !is_queue(family),
        seen: info.delivered.stream_seq,
        life: info.life().to_owned(),
        last: None,
        _token: link.members.token(),
    };
    puller.count_lost(&epoch, &info).await;
    link.runtime.spawn("nats.member", puller.run(epoch));
    Ok(Box::new(Member { deliveries, share }))
}

// === impl Member ===

#[async_trait]
impl Consumer for Member {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let item = self.deliveries.recv().await?;
            if let Some(delivery) = self.deliver(item) {
                return Some(delivery);
            }
        }
    }

    fn try_next(&mut self) -> Option<Delivery> {
        loop {
            let item = self.deliveries.try_recv().ok()?;
            if let Some(delivery) = self.deliver(item) {
                return Some(delivery);
            }
        }
    }
}

impl Member {
    /// The delivery of an item, if it is still ours.
    fn deliver(&self, item: Item) -> Option<Delivery> {
        let Item { record, deliveries, mut hold } = item;
        if !hold.take() {
            return None;
        }
        let link = &self.share.link;
        let failures =
            link.failures.lock().unwrap_or_else(PoisonError::into_inner).of(&self.share.consumer, record.seq);
        let dead_lettering = Arc::clone(&link.config.dead_lettering);
        Some(Delivery::new(record, failures, deliveries, Box::new(hold), dead_lettering))
    }
}

// === impl Puller ===

impl Puller {
    async fn run(mut self, mut epoch: Arc<Epoch>) {
        loop {
            let end = match epoch.session.subscribe(self.subscription.max_in_flight + 64) {
                Ok(inbox) => self.pull(&epoch, inbox).await,
                Err(_) => End::Disconnected,
            };
            let link = Arc::clone(&self.share.link);
            match end {
                End::Done => return,
                End::Disconnected => {
                    let next = tokio::select! {
                        next = link.next_epoch(Some(&epoch)) => next,
                        () = self.out.closed() => None,
                    };
                    let Some(next) = next else { return };
                    epoch = next;
                }
                End::Renew => {}
            }
            if !self.renew(&epoch).await {
                return;
            }
        }
    }

    /// Makes sure that the group is there, for as long as this connection lives. False when nobody
    /// wants it any more.
    ///
    /// The server may have lost it, and then it is made again. On a queue somebody may have deleted it
    /// to put another in its place: so the topic is left free for a while first, and as long as another
    /// has it the server refuses and it is tried again.
    async fn renew(&mut self, epoch: &Arc<Epoch>) -> bool {
        let link = Arc::clone(&self.share.link);
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        let mut told = false;
        let mut may_make = !is_queue(self.subscription.topic.family());
        loop {
            if link.closing.is_cancelled() || self.out.is_closed() {
                return false;
            }
            // What is in hand comes twice rather than never.
            let start = Start::At(self.share.lowest().unwrap_or(self.seen + 1));
            let found = if may_make {
                groups::ensure(&link, &epoch.session, &self.subscription, start).await.map(Some)
            } else {
                groups::find(&link, &epoch.session, &self.subscription).await
            };
            let (rest, reason) = match found {
                Ok(Some(info)) => {
                    self.found(&info);
                    self.count_lost(epoch, &info).await;
                    return true;
                }
                Ok(None) => {
                    self.share.lost();
                    may_make = true;
                    (limits::RECLAIM_AFTER, "deleted".to_owned())
                }
                Err(error) => (backoff.next(&*link.runtime.entropy), error.to_string()),
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    event = "bus.group_unavailable",
                    topic = self.subscription.topic.family().label(),
                    group = %self.subscription.group,
                    reason,
                    "a group is not to be had; it is tried again"
                );
            }
            tokio::select! {
                () = epoch.session.ended() => return true,
                () = link.closing.cancelled() => return false,
                () = self.out.closed() => return false,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// The group is there. If it is another than before, what was delivered by that one is not ours.
    fn found(&mut self, info: &ConsumerInfo) {
        if self.life != info.life() {
            info.life().clone_into(&mut self.life);
            if is_queue(self.subscription.topic.family()) {
                self.share.lost();
            }
        }
    }

    /// Inputs: messages and statuses; a settled delivery; the tick for signs of life; the reader
    /// leaving; the bus closing.
    async fn pull(&mut self, epoch: &Arc<Epoch>, mut inbox: Subscribed) -> End {
        let link = Arc::clone(&self.share.link);
        let share = Arc::clone(&self.share);
        let out = self.out.clone();
        let sign = (link.config.ack_wait / 3).max(Duration::from_millis(50));
        let mut sign = tokio::time::interval(sign);
        sign.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        let mut batch = Vec::new();
        let mut batches = 0;
        // Waited for through all turns, since to begin waiting costs.
        let (mut left, mut closing) = (pin!(out.closed()), pin!(link.closing.cancelled()));
        share.came(usize::MAX);
        loop {
            if let Err(error) = self.ask(epoch, &inbox.subject) {
                return if error.kind() == BusErrorKind::Closed { End::Disconnected } else { End::Renew };
            }
            batches += 1;
            tokio::select! {
                biased;
                came = inbox.messages.recv_many(&mut batch, AT_ONCE), if batches < BATCHES => {
                    silent = 0;
                    if came == 0 {
                        return if self.is_over(epoch) { End::Disconnected } else { End::Renew };
                    }
                    if let Some(end) = batch.drain(..).find_map(|inbound| self.take(inbound)) {
                        return end;
                    }
                }
                () = share.freed.notified() => {}
                _ = sign.tick() => share.keep(),
                _ = beat.tick() => {
                    silent += 1;
                    if silent > SILENT_TICKS && share.asked() > 0 {
                        return End::Renew;
                    }
                }
                () = &mut left => return End::Done,
                () = &mut closing => {
                    share.give_back_unread();
                    return End::Done;
                }
                () = std::future::ready(()), if batches >= BATCHES => batches = 0,
            }
        }
    }

    fn is_over(&self, epoch: &Arc<Epoch>) -> bool {
        self.share.link.current().is_none_or(|current| !Arc::ptr_eq(&current, epoch))
    }

    /// Asks for as many as there is room for, where it is worth a question.
    fn ask(&mut self, epoch: &Arc<Epoch>, reply: &str) -> Result<(), BusError> {
        let Some(room) = self.share.ask() else { return Ok(()) };
        let pull = json!({
            "batch": room, "expires": nanos(PULL_LIFE), "idle_heartbeat": nanos(HEARTBEAT),
        });
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        epoch.session.post(&subject, Some(reply), pull.to_string().as_bytes())
    }

    fn take(&mut self, mut inbound: Inbound) -> Option<End> {
        let Some(place) = inbound.reply.as_deref().and_then(Place::read) else { return self.heed(&inbound) };
        self.share.came(1);
        self.notice_gap(place);
        self.seen = self.seen.max(place.stream_seq);
        let hold = self.share.hold(place.stream_seq, inbound.reply.take().unwrap_or_default())?;
        let topic = self.subscription.topic.clone();
        let (id, attributes) = record::described(&topic, place.stream_seq, inbound.headers());
        let message = Message { id, attributes, body: inbound.into_payload() };
        let record = Record { message, topic, seq: place.stream_seq, published_at: place.published_at };
        // Room was made before it was asked for; more than that goes back to the group by being dropped.
        let _ = self.out.try_send(Item { record, deliveries: place.deliveries, hold });
        None
    }

    fn heed(&mut self, inbound: &Inbound) -> Option<End> {
        let (code, description) = headers::status(inbound.headers())?;
        match code {
            // An idle heartbeat.
            100 => None,
            // The pull is over: its time, or the batch. What it did not bring is asked for anew.
            408 | 404 => {
                let left = headers::servers_own(inbound.headers(), "Nats-Pending-Messages");
                let left = left.and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
                self.share.came(left);
                None
            }
            _ => {
                if description.contains("Consumer Deleted") && is_queue(self.subscription.topic.family()) {
                    self.share.lost();
                }
                tracing::debug!(event = "bus.group_lost", code, reason = description, group = %self.subscription.group, "a pull ended");
                Some(End::Renew)
            }
        }
    }

    /// Two first deliveries that follow each other at the server with places missing in between:
    /// retention dropped those before they were read. Only where the stream holds one subject, so
    /// that no place belongs to another topic.
    fn notice_gap(&mut self, place: Place) {
        if place.deliveries != 1 || !self.shows_gaps {
            return;
        }
        if let Some(last) = self.last.replace(place)
            && last.consumer_seq + 1 == place.consumer_seq
        {
            let mut losses = self.share.link.losses.lock().unwrap_or_else(PoisonError::into_inner);
            losses.dropped(&self.share.consumer, last.stream_seq, place.stream_seq.saturating_sub(1));
        }
    }

    /// What retention dropped beyond where the group had read, before anything more is read.
    async fn count_lost(&self, epoch: &Arc<Epoch>, info: &ConsumerInfo) {
        if let Ok(Some(stream)) = api::stream(&epoch.session, &self.stream).await {
            let mut losses = self.share.link.losses.lock().unwrap_or_else(PoisonError::into_inner);
            losses.dropped(
                &self.share.consumer,
                info.delivered.stream_seq,
                stream.state.first_seq.saturating_sub(1),
            );
        }
    }
}
