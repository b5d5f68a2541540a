//! What a connector holds: takes its events, counts them, hands them to the pipeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{Accept, Accepted, Emit, Emitted, Inbound, Status};
use chatbus_event::{Clock, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Counts for one platform what became of its events. Called once for a batch, never for a message.
pub trait Tally: Send + Sync {
    /// `published` more events are on the bus.
    fn published(&self, published: u64);

    /// `failed` more events are lost, or on the bus only as dead letters, for a stated reason.
    fn failed(&self, failed: u64);
}

/// Events of one platform on their way into the pipeline.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) platform: &'static str,
    /// Since when they count as read, by both clocks: since the oldest was, see [`WAITED_MAX`].
    pub(crate) read_at: Instant,
    pub(crate) wall: Timestamp,
    pub(crate) events: Vec<Inbound>,
    /// Who waits to hear that they are safe: nobody, or one for each event.
    pub(crate) told: Vec<oneshot::Sender<Accepted>>,
}

/// One platform's way into the pipeline.
pub(crate) struct Emitter {
    pub(crate) platform: &'static str,
    pub(crate) clock: Arc<dyn Clock>,
    /// One permit for each event between here and the pipeline, which gives them back.
    pub(crate) room: Arc<Semaphore>,
    /// Holds as many batches as there are permits, so it is never what one waits for.
    pub(crate) queue: mpsc::Sender<Batch>,
    pub(crate) received: prometheus_client::metrics::counter::Counter,
}

/// More than this are handed over in parts, so that no one emitter fills the queue.
const BATCH_EVENTS: usize = 128;

/// Before they are handed over events wait in the connector, which is part of their age. The wall
/// clock tells how long, so it is believed up to here and no further.
const WAITED_MAX: Duration = Duration::from_secs(1);

// === impl Emitter ===

impl Emitter {
    fn read_at(&self, events: &[Inbound]) -> (Instant, Timestamp) {
        let (now, wall) = (self.clock.instant(), self.clock.now());
        let waited = events.first().map_or(Duration::ZERO, |oldest| wall.since(oldest.received_at));
        match now.checked_sub(waited) {
            Some(read_at) if waited <= WAITED_MAX => (read_at, wall.minus(waited)),
            _ => (now, wall),
        }
    }
}

#[async_trait]
impl Emit for Emitter {
    async fn emit(&self, mut events: Vec<Inbound>) -> Emitted {
        self.received.inc_by(events.len() as u64);
        let (read_at, wall) = self.read_at(&events);
        while !events.is_empty() {
            let rest = if events.len() > BATCH_EVENTS { events.split_off(BATCH_EVENTS) } else { Vec::new() };
            let weight = u32::try_from(events.len()).unwrap_or(u32::MAX);
            let Ok(permit) = self.room.acquire_many(weight).await else { return Emitted::Stopped };
            permit.forget();
            let batch = Batch { platform: self.platform, read_at, wall, events, told: Vec::new() };
            if self.queue.send(batch).await.is_err() {
                return Emitted::Stopped;
            }
            events = rest;
        }
        if self.queue.is_closed() { Emitted::Stopped } else { Emitted::Taken }
    }
}

#[async_trait]
impl Accept for Emitter {
    async fn accept(&self, event: Inbound) -> Accepted {
        let stopped = || Accepted::Refused("this instance has stopped publishing".to_owned());
        self.received.inc();
        let events = vec![event];
        let (read_at, wall) = self.read_at(&events);
        let Ok(permit) = self.room.acquire().await else { return stopped() };
        permit.forget();
        let (tell, told) = oneshot::channel();
        let batch = Batch { platform: self.platform, read_at, wall, events, told: vec![tell] };
        if self.queue.send(batch).await.is_err() {
            return stopped();
        }
        // Nobody tells when it was dropped, or when the pipeline ended before it was safe.
        told.await.unwrap_or_else(|_| Accepted::Refused("the event could not be kept".to_owned()))
    }
}

impl Tally for Status {
    fn published(&self, published: u64) {
        self.count(|snapshot| snapshot.counters.published += published);
    }

    fn failed(&self, failed: u64) {
        self.count(|snapshot| snapshot.counters.failed += failed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatbus_event::{Attributes, MessageId};
    use chatbus_testkit::FakeClock;

    use super::*;

    #[test]
    fn events_count_as_read_since_the_oldest_was_unless_the_wall_clock_jumped() {
        let clock = FakeClock::at(Timestamp::from_millis(10_000_000));
        clock.advance(Duration::from_secs(60));
        let (queue, _taken) = mpsc::channel(1);
        let emitter = Emitter {
            platform: "test",
            clock: Arc::new(clock.clone()),
            room: Arc::new(Semaphore::new(1)),
            queue,
            received: prometheus_client::metrics::counter::Counter::default(),
        };
        let (now, wall) = (clock.instant(), clock.now());
        for (age, counts) in [(0, 0), (20, 20), (1_000, 1_000), (1_001, 0), (3_600_000, 0)] {
            let age = Duration::from_millis(age);
            let oldest = Inbound {
                id: MessageId::new("m"),
                attributes: Attributes::new(),
                body: Bytes::new(),
                conversation: "#a".into(),
                received_at: wall.minus(age),
            };
            let counts = Duration::from_millis(counts);
            assert_eq!(
                emitter.read_at(&[oldest]),
                (now.checked_sub(counts).unwrap(), wall.minus(counts)),
                "{age:?}"
            );
        }
    }
}
