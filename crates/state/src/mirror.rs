//! A space's copy in memory, kept by a watch.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_runtime::{Backoff, Runtime};
use tokio::sync::watch;
use tracing::debug;

use crate::{Change, Changes, Entry, Key, Space, State};

/// What a space holds, as the watch tells it: perhaps a little late, and while the watch is broken as it
/// was. Cheap to clone and to ask.
#[derive(Debug, Clone)]
pub struct Mirror(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    space: Space,
    copy: Mutex<Copy>,
    changed: watch::Sender<u64>,
    lost: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Copy {
    entries: Told,
    is_current: bool,
}

/// Entries, and when each was told.
pub(crate) type Told = BTreeMap<Key, (Entry, Instant)>;

/// What happened to a mirror, for who follows it while it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// A watch began: this is all there is.
    Begun(&'a Told),
    /// A change.
    Changed(&'a Change),
    /// The watch broke.
    Broken,
}

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

// === impl Mirror ===

impl Mirror {
    /// An empty mirror; [`Mirror::keep`] fills it.
    pub fn new(space: Space) -> Self {
        let copy = Mutex::default();
        let (changed, lost) = (watch::Sender::new(0), watch::Sender::new(0));
        Self(Arc::new(Inner { space, copy, changed, lost }))
    }

    /// Watches until the process stops.
    pub async fn keep(&self, state: Arc<dyn State>, runtime: Runtime) {
        self.follow(&*state, &runtime, |_| {}).await;
    }

    /// Watches until the process stops, and tells each thing that happened.
    pub(crate) async fn follow(&self, state: &dyn State, runtime: &Runtime, mut tell: impl FnMut(Heard<'_>)) {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let watching = async {
            loop {
                match state.watch(self.0.space).await {
                    Ok(mut changes) => {
                        self.watched(&mut *changes, runtime, &mut tell, &mut backoff).await;
                        self.broken();
                        tell(Heard::Broken);
                    }
                    Err(error) => {
                        debug!(event = "state.unwatched", space = self.0.space.name(), reason = %error, "no watch yet");
                    }
                }
                tokio::time::sleep(backoff.next(&*runtime.entropy)).await;
            }
        };
        tokio::select! {
            biased;
            () = runtime.stop.cancelled() => {}
            () = watching => {}
        }
        self.broken();
        tell(Heard::Broken);
    }

    async fn watched(
        &self,
        changes: &mut dyn Changes,
        runtime: &Runtime,
        tell: &mut impl FnMut(Heard<'_>),
        backoff: &mut Backoff,
    ) {
        let now = || runtime.clock.instant();
        let mut sweep = std::pin::pin!(tokio::time::sleep(self.sweep_every()));
        let mut first = Some(Told::new());
        loop {
            let change = tokio::select! {
                biased;
                () = &mut sweep => {
                    sweep.set(tokio::time::sleep(self.sweep_every()));
                    self.sweep(now(), tell);
                    continue;
                }
                change = changes.next() => change,
            };
            let Some(change) = change else { return };
            match (&mut first, change) {
                (Some(entries), Change::Set(key, entry)) => drop(entries.insert(key, (entry, now()))),
                (Some(entries), Change::Removed(key)) => drop(entries.remove(&key)),
                (Some(entries), Change::Current) => {
                    let entries = std::mem::take(entries);
                    tell(Heard::Begun(&entries));
                    *self.lock() = Copy { entries, is_current: true };
                    self.0.lost.send_modify(|version| *version += 1);
                    first = None;
                    backoff.reset();
                }
                (None, change) => {
                    tell(Heard::Changed(&change));
                    match change {
                        Change::Set(key, entry) => drop(self.lock().entries.insert(key, (entry, now()))),
                        Change::Removed(key) => {
                            self.lock().entries.remove(&key);
                            self.0.lost.send_modify(|version| *version += 1);
                        }
                        Change::Current => {}
                    }
                }
            }
            if first.is_none() {
                self.0.changed.send_modify(|version| *version += 1);
            }
        }
    }

    /// What is told stays in the copy for at most a quarter longer than its time to live. The watch
    /// says nothing of what the state forgets, and copies of every lease there ever was would pile up.
    fn sweep_every(&self) -> Duration {
        const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
        self.0.space.ttl().map_or(A_DAY, |ttl| ttl / 4)
    }

    fn sweep(&self, now: Instant, tell: &mut impl FnMut(Heard<'_>)) {
        let Some(ttl) = self.0.space.ttl() else { return };
        let mut gone = Vec::new();
        self.lock().entries.retain(|key, (_, told)| {
            let stays = now.saturating_duration_since(*told) < ttl;
            if !stays {
                gone.push(key.clone());
            }
            stays
        });
        for key in gone {
            tell(Heard::Changed(&Change::Removed(key)));
            self.0.changed.send_modify(|version| *version += 1);
            self.0.lost.send_modify(|version| *version += 1);
        }
    }

    fn broken(&self) {
        self.lock().is_current = false;
        self.0.changed.send_modify(|version| *version += 1);
    }

    /// Whether the watch is unbroken, and told all there is.
    pub fn is_current(&self) -> bool {
        self.lock().is_current
    }

    /// Changes whenever an answer of this mirror may have.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Changes whenever something that stood here may stand here no more.
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.0.lost.subscribe()
    }

    /// What stands under a key.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.lock().entries.get(key).map(|(entry, _)| entry.clone())
    }

    /// The entries whose keys are under `prefix`, by key.
    pub fn under(&self, prefix: &Key) -> Vec<(Key, Entry)> {
        let copy = self.lock();
        let from = copy.entries.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        // Keys under the prefix may have others between them: `a`, `a-b`, `a.c`.
        from.take_while(|(key, _)| key.as_str().starts_with(prefix.as_str()))
            .filter(|(key, _)| key.is_under(prefix))
            .map(|(key, (entry, _))| (key.clone(), entry.clone()))
            .collect()
    }

    /// All entries, by key.
    pub fn all(&self) -> Vec<(Key, Entry)> {
        self.lock().entries.iter().map(|(key, (entry, _))| (key.clone(), entry.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Copy> {
        self.0.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
