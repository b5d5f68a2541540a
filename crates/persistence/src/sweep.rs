//! The janitor: removes what is past its time.

use std::sync::Arc;
use std::time::Duration;

use chatbus_runtime::Runtime;
use chatbus_store::Store;

use crate::counters::PersistenceCounters;
use crate::handler::NAME;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
/// How much goes in one call, so that writers in between wait for no more than that.
const CHUNK: usize = 500;

/// Sweeps every minute until the stop; a store that is out of reach is swept the next time. Safe to run in
/// several processes at once.
pub async fn sweep(store: Arc<dyn Store>, runtime: Runtime, counters: Arc<PersistenceCounters>) {
    let sweeping = async {
        loop {
            tokio::time::sleep(EVERY).await;
            loop {
                match store.sweep(runtime.clock.now(), CHUNK).await {
                    Ok(gone) => {
                        counters.swept(gone);
                        if gone < CHUNK {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(event = "persistence.sweep.failed", component = NAME, reason = %error);
                        break;
                    }
                }
                tokio::task::yield_now().await;
            }
        }
    };
    runtime.stop.run_until_cancelled(sweeping).await;
}
