//! Streams and groups, before anything is published.

use std::time::Duration;

use chatbus_bus::{Bus, Subscription};
use chatbus_runtime::{Backoff, Runtime};

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
