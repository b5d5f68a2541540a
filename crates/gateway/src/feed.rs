//! One task for one subscription: reads the bus, and hands events to the connection one after the other.
//!
//! It holds what the bus handed out until the connection says what became of it; 256 events at most are
//! in hand, and the bus hands out no more. What ends unsettled, however it ends, the bus hands out again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::{
    Bus, BusError, Consumer, Delivery, Group, Record, Records, Scan, ScanFrom, ScanTopics, Settlement,
    Subscription,
};
use chatbus_event::Timestamp;
use chatbus_runtime::Runtime;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tracing::debug;

use crate::codes::ErrorCode;
use crate::coverage::Coverage;
use crate::egress::Refused;
use crate::frames::Durable;
use crate::groups::{self, MAX_PLACES};

/// What a subscription tells its connection. The end of it all is the end of the channel.
pub(crate) enum Told {
    /// Events come.
    Open,
    /// It cannot be; why.
    Failed(Refused),
    /// An event.
    Event(Held),
}

/// An event in hand.
pub(crate) enum Held {
    /// The bus's, until it is settled.
    Delivery(Delivery),
    /// One that was read.
    Record(Record),
}

/// The connection's end of a subscription; dropped, it ends the subscription.
pub(crate) struct Tap {
    told: mpsc::Receiver<Told>,
    settled: mpsc::Sender<(Held, bool)>,
}

/// The task's end.
pub(crate) struct Pump {
    bus: Arc<dyn Bus>,
    coverage: Coverage,
    told: mpsc::Sender<Told>,
    settled: mpsc::Receiver<(Held, bool)>,
}

/// Where events come from.
enum Source {
    /// A group of the bus, which remembers.
    Group(Box<dyn Consumer>),
    /// A reading of what comes, and what is to be sent again.
    Following { records: BoxStream<'static, Record>, again: VecDeque<Record> },
}

/// A reading that goes on after a break.
struct Follower {
    bus: Arc<dyn Bus>,
    topics: ScanTopics,
    records: Option<Box<dyn Records>>,
    /// The last one read.
    last: Option<u64>,
    since: Timestamp,
}

/// Events in hand at once.
pub(crate) const IN_FLIGHT: usize = 256;
/// How long the bus may take to begin.
const OPEN_WITHIN: Duration = Duration::from_secs(8);
/// How long acknowledgements may take at the end.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);
/// How long a reading that broke waits.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Begins a subscription.
pub(crate) fn subscribe(runtime: &Runtime, bus: Arc<dyn Bus>, coverage: Coverage, durable: &Durable) -> Tap {
    let (tell, told) = mpsc::channel(1);
    let (settle, settled) = mpsc::channel(IN_FLIGHT);
    let group = groups::group_of(&coverage.token.id, durable);
    let since = runtime.clock.now();
    let pump = Pump { bus, coverage, told: tell, settled };
    runtime.spawn("gateway.subscription", pump.run(group, since));
    Tap { told, settled: settle }
}

/// Reads what was accepted since then and what comes, over breaks, until the bus is closed.
pub(crate) fn follow(bus: Arc<dyn Bus>, topics: ScanTopics, since: Timestamp) -> BoxStream<'static, Record> {
    let follower = Follower { bus, topics, records: None, last: None, since };
    stream::unfold(follower, Follower::next).boxed()
}

// === impl Held ===

impl Held {
    /// The event.
    pub(crate) fn body(&self) -> &Bytes {
        match self {
            Self::Delivery(delivery) => &delivery.record().message.body,
            Self::Record(record) => &record.message.body,
        }
    }
}

// === impl Tap ===

impl Tap {
    /// What the subscription tells.
    pub(crate) fn told(&mut self) -> &mut mpsc::Receiver<Told> {
        &mut self.told
    }

    /// Says that an event was acknowledged, or that it is to come again.
    pub(crate) fn settle(&self, held: Held, acked: bool) {
        // There is room for all that can be in hand; where it fails the task is gone, and it comes again.
        let _ = self.settled.try_send((held, acked));
    }

    /// Ends the subscription, and waits until it has let go of the bus.
    pub(crate) async fn ended(self) {
        let Self { mut told, settled } = self;
        drop(settled);
        while told.recv().await.is_some() {}
    }
}

// === impl Pump ===

impl Pump {
    async fn run(mut self, group: Option<Result<Group, BusError>>, since: Timestamp) {
        let opening = tokio::time::timeout(OPEN_WITHIN, self.open(group, since));
        let opened = tokio::select! {
            opened = opening => opened,
            () = self.told.closed() => return,
        };
        let mut source = match opened {
            Ok(Ok(source)) => source,
            Ok(Err(why)) => return self.failed(why).await,
            Err(_) => {
                let why = "the bus did not answer in time".to_owned();
                return self.failed((ErrorCode::BusUnavailable, why)).await;
            }
        };
        if self.told.send(Told::Open).await.is_err() {
            return;
        }
        let mut settling = FuturesUnordered::new();
        self.pump(&mut source, &mut settling).await;
        let _ = tokio::time::timeout(SETTLE_WITHIN, settling.for_each(async |()| {})).await;
        drop(source);
    }

    async fn failed(self, why: Refused) {
        let _ = self.told.send(Told::Failed(why)).await;
    }

    async fn open(
        &self,
        group: Option<Result<Group, BusError>>,
        since: Timestamp,
    ) -> Result<Source, Refused> {
        let away = |error: BusError| (ErrorCode::BusUnavailable, error.to_string());
        let topic = self.coverage.feed.topic();
        let Some(group) = group else {
            let topics = ScanTopics::One(topic);
            let mut follower =
                Follower { bus: Arc::clone(&self.bus), topics, records: None, last: None, since };
            follower.records = Some(follower.scan(ScanFrom::New).await.map_err(away)?);
            let records = stream::unfold(follower, Follower::next).boxed();
            return Ok(Source::Following { records, again: VecDeque::new() });
        };
        let group = group.map_err(away)?;
        if !groups::has_room(&*self.bus, &self.coverage.token.id, &topic, &group).await.map_err(away)? {
            let why = format!(
                "the token has {MAX_PLACES} durable subscriptions; give one up with unsubscribe and its name"
            );
            return Err((ErrorCode::Refused, why));
        }
        let subscription = Subscription::new(topic, group).max_in_flight(IN_FLIGHT);
        Ok(Source::Group(self.bus.subscribe(subscription).await.map_err(away)?))
    }

    /// Until the connection is gone, or the bus.
    async fn pump(&mut self, source: &mut Source, settling: &mut FuturesUnordered<BoxFuture<'static, ()>>) {
        let mut waiting: Option<Held> = None;
        let mut in_hand = 0_usize;
        loop {
            tokio::select! {
                biased;
                settled = self.settled.recv() => {
                    let Some((held, acked)) = settled else { return };
                    in_hand = in_hand.saturating_sub(1);
                    source.settle(held, acked, settling);
                }
                Some(()) = settling.next(), if !settling.is_empty() => {}
                permit = self.told.reserve(), if waiting.is_some() => {
                    let (Ok(permit), Some(held)) = (permit, waiting.take()) else { return };
                    in_hand += 1;
                    permit.send(Told::Event(held));
                }
                next = source.next(), if waiting.is_none() && in_hand < IN_FLIGHT => {
                    let Some(held) = next else { return };
                    if self.coverage.covers(held.body()) {
                        waiting = Some(held);
                    } else {
                        source.settle(held, true, settling);
                    }
                }
            }
        }
    }
}

// === impl Source ===

impl Source {
    /// The next event; may be dropped while it waits.
    async fn next(&mut self) -> Option<Held> {
        match self {
            Self::Group(consumer) => consumer.next().await.map(Held::Delivery),
            Self::Following { records, again } => {
                if let Some(record) = again.pop_front() {
                    return Some(Held::Record(record));
                }
                records.next().await.map(Held::Record)
            }
        }
    }

    fn settle(&mut self, held: Held, acked: bool, settling: &mut FuturesUnordered<BoxFuture<'static, ()>>) {
        match (held, self) {
            (Held::Delivery(delivery), _) => settling.push(Box::pin(async move {
                let settlement = if acked { Settlement::Ack } else { Settlement::Return };
                if let Err(error) = delivery.settle(settlement).await {
                    debug!(event = "gateway.bot_settle_failed", reason = %error, "an event comes again");
                }
            })),
            // Bounded by what is in hand.
            (Held::Record(record), Self::Following { again, .. }) if !acked => again.push_back(record),
            (Held::Record(_), _) => {}
        }
    }
}

// === impl Follower ===

impl Follower {
    async fn scan(&mut self, from: ScanFrom) -> Result<Box<dyn Records>, BusError> {
        let topics = self.topics.clone();
        self.bus.scan(Scan { topics, from, follow: true }).await
    }

    /// The next record; none once the bus is closed.
    async fn next(mut self) -> Option<(Record, Self)> {
        loop {
            let read = match &mut self.records {
                Some(records) => records.next().await,
                None => match self.scan(ScanFrom::Time(self.since)).await {
                    Ok(records) => {
                        self.records = Some(records);
                        continue;
                    }
                    Err(error) => Some(Err(error)),
                },
            };
            match read? {
                Ok(record) if self.last.is_some_and(|last| record.seq <= last) => {}
                Ok(record) => {
                    self.last = Some(record.seq);
                    self.since = record.published_at;
                    return Some((record, self));
                }
                Err(error) => {
                    debug!(event = "gateway.bot_reading_broke", reason = %error, "reading begins again");
                    self.records = None;
                    tokio::time::sleep(REOPEN_AFTER).await;
                }
            }
        }
    }
}
