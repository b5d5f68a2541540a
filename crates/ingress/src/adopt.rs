//! Drains the spools that other instances left behind: one folder at a time, oldest first, and only
//! while our own is empty.
//!
//! Their events are older than ours and marked as late when they are; live events do not wait for
//! them, since no order is promised between what two instances read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{Bus, Message};
use chatbus_event::Topic;
use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use tokio::sync::watch;

use crate::config::{RETRY_INITIAL, RETRY_MAX};
use crate::health::IngressHealth;
use crate::kept::{Kept, Route};
use crate::machine::Counts;
use crate::meter::Meter;
use crate::platforms::Platforms;
use crate::rewrite;
use crate::spool::{Folder, Job, Read, RealDisk, Store};

/// Looks for folders without an owner and drains them.
pub(crate) struct Adopter {
    pub(crate) root: PathBuf,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) topic: Topic,
    pub(crate) dead_letters: Topic,
    pub(crate) platforms: Platforms,
    pub(crate) meter: Meter,
    pub(crate) health: watch::Receiver<IngressHealth>,
    pub(crate) late_after: Duration,
    pub(crate) runtime: Runtime,
    pub(crate) source: String,
}

/// How often it looks. An instance that dies is missed sooner by others; its spool can wait.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Published at once, then waited for: small, so that live events are not held up.
const BATCH_BYTES: usize = 256 * 1024;

// === impl Adopter ===

impl Adopter {
    /// Runs until `stop` is cancelled; what is not drained then is found again.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let forever = async {
            loop {
                for folder in self.orphans().await {
                    self.drain(folder).await;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = forever => {}
        }
    }

    async fn orphans(&self) -> Vec<Folder> {
        let root = self.root.clone();
        let found = tokio::task::spawn_blocking(move || Folder::orphans(&root)).await;
        found.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn drain(&mut self, folder: Folder) {
        let platforms = self.platforms.clone();
        let opened =
            tokio::task::spawn_blocking(move || Store::open(folder, u64::MAX, Box::new(RealDisk), platforms));
        let Ok(Ok((mut store, found))) = opened.await else { return };
        let started = self.runtime.clock.instant();
        let events = found.next - found.cursor;
        if events > 0 {
            self.meter.adopted(store.path(), events, None);
        }
        let mut at = found.cursor;
        while at < found.next {
            self.own_spool_is_empty().await;
            let cursor = (at > found.cursor).then_some(at);
            let read = Some(Read { from: at, max_bytes: BATCH_BYTES });
            let ran = tokio::task::spawn_blocking(move || {
                let report = store.run(&Job { read, cursor, ..Job::default() });
                (store, report)
            });
            let Ok((back, report)) = ran.await else { return };
            store = back;
            // What cannot be read now is tried again when the folder is next found.
            let Some(read_to) = report.read_to else { return };
            let lost = (read_to - at).saturating_sub(report.loaded.len() as u64);
            if lost > 0 {
                self.meter.dropped("spool_corrupt", lost);
            }
            let events: Vec<Kept> = report.loaded.into_iter().map(|entry| entry.kept).collect();
            self.publish(events).await;
            at = read_to;
        }
        if events > 0 {
            let lasted = self.runtime.clock.instant().saturating_duration_since(started);
            self.meter.adopted(store.path(), events, Some(lasted));
        }
        // A folder that cannot be removed is found again, empty or with a little that is deduplicated.
        let _ = tokio::task::spawn_blocking(move || store.remove()).await;
    }

    async fn own_spool_is_empty(&mut self) {
        // The publisher that shows it outlives us, or we are being stopped.
        let _ = self.health.wait_for(|health| health.spooling_since.is_none()).await;
    }

    /// Publishes these in order until the bus has all of them.
    async fn publish(&mut self, mut events: Vec<Kept>) {
        let mut backoff = Backoff::new(RETRY_INITIAL, RETRY_MAX);
        while !events.is_empty() {
            let receipts: Vec<_> = events
                .iter()
                .map(|event| self.bus.publish(self.topic_of(event), self.message(event)))
                .collect();
            let mut stored = 0;
            let mut failure = None;
            for receipt in receipts {
                match receipt.await {
                    Ok(_) => stored += 1,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            let mut counts = Counts::default();
            let on_the_bus = events.drain(..stored).filter(|event| event.route == Route::Ingress);
            on_the_bus.for_each(|event| counts.add(event.platform, 1));
            self.meter.published(&counts);
            match failure {
                Some(error) if error.kind() == chatbus_bus::BusErrorKind::TooLarge => {
                    self.refuse(&mut events);
                }
                Some(_) => tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await,
                None => {}
            }
        }
    }

    fn refuse(&self, events: &mut Vec<Kept>) {
        let Some(event) = events.first_mut() else { return };
        if event.route == Route::DeadLetter {
            events.remove(0);
            self.meter.dropped("refused", 1);
            return;
        }
        if let Some(body) = rewrite::cut(&event.body) {
            event.body = body;
            return;
        }
        let max = self.bus.max_message_bytes().min(event.body.len().saturating_sub(1));
        let why = "the bus does not take this message";
        *event = rewrite::dead_letter(event, "too_large", why, &self.source, max, self.runtime.clock.now());
    }

    fn message(&self, event: &Kept) -> Message {
        let mut message = event.message();
        let age = self.runtime.clock.now().since(event.received_at);
        if event.route == Route::Ingress && age >= self.late_after {
            message.body = rewrite::late(&message.body);
        }
        message
    }

    fn topic_of(&self, event: &Kept) -> &Topic {
        match event.route {
            Route::Ingress => &self.topic,
            Route::DeadLetter => &self.dead_letters,
        }
    }
}
