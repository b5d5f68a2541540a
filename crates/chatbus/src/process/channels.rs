//! Channels that are added at run time: from the store to the connectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::Connector;
use chatbus_runtime::Runtime;
use chatbus_store::Store;

use super::storing::Storing;

/// How often the list is read again: a channel that another process added is joined so soon.
const EVERY: Duration = Duration::from_secs(1);

/// Tells the connectors, now and whenever the list changes.
pub(super) fn keep(connectors: &[Arc<dyn Connector>], store: Storing, runtime: &Runtime) {
    if connectors.is_empty() {
        return;
    }
    let connectors = connectors.to_vec();
    let watching = watch(connectors, store, runtime.clone());
    runtime.spawn("platform.channels", watching);
}

async fn watch(connectors: Vec<Arc<dyn Connector>>, mut store: Storing, runtime: Runtime) {
    let Some(store) = store.opened(&runtime).await else { return };
    let mut told = BTreeMap::new();
    loop {
        tell(&connectors, &*store, &mut told).await;
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// A store that is out of reach changes nothing.
async fn tell(
    connectors: &[Arc<dyn Connector>],
    store: &dyn Store,
    told: &mut BTreeMap<&'static str, Vec<String>>,
) {
    let Ok(all) = store.channels().await else { return };
    for connector in connectors {
        let platform = connector.platform();
        let wanted: Vec<String> =
            all.iter().filter(|c| c.platform == platform).map(|c| c.name.clone()).collect();
        if told.get(platform).map_or(wanted.is_empty(), |before| *before == wanted) {
            continue;
        }
        tracing::info!(
            event = "platform.channels",
            platform,
            channels = wanted.len(),
            "channels were added or removed"
        );
        connector.set_channels(wanted.clone());
        told.insert(platform, wanted);
    }
}
