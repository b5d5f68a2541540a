//! Counts and log lines: the pipeline's view for people and machines.

use std::sync::Arc;
use std::time::Duration;

use chatbus_event::InstanceId;
use chatbus_telemetry::{Metrics, PlatformLabels, ReasonLabels, StageLabels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tracing::{error, info, warn};

use crate::emitter::Tally;
use crate::health::IngressHealth;
use crate::machine::{Actions, Counts, Notice};
use crate::platforms::Platforms;

/// Writes metrics and logs for one pipeline.
pub(crate) struct Meter {
    metrics: Metrics,
    platforms: Platforms,
    instance: InstanceId,
    stage: Histogram,
    known: Vec<Known>,
    batch: Counts,
}

/// A platform's counters, looked up once.
struct Known {
    platform: &'static str,
    published: Counter,
    failed: Counter,
    spooled: Counter,
    tally: Option<Arc<dyn Tally>>,
}

/// Why events are lost.
const DROP_REASONS: [&str; 4] = ["spool_full", "spool_corrupt", "refused", "not_spooled_at_stop"];

// === impl Meter ===

impl Meter {
    pub(crate) fn new(metrics: Metrics, platforms: Platforms, instance: InstanceId) -> Self {
        let stage = metrics.stage_seconds.get_or_create(&StageLabels { stage: "ingress_publish" }).clone();
        for reason in DROP_REASONS {
            // Shown as zero, so that an alarm can tell it from a metric that does not exist.
            let _ = metrics.ingress_dropped.get_or_create(&ReasonLabels { reason });
        }
        Self { metrics, platforms, instance, stage, known: Vec::new(), batch: Counts::default() }
    }

    /// Counts and logs what the pipeline decided.
    pub(crate) fn record(&mut self, actions: &mut Actions) {
        for &(platform, lasted) in &actions.published {
            self.batch.add(platform, 1);
            self.stage.observe(lasted.as_secs_f64());
        }
        for (platform, count) in std::mem::take(&mut self.batch.0) {
            let known = self.known(platform);
            known.published.inc_by(count);
            if let Some(tally) = &known.tally {
                tally.published(count);
            }
        }
        for &(platform, count) in &actions.failed.0 {
            let known = self.known(platform);
            known.failed.inc_by(count);
            if let Some(tally) = &known.tally {
                tally.failed(count);
            }
        }
        for &(platform, count) in &actions.spooled.0 {
            self.known(platform).spooled.inc_by(count);
        }
        for notice in actions.notices.drain(..) {
            self.notice(&notice);
        }
    }

    /// Shows the spool's size.
    pub(crate) fn spool(&self, health: &IngressHealth) {
        self.metrics.spool_events.set(i64::try_from(health.spool_events).unwrap_or(i64::MAX));
        self.metrics.spool_bytes.set(i64::try_from(health.spool_bytes).unwrap_or(i64::MAX));
    }

    /// Counts events that are lost.
    pub(crate) fn dropped(&self, reason: &'static str, events: u64) {
        self.metrics.ingress_dropped.get_or_create(&ReasonLabels { reason }).inc_by(events);
        error!(event = "ingress.dropped", instanceId = %self.instance, reason, events, "events were dropped");
    }

    /// Logs that another instance's spool is being drained, or was.
    pub(crate) fn adopted(&self, folder: &std::path::Path, events: u64, done: Option<Duration>) {
        let folder = folder.display();
        match done {
            None => info!(
                event = "ingress.spool.adopted", instanceId = %self.instance, %folder, events,
                "another instance's spool was left behind; it is drained"
            ),
            Some(lasted) => info!(
                event = "ingress.spool.adopted_drained", instanceId = %self.instance, %folder, events,
                durationMs = lasted.as_millis(), "another instance's spool is drained"
            ),
        }
    }

    /// Counts events of an adopted spool that are on the bus.
    pub(crate) fn published(&mut self, counts: &Counts) {
        for &(platform, count) in &counts.0 {
            self.known(platform).published.inc_by(count);
        }
    }

    fn notice(&self, notice: &Notice) {
        let instance = &self.instance;
        match notice {
            Notice::SpoolBegun { reason } => warn!(
                event = "ingress.spool.begun", instanceId = %instance, reason,
                "the bus does not take events; they go to the spool"
            ),
            Notice::SpoolDrained { reason, events, lasted } => warn!(
                event = "ingress.spool.drained", instanceId = %instance, reason, events,
                durationMs = lasted.as_millis(), "the spool is drained"
            ),
            Notice::Dropped { reason, events } => self.dropped(reason, *events),
            Notice::Cut { id, platform } => warn!(
                event = "ingress.cut", instanceId = %instance, eventId = id, platform,
                "an event was too long for the bus and went out without its raw payload"
            ),
            Notice::GivenUp { id, platform, code } => error!(
                event = "ingress.given_up", instanceId = %instance, eventId = id, platform, errorCode = code,
                "the bus does not take an event; its dead letter is published instead"
            ),
            Notice::Failing { attempts, kind } => warn!(
                event = "ingress.publish.failing", instanceId = %instance, attempts, errorCode = ?kind,
                "publishing fails again and again"
            ),
            Notice::DiskFailed { error } => error!(
                event = "ingress.spool.disk_failed", instanceId = %instance, reason = error,
                "the spool cannot be written; events wait in memory"
            ),
            Notice::DiskRecovered => warn!(
                event = "ingress.spool.disk_recovered", instanceId = %instance, "the spool is written again"
            ),
        }
    }

    fn known(&mut self, platform: &'static str) -> &Known {
        let at = match self.known.iter().position(|known| known.platform == platform) {
            Some(at) => at,
            None => {
                let labels = PlatformLabels { platform };
                self.known.push(Known {
                    platform,
                    published: self.metrics.ingress_published.get_or_create(&labels).clone(),
                    failed: self.metrics.ingress_failed.get_or_create(&labels).clone(),
                    spooled: self.metrics.ingress_spooled.get_or_create(&labels).clone(),
                    tally: self.platforms.tally(platform),
                });
                self.known.len() - 1
            }
        };
        &self.known[at]
    }
}
