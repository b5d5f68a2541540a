//! Numbers of the services, brought into the metrics when someone looks.

use std::sync::Arc;

use chatbus_ops::Refresh;
use chatbus_persistence::{PersistenceCounters, PersistenceTotals};
use chatbus_runtime::Runtime;
use chatbus_telemetry::Metrics;

use super::With;
use crate::process::storing::Storing;

/// What is counted since the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    persistence: Arc<PersistenceCounters>,
}

// === impl Totals ===

impl Totals {
    pub(super) fn persistence(&self) -> Arc<PersistenceCounters> {
        Arc::clone(&self.persistence)
    }
}

/// What brings the metrics up to date.
pub(super) fn refresh(with: &With<'_>, totals: Totals) -> Refresh {
    let (metrics, store, runtime) = (with.metrics.clone(), with.store.clone(), with.runtime.clone());
    Box::new(move || {
        let (metrics, store, runtime, totals) =
            (metrics.clone(), store.clone(), runtime.clone(), totals.clone());
        Box::pin(async move {
            count(&metrics, totals.persistence.totals());
            letters(&metrics, &store, &runtime).await;
        })
    })
}

fn count(metrics: &Metrics, totals: PersistenceTotals) {
    for (counter, total) in [
        (&metrics.store_steps, totals.steps),
        (&metrics.store_outcomes, totals.outcomes),
        (&metrics.store_letters, totals.letters),
        (&metrics.store_raw, totals.raw),
    ] {
        counter.inc_by(total.saturating_sub(counter.get()));
    }
}

/// What a store that is out of reach does not tell stays as it was.
async fn letters(metrics: &Metrics, store: &Storing, runtime: &Runtime) {
    let Some(store) = store.now().filter(|store| *store.connected().borrow()) else { return };
    let Ok((open, oldest)) = store.open_letters().await else { return };
    let age = oldest.map_or(0, |at| runtime.clock.now().since(at).as_secs());
    metrics.dlq_open.set(i64::try_from(open).unwrap_or(i64::MAX));
    metrics.dlq_oldest_seconds.set(i64::try_from(age).unwrap_or(i64::MAX));
}
