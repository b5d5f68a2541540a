//! One publisher with a window, whichever way the messages go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chatbus_bus::{Bus, Receipt};
use chatbus_event::Clock;
use futures::FutureExt as _;

use super::bare::Bare;
use super::report::Times;
use super::sample::Sample;
use super::usage::{Spent, Stopwatch};

/// A way onto a bus.
pub(super) enum Via {
    /// A driver.
    Driver(Driver),
    /// A bare client.
    Bare(Box<Bare>),
}

/// A driver, and what it has not acknowledged.
pub(super) struct Driver {
    bus: Arc<dyn Bus>,
    sample: Sample,
    clock: Arc<dyn Clock>,
    in_flight: VecDeque<(Instant, Receipt)>,
}

/// What one publisher did.
pub(super) struct Published {
    pub(super) spent: Spent,
    pub(super) times: Times,
    pub(super) messages: u64,
}

// === impl Via ===

impl Via {
    pub(super) fn driver(bus: &Arc<dyn Bus>, sample: Sample, clock: &Arc<dyn Clock>) -> Self {
        let (bus, clock) = (Arc::clone(bus), Arc::clone(clock));
        Self::Driver(Driver { bus, sample, clock, in_flight: VecDeque::new() })
    }

    pub(super) async fn bare(url: &str, sample: Sample, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        Ok(Self::Bare(Box::new(Bare::connect(url, sample, Arc::clone(clock)).await?)))
    }

    pub(super) fn in_flight(&self) -> usize {
        match self {
            Self::Driver(driver) => driver.in_flight.len(),
            Self::Bare(bare) => bare.in_flight(),
        }
    }

    pub(super) async fn publish(&mut self, n: u64) -> anyhow::Result<()> {
        match self {
            Self::Driver(driver) => {
                let (begun, message) = (driver.clock.instant(), driver.sample.message(n));
                let receipt = driver.bus.publish(driver.sample.topic(), message);
                driver.in_flight.push_back((begun, receipt));
                Ok(())
            }
            Self::Bare(bare) => bare.publish(n).await,
        }
    }

    /// Waits for the oldest message's acknowledgement, and gives what it took. Safe to drop while
    /// waiting.
    pub(super) async fn settle(&mut self) -> anyhow::Result<Duration> {
        match self {
            Self::Driver(driver) => driver.settle().await,
            Self::Bare(bare) => bare.settle().await,
        }
    }

    /// The oldest message's acknowledgement, if it is there.
    pub(super) fn settle_ready(&mut self) -> anyhow::Result<Option<Duration>> {
        match self {
            Self::Driver(driver) if driver.in_flight.is_empty() => Ok(None),
            Self::Driver(driver) => driver.settle().now_or_never().transpose(),
            Self::Bare(bare) => bare.settle_ready(),
        }
    }

    /// Publishes for some time from message `first` on, with so many in flight, and waits for all.
    pub(super) async fn run(
        &mut self,
        first: u64,
        window: usize,
        time: Duration,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Published> {
        let watch = Stopwatch::start(clock);
        let mut times = Times::new()?;
        let mut n = first;
        while watch.passed() < time {
            while self.in_flight() < window {
                self.publish(n).await?;
                n += 1;
            }
            times.record(self.settle().await?);
            while let Some(took) = self.settle_ready()? {
                times.record(took);
            }
        }
        while self.in_flight() > 0 {
            times.record(self.settle().await?);
        }
        Ok(Published { spent: watch.spent(), messages: n - first, times })
    }
}

// === impl Driver ===

impl Driver {
    async fn settle(&mut self) -> anyhow::Result<Duration> {
        let (begun, receipt) = self.in_flight.front_mut().context("nothing is in flight")?;
        let stored = receipt.await?;
        let took = self.clock.instant().saturating_duration_since(*begun);
        self.in_flight.pop_front();
        anyhow::ensure!(!stored.duplicate, "the bus took a new message for a duplicate");
        Ok(took)
    }
}
