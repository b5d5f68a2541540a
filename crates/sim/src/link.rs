//! What stands between an instance and the servers: how its bus and its state misbehave now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use chatbus_bus::{BusStatus, Delivery};
use chatbus_state::MemoryState;
use tokio::sync::watch;

use crate::clock::now;
use crate::rng::{Rng, SharedRng};
use crate::trace::Trace;

/// An instance's way to the servers, through all of its lives.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) trace: Trace,
    weather: Mutex<Weather>,
    rng: SharedRng,
    /// Whether the bus is in reach, as the instance sees it.
    pub(crate) bus: watch::Sender<BusStatus>,
    pub(crate) state: Arc<MemoryState>,
    held: Mutex<Vec<Weak<Held>>>,
    /// Answers that did not say what was done.
    pub(crate) uncertain: Mutex<Vec<(Instant, Instant)>>,
}

/// A delivery as the server counts it: in this instance's hands, until it takes it back.
pub(crate) type Held = Mutex<Option<Delivery>>;

/// How the way is now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Operations on the bus that fail, in percent.
    pub(crate) flaky_bus: u64,
    /// The same on the state.
    pub(crate) flaky_state: u64,
    /// The longest an operation is under way, in milliseconds.
    pub(crate) slow_ms: u64,
    /// Deliveries that are handed over once more, in percent.
    pub(crate) repeats: u64,
}

/// What becomes of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// How long it waits in the process, as in a client's buffer.
    pub(crate) held_back: Duration,
    /// How long it is on the wire.
    pub(crate) before: Duration,
    /// How long its answer is.
    pub(crate) after: Duration,
    pub(crate) done: bool,
    pub(crate) answered: bool,
}

// === impl Link ===

impl Link {
    pub(crate) fn new(name: &str, trace: Trace, rng: SharedRng, state: Arc<MemoryState>) -> Self {
        let status = BusStatus { connected: true, epoch: 1, reason: None };
        Self {
            name: name.to_owned(),
            trace,
            weather: Mutex::default(),
            rng,
            bus: watch::Sender::new(status),
            state,
            held: Mutex::default(),
            uncertain: Mutex::default(),
        }
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        self.trace.say(&self.name, what);
    }

    pub(crate) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        self.rng.with(draw)
    }

    pub(crate) fn set_bus(&self, connected: bool) {
        self.bus.send_if_modified(|status| {
            if status.connected == connected {
                return false;
            }
            status.connected = connected;
            status.epoch += u64::from(connected);
            status.reason = (!connected).then(|| "cut off".into());
            true
        });
    }

    pub(crate) fn is_cut(&self) -> bool {
        !self.bus.borrow().connected
    }

    /// What becomes of the next operation on the bus.
    pub(crate) fn bus_fate(&self) -> Fate {
        let weather = *self.weather();
        self.fate(weather.flaky_bus, weather.slow_ms)
    }

    /// What becomes of the next operation on the state.
    pub(crate) fn state_fate(&self) -> Fate {
        let weather = *self.weather();
        self.fate(weather.flaky_state, weather.slow_ms)
    }

    fn fate(&self, flaky: u64, slow_ms: u64) -> Fate {
        self.draw(|rng| {
            let mut part =
                || if slow_ms > 0 && rng.chance(30) { rng.millis(0, slow_ms) } else { Duration::ZERO };
            let (held_back, before, after) = (part(), part(), part());
            let fails = flaky > 0 && rng.chance(flaky);
            let done = !fails || rng.chance(50);
            Fate { held_back, before, after, done, answered: !fails }
        })
    }

    /// Notes an answer that did not say what was done.
    pub(crate) fn note_uncertain(&self, since: Instant) {
        self.uncertain.lock().unwrap_or_else(PoisonError::into_inner).push((since, now()));
    }

    /// Remembers a delivery in this instance's hands.
    pub(crate) fn hold(&self, held: &Arc<Held>) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|held| held.strong_count() > 0);
        all.push(Arc::downgrade(held));
    }

    /// The server waited long enough for what this instance holds: others may have it.
    pub(crate) fn take_back(&self) {
        let all = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        for held in all.iter().filter_map(Weak::upgrade) {
            let taken = held.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(delivery) = taken {
                self.say(|| format!("server takes back {}", delivery.record().topic));
            }
        }
    }
}

/// Waits; not at all for no time.
pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// Lets go of something later.
pub(crate) fn drop_later(time: Duration, what: impl Send + 'static) {
    later(time, async move { drop(what) });
}

/// Does something in a while, whatever becomes of who asked for it.
#[expect(clippy::disallowed_methods, reason = "what servers do is no task of a process")]
pub(crate) fn later(time: Duration, what: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        pause(time).await;
        what.await;
    });
}
