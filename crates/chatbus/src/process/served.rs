//! What the platforms of this process can say now, for its lease.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{ConnectionState, Connector};
use chatbus_delivery::Served;
use chatbus_runtime::Runtime;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

/// How often the platforms are looked at, whatever they tell.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(20);

/// Keeps the list until the process stops.
pub(super) async fn keep(
    connectors: Vec<Arc<dyn Connector>>,
    served: watch::Sender<Vec<Served>>,
    runtime: Runtime,
) {
    let mut changed: Vec<_> = connectors.iter().map(|connector| connector.status().changes()).collect();
    loop {
        let now: Vec<Served> = connectors.iter().filter_map(|connector| of(&**connector)).collect();
        served.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
        // Told at once; a platform whose state changes with every channel that it joins is looked at a few
        // times for all of them.
        let mut changes: FuturesUnordered<_> = changed.iter_mut().map(watch::Receiver::changed).collect();
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = async { changes.next().await; tokio::time::sleep(GATHER).await } => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What one platform can say; `None` while it is not connected, or only reads.
fn of(connector: &dyn Connector) -> Option<Served> {
    let (sink, snapshot) = (connector.sink(), connector.status().snapshot());
    let can = sink.capabilities();
    if snapshot.state != ConnectionState::Connected || !(can.chat || can.direct) {
        return None;
    }
    let channels = if can.chat { snapshot.joined_channels.into_iter().collect() } else { Vec::new() };
    let (platform, account) = (connector.platform().to_owned(), snapshot.auth.login);
    Some(Served { platform, channels, direct: can.direct, account })
}
