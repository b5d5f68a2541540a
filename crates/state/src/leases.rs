//! All leases, as this process sees them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_event::Clock;
use chatbus_runtime::Runtime;
use tokio::sync::watch;

use crate::mirror::Heard;
use crate::{Change, Entry, Key, Mirror, Observer, Space, State};

/// What is known of a lease's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It renewed its lease within its time.
    Lives,
    /// Perhaps: the watch has not lasted long enough to tell.
    Unknown,
    /// It did not renew its lease for its whole time, or has none; all of which was watched.
    Dead,
}

/// The leases of one kind, and who of their holders lives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaseView {
    mirror: Mirror,
    observer: Arc<Mutex<Observer>>,
    clock: Arc<dyn Clock>,
}

/// How often the observer is told that this process runs.
const SAY_EVERY: Duration = Duration::from_secs(1);

// === impl LeaseView ===

impl LeaseView {
    /// A view of leases that last `ttl`; [`LeaseView::keep`] fills it.
    pub fn new(ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        let observer = Arc::new(Mutex::new(Observer::new(ttl)));
        Self { mirror: Mirror::new(Space::Leases), observer, clock }
    }

    /// Watches until the process stops.
    pub async fn keep(&self, state: Arc<dyn State>, runtime: Runtime) {
        let tell = |heard: Heard<'_>| {
            let now = self.clock.instant();
            let mut observer = self.lock();
            observer.ran(now);
            match heard {
                Heard::Begun(entries) => {
                    // What was given up while nobody watched is gone.
                    observer.keep_only(|key| entries.contains_key(key));
                    for (key, (entry, _)) in entries {
                        observer.saw(key, entry.revision, now);
                    }
                    observer.begun(now);
                }
                Heard::Changed(Change::Set(key, entry)) => observer.saw(key, entry.revision, now),
                Heard::Changed(Change::Removed(key)) => observer.gone(key),
                Heard::Changed(Change::Current) => {}
                Heard::Broken => observer.broken(),
            }
        };
        let runs = async {
            loop {
                tokio::time::sleep(SAY_EVERY).await;
                self.lock().ran(self.clock.instant());
            }
        };
        tokio::select! {
            biased;
            () = self.mirror.follow(&*state, &runtime, tell) => {}
            () = runs => {}
        }
    }

    /// Whether the holder of this lease lives.
    pub fn liveness(&self, key: &Key) -> Liveness {
        let now = self.clock.instant();
        let observer = self.lock();
        if observer.lives(key, now) {
            Liveness::Lives
        } else if observer.may_live(key, now) {
            Liveness::Unknown
        } else {
            Liveness::Dead
        }
    }

    /// The leases under `prefix` whose holders live.
    pub fn living(&self, prefix: &Key) -> Vec<(Key, Entry)> {
        let now = self.clock.instant();
        let all = self.mirror.under(prefix);
        let observer = self.lock();
        all.into_iter().filter(|(key, _)| observer.lives(key, now)).collect()
    }

    /// When a holder that lives now will be dead unless it renews its lease; for who waits for that.
    pub fn next_death(&self) -> Option<Instant> {
        self.lock().next_death(self.clock.instant())
    }

    /// Whether the watch is unbroken.
    pub fn is_current(&self) -> bool {
        self.mirror.is_current()
    }

    /// Changes with every renewal, and with every lease that comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.mirror.changes()
    }

    fn lock(&self) -> MutexGuard<'_, Observer> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
