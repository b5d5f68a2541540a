//! Every metric chatbus exposes, in one place: made once, handed to whoever counts, rendered by ops.

mod buckets;
mod labels;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use labels::{
    LagLabels, PlatformLabels, ReasonLabels, SentLabels, StageLabels, TopicLabels, UnsentLabels,
};

/// The metrics of one process. Cheap to clone: every clone counts into the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Messages read from a platform.
    pub ingress_received: Family<PlatformLabels, Counter>,
    /// Of these, durable on the bus.
    pub ingress_published: Family<PlatformLabels, Counter>,
    /// Of these, refused by the bus for good.
    pub ingress_failed: Family<PlatformLabels, Counter>,
    /// Of these, written to the spool first.
    pub ingress_spooled: Family<PlatformLabels, Counter>,
    /// Of these, lost for a stated reason.
    pub ingress_dropped: Family<ReasonLabels, Counter>,
    /// Events that wait in the spool.
    pub spool_events: Gauge,
    /// Bytes that wait in the spool.
    pub spool_bytes: Gauge,
    /// Connections to a platform made again.
    pub platform_reconnects: Family<PlatformLabels, Counter>,
    /// 1 while a platform is connected.
    pub platform_connected: Family<PlatformLabels, Gauge>,
    /// Channels joined.
    pub platform_channels_joined: Family<PlatformLabels, Gauge>,
    /// Events taken from an egress topic, by the topic's family.
    pub egress_received: Family<TopicLabels, Counter>,
    /// Outcomes SENT and ACCEPTED.
    pub egress_sent: Family<SentLabels, Counter>,
    /// Outcomes FAILED.
    pub egress_failed: Family<UnsentLabels, Counter>,
    /// Events that wait in lanes.
    pub egress_waiting: Gauge,
    /// WebSocket connections.
    pub gateway_connections: Gauge,
    /// Dead letters published.
    pub deadletters: Family<ReasonLabels, Counter>,
    /// Messages a group has not settled.
    pub bus_lag: Family<LagLabels, Gauge>,
    /// Age in milliseconds of the oldest message a group has not settled.
    pub bus_lag_age_ms: Family<LagLabels, Gauge>,
    /// Messages retention dropped before a group had read them.
    pub bus_lost: Family<LagLabels, Gauge>,
    /// Steps of events written to the store.
    pub store_steps: Counter,
    /// Outcomes written to the store.
    pub store_outcomes: Counter,
    /// Dead letters written to the store.
    pub store_letters: Counter,
    /// Messages the store keeps raw.
    pub store_raw: Counter,
    /// Dead letters about which nothing was done.
    pub dlq_open: Gauge,
    /// Age of the oldest of them, in seconds.
    pub dlq_oldest_seconds: Gauge,
    /// Seconds spent in a stage: `ingress_publish`, `egress_send`, `egress_total`.
    pub stage_seconds: Family<StageLabels, Histogram, fn() -> Histogram>,
    registry: std::sync::Arc<Registry>,
}

// === impl Metrics ===

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut r = Registry::with_prefix("chatbus");
        Self {
            ingress_received: family(&mut r, "ingress_received", "Messages read from a platform"),
            ingress_published: family(&mut r, "ingress_published", "Messages read and durable on the bus"),
            ingress_failed: family(&mut r, "ingress_failed", "Messages the bus refused for good"),
            ingress_spooled: family(&mut r, "ingress_spooled", "Messages written to the spool first"),
            ingress_dropped: family(&mut r, "ingress_dropped", "Messages lost for a stated reason"),
            spool_events: family(&mut r, "spool_events", "Events that wait in the spool"),
            spool_bytes: family(&mut r, "spool_bytes", "Bytes that wait in the spool"),
            platform_reconnects: family(&mut r, "platform_reconnects", "Connections made again"),
            platform_connected: family(&mut r, "platform_connected", "1 while the platform is connected"),
            platform_channels_joined: family(&mut r, "platform_channels_joined", "Channels joined"),
            egress_received: family(&mut r, "egress_received", "Events taken from an egress topic"),
            egress_sent: family(&mut r, "egress_sent", "Outcomes SENT and ACCEPTED"),
            egress_failed: family(&mut r, "egress_failed", "Outcomes FAILED"),
            egress_waiting: family(&mut r, "egress_waiting", "Events that wait in lanes"),
            gateway_connections: family(&mut r, "gateway_connections", "WebSocket connections"),
            deadletters: family(&mut r, "deadletters", "Dead letters published"),
            bus_lag: family(&mut r, "bus_lag", "Messages a group has not settled"),
            bus_lag_age_ms: family(&mut r, "bus_lag_age_milliseconds", "Age of the oldest unsettled message"),
            bus_lost: family(&mut r, "bus_lost", "Messages retention dropped before a group had read them"),
            store_steps: family(&mut r, "store_steps", "Steps of events written to the store"),
            store_outcomes: family(&mut r, "store_outcomes", "Outcomes written to the store"),
            store_letters: family(&mut r, "store_letters", "Dead letters written to the store"),
            store_raw: family(
                &mut r,
                "store_raw",
                "Messages the store keeps raw, since they are nothing it knows",
            ),
            dlq_open: family(&mut r, "dlq_open", "Dead letters about which nothing was done"),
            dlq_oldest_seconds: family(&mut r, "dlq_oldest_seconds", "Age of the oldest of them"),
            stage_seconds: {
                let family: Family<StageLabels, Histogram, fn() -> Histogram> =
                    Family::new_with_constructor(|| Histogram::new(buckets::STAGE_SECONDS));
                r.register("stage_seconds", "Seconds spent in a stage", family.clone());
                family
            },
            registry: std::sync::Arc::new(r),
        }
    }

    /// The Prometheus (OpenMetrics) text of all of them.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn family<M: Default + Clone + prometheus_client::registry::Metric>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}
