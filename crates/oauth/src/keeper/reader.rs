//! Reads the store again and again, so that what other processes wrote is seen.

use std::sync::Arc;
use std::time::Instant;

use chatbus_store::{Account, Store, StoreError, StoreErrorKind};
use tokio::sync::watch;

use super::Tools;

/// What was in the store.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// When the reading began: what this process wrote since may not be in it.
    pub(super) begun: Instant,
    pub(super) rows: Arc<Vec<Account>>,
}

/// Reads until the process stops.
pub(super) async fn read(tools: &Tools, snapshots: &watch::Sender<Option<Snapshot>>) {
    let mut stores = tools.stores.clone();
    let mut changed = tools.changed.subscribe();
    let mut was_read = true;
    loop {
        changed.borrow_and_update();
        let store = stores.borrow_and_update().clone();
        if let Some(store) = store {
            let read = tokio::select! {
                biased;
                () = tools.runtime.stop.cancelled() => return,
                read = snapshot(tools, &*store) => read,
            };
            match read {
                Ok(snapshot) => {
                    was_read = true;
                    snapshots.send_replace(Some(snapshot));
                }
                Err(error) => {
                    if was_read {
                        tracing::warn!(event = "oauth.store.unread", reason = %error, "accounts not read: what is known stays in use");
                    }
                    was_read = false;
                }
            }
        }
        tokio::select! {
            biased;
            () = tools.runtime.stop.cancelled() => return,
            Ok(()) = stores.changed() => {}
            Ok(()) = changed.changed() => {}
            () = tokio::time::sleep(tools.times.reread) => {}
        }
    }
}

/// Reads once.
pub(super) async fn snapshot(tools: &Tools, store: &dyn Store) -> Result<Snapshot, StoreError> {
    let begun = tools.runtime.clock.instant();
    let rows = in_time(tools, store.accounts()).await?;
    Ok(Snapshot { begun, rows: Arc::new(rows) })
}

/// Waits for a call of the store, but not for ever.
pub(super) async fn in_time<T>(
    tools: &Tools,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::new(StoreErrorKind::Unavailable, "the store gives no answer"));
    tokio::time::timeout(tools.times.call, call).await.unwrap_or_else(late)
}
