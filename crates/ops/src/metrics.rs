//! `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chatbus_connector::ConnectionState;
use chatbus_event::{Reason, Status};
use chatbus_telemetry::{LagLabels, PlatformLabels, ReasonLabels, SentLabels};

use crate::router::Ops;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    refresh(&ops).await;
    ([(CONTENT_TYPE, OPEN_METRICS)], ops.metrics.render()).into_response()
}

/// Gauges that are read from elsewhere are read when someone looks; what has not happened yet is shown
/// as zero, so that a dashboard can tell it from a metric that does not exist.
async fn refresh(ops: &Ops) {
    for reason in Reason::ALL {
        let _ = ops.metrics.deadletters.get_or_create(&ReasonLabels { reason: reason.as_str() });
    }
    for view in &ops.platforms {
        let snapshot = view.status.snapshot();
        let labels = PlatformLabels { platform: view.platform };
        for counter in [
            &ops.metrics.ingress_received,
            &ops.metrics.ingress_published,
            &ops.metrics.ingress_failed,
            &ops.metrics.ingress_spooled,
        ] {
            let _ = counter.get_or_create(&labels);
        }
        for status in [Status::Sent, Status::Accepted] {
            let labels = SentLabels { platform: view.platform, status: status.as_str() };
            let _ = ops.metrics.egress_sent.get_or_create(&labels);
        }
        let connected = i64::from(snapshot.state == ConnectionState::Connected);
        ops.metrics.platform_connected.get_or_create(&labels).set(connected);
        let joined = i64::try_from(snapshot.joined_channels.len()).unwrap_or(i64::MAX);
        ops.metrics.platform_channels_joined.get_or_create(&labels).set(joined);
        let counter = ops.metrics.platform_reconnects.get_or_create(&labels);
        counter.inc_by(snapshot.counters.reconnects.saturating_sub(counter.get()));
    }
    if let Some(refresh) = &ops.refresh {
        refresh().await;
    }
    let Ok(lags) = ops.bus.lag().await else { return };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for lag in lags {
        let labels = LagLabels { topic: lag.family.label(), group: lag.group.to_string() };
        ops.metrics.bus_lag.get_or_create(&labels).set(number(lag.pending));
        let age = lag.oldest.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        ops.metrics.bus_lag_age_ms.get_or_create(&labels).set(age);
        ops.metrics.bus_lost.get_or_create(&labels).set(number(lag.lost));
    }
}
