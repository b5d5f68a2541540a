//! Streams and groups, before anything is published.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{Bus, Subscription};
use chatbus_runtime::{Backoff, CancellationToken, Runtime};

/// How long what is read waits for the groups of those who are to read it. A bus that is away must not keep
/// anybody from reading: what is read goes to the spool then.
const BEFORE_READING: Duration = Duration::from_secs(1);

/// Declares in the background; gives what waits until that is done, but not for long.
pub(super) fn all(
    bus: Arc<dyn Bus>,
    subscriptions: Vec<Subscription>,
    runtime: &Runtime,
) -> impl Future<Output = ()> + use<> {
    let done = CancellationToken::new();
    let (guard, background) = (done.clone().drop_guard(), runtime.clone());
    runtime.spawn("bus.declare", async move {
        until_done(&*bus, &subscriptions, &background).await;
        drop(guard);
    });
    async move {
        let _ = tokio::time::timeout(BEFORE_READING, done.cancelled()).await;
    }
}

/// Declares until the bus took it or the process stops: the bus may start after us.
pub(super) async fn until_done(bus: &dyn Bus, subscriptions: &[Subscription], runtime: &Runtime) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut status = bus.status();
    while !runtime.stop.is_cancelled() {
        match bus.declare(subscriptions).await {
            Ok(()) => {
                for subscription in subscriptions {
                    tracing::info!(
                        event = "bus.subscribed", topic = %subscription.topic, group = %subscription.group, "subscribed"
                    );
                }
                return;
            }
            Err(error) if error.is_temporary() => {
                tracing::debug!(event = "bus.declare_retry", %error, "the bus is not ready yet");
            }
            Err(error) => tracing::error!(event = "bus.declare_failed", %error, "subscribing failed"),
        }
        let wait = backoff.next(&*runtime.entropy);
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            // A connection that comes is worth an attempt at once.
            _ = status.changed() => {}
        }
    }
}
