//! Whether the server is in reach.

use std::sync::Arc;
use std::time::Duration;

use chatbus_runtime::Backoff;
use tokio::time::{sleep, timeout};

use super::connect::Link;
use super::error::why;
use super::pool::Pool;

/// How often it is asked while all is well and nobody complains.
const PERIOD: Duration = Duration::from_secs(2);

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(4);

const RETRY_INITIAL: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Asks until the pool closes, over a connection of its own: the others may all be busy.
pub(super) async fn run(pool: Arc<Pool>) {
    let mut backoff = Backoff::new(RETRY_INITIAL, RETRY_MAX);
    let mut link = None;
    while !pool.closing.is_cancelled() {
        let healthy = tokio::select! {
            biased;
            () = pool.closing.cancelled() => return,
            healthy = ask(&pool, &mut link) => healthy,
        };
        tell(&pool, healthy);
        let next = async {
            if healthy {
                backoff.reset();
                tokio::select! {
                    () = pool.lost().notified() => {}
                    () = sleep(PERIOD) => {}
                }
            } else {
                link = None;
                sleep(backoff.next(&*pool.runtime.entropy)).await;
            }
        };
        tokio::select! {
            biased;
            () = pool.closing.cancelled() => return,
            () = next => {}
        }
    }
}

async fn ask(pool: &Pool, link: &mut Option<Link>) -> bool {
    let asked = timeout(LIMIT, async {
        if link.as_ref().is_none_or(|link| link.client.is_closed()) {
            *link = Some(pool.connector.connect().await.map_err(|error| error.to_string())?);
        }
        match link {
            Some(link) => link.client.simple_query("SELECT 1").await.map(drop).map_err(|error| why(&error)),
            None => Err("no connection".to_owned()),
        }
    });
    match asked.await {
        Ok(Ok(())) => true,
        Ok(Err(reason)) => {
            tracing::debug!(event = "store.unreachable", reason, "the store's server cannot be reached");
            false
        }
        Err(_) => false,
    }
}

fn tell(pool: &Pool, healthy: bool) {
    // Once it is closed it stays so: whoever closes it says that afterwards.
    let changed = pool
        .connected
        .send_if_modified(|now| !pool.closing.is_cancelled() && std::mem::replace(now, healthy) != healthy);
    match (changed, healthy) {
        (true, true) => tracing::info!(event = "store.connected", "the store's server is in reach"),
        (true, false) => tracing::warn!(
            event = "store.disconnected",
            reason = "unreachable",
            "{} is out of reach",
            pool.connector.place()
        ),
        _ => {}
    }
}
