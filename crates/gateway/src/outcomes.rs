//! Tells bots what became of what they sent: one reading of the outcomes for a whole instance, while
//! anybody waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_bus::{Bus, Record, ScanTopics};
use chatbus_event::json::Raw;
use chatbus_event::{Family, Timestamp, names};
use chatbus_runtime::Runtime;
use futures::StreamExt as _;

use crate::feed;
use crate::frames;
use crate::link::Link;

/// Who waits for the outcomes of which deliveries.
#[derive(Default)]
pub(crate) struct Outcomes {
    waits: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    by_delivery: HashMap<String, Wait>,
    is_reading: bool,
}

/// Somebody who waits.
pub(crate) struct Wait {
    pub(crate) link: Weak<Link>,
    pub(crate) id: Option<String>,
    pub(crate) until: Instant,
    /// Whether the client was told that the bus has it: the outcome comes after that.
    acked: bool,
    outcome: Option<Bytes>,
}

/// So many wait on an instance; beyond that outcomes are not told.
const MAX_WAITS: usize = 10_000;
/// How far the bus's clock may be behind ours.
const CLOCK_SLACK: Duration = Duration::from_secs(2);
/// How often those who waited too long are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

// === impl Wait ===

impl Wait {
    pub(crate) fn new(link: &Arc<Link>, id: Option<String>, until: Instant) -> Self {
        Self { link: Arc::downgrade(link), id, until, acked: false, outcome: None }
    }
}

// === impl Outcomes ===

impl Outcomes {
    /// Waits for a delivery's outcome. To be called before the delivery is published.
    pub(crate) fn wait(self: &Arc<Self>, runtime: &Runtime, bus: &Arc<dyn Bus>, delivery: &str, wait: Wait) {
        let mut waits = self.lock();
        if waits.by_delivery.len() >= MAX_WAITS {
            return;
        }
        waits.by_delivery.insert(delivery.to_owned(), wait);
        if !std::mem::replace(&mut waits.is_reading, true) {
            let since = runtime.clock.now().minus(CLOCK_SLACK);
            let reading = Arc::clone(self).read(runtime.clone(), Arc::clone(bus), since);
            runtime.spawn("gateway.outcomes", reading);
        }
    }

    /// The client was told that the bus has it.
    pub(crate) fn acked(&self, delivery: &str) {
        let mut waits = self.lock();
        let Some(wait) = waits.by_delivery.get_mut(delivery) else { return };
        wait.acked = true;
        if let Some(outcome) = wait.outcome.take() {
            let link = wait.link.upgrade();
            waits.by_delivery.remove(delivery);
            drop(waits);
            if let Some(link) = link {
                link.tell(outcome);
            }
        }
    }

    async fn read(self: Arc<Self>, runtime: Runtime, bus: Arc<dyn Bus>, since: Timestamp) {
        let mut records = feed::follow(bus, ScanTopics::Family(Family::Finalizer), since);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                record = records.next() => match record {
                    Some(record) => self.outcome(&record, runtime.clock.now()),
                    None => break,
                },
                _ = sweep.tick() => {
                    let now = runtime.clock.instant();
                    let mut waits = self.lock();
                    waits.by_delivery.retain(|_, wait| wait.until > now && wait.link.strong_count() > 0);
                    if waits.by_delivery.is_empty() {
                        waits.is_reading = false;
                        return;
                    }
                }
            }
        }
        let mut waits = self.lock();
        waits.by_delivery.clear();
        waits.is_reading = false;
    }

    fn outcome(&self, record: &Record, now: Timestamp) {
        let Ok(body) = Raw::parse(&record.message.body) else { return };
        let read = body.get("deliveryId").and_then(|id| id.as_str().map(|id| id.into_owned()));
        let attribute = || record.message.attributes.get(names::DELIVERY_ID).map(str::to_owned);
        let Some(delivery) = read.or_else(attribute) else { return };
        let mut waits = self.lock();
        let Some(wait) = waits.by_delivery.get_mut(&delivery) else { return };
        let frame = frames::outcome(wait.id.as_deref(), &delivery, &body, now);
        if !wait.acked {
            wait.outcome = Some(frame);
            return;
        }
        let link = wait.link.upgrade();
        waits.by_delivery.remove(&delivery);
        drop(waits);
        if let Some(link) = link {
            link.tell(frame);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
