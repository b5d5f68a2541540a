//! What the engine counts for every event, looked up once.

use std::sync::Arc;

use chatbus_connector::Sink;
use chatbus_event::{Status, Topic};
use chatbus_telemetry::{Metrics, SentLabels, StageLabels, TopicLabels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::jobs::Input;

/// See the module.
pub(super) struct Meter {
    /// Taken from an egress topic, by the topic's place.
    received: [Counter; 2],
    /// `SENT` and `ACCEPTED`, by the sink's place.
    said: Vec<[Counter; 2]>,
    /// How long the platform took.
    pub(super) send: Histogram,
    /// How long it took from the bus's first copy to the outcome.
    pub(super) total: Histogram,
}

// === impl Meter ===

impl Meter {
    pub(super) fn new(metrics: &Metrics, topics: &[Topic; 2], sinks: &[Arc<dyn Sink>]) -> Self {
        let received = |topic: &Topic| {
            metrics.egress_received.get_or_create(&TopicLabels { topic: topic.family().label() }).clone()
        };
        let said = |platform: &'static str| {
            [Status::Sent, Status::Accepted].map(|status| {
                metrics.egress_sent.get_or_create(&SentLabels { platform, status: status.as_str() }).clone()
            })
        };
        let stage = |stage| metrics.stage_seconds.get_or_create(&StageLabels { stage }).clone();
        Self {
            received: topics.each_ref().map(received),
            said: sinks.iter().map(|sink| said(sink.platform())).collect(),
            send: stage("egress_send"),
            total: stage("egress_total"),
        }
    }

    pub(super) fn received(&self, input: Input) {
        self.received.get(input).map(Counter::inc);
    }

    /// A delivery that ended well, through the sink of this place.
    pub(super) fn said(&self, sink: Option<usize>, status: Status) {
        if let Some([sent, accepted]) = sink.and_then(|sink| self.said.get(sink)) {
            if status == Status::Accepted {
                accepted.inc()
            } else {
                sent.inc()
            };
        }
    }
}
