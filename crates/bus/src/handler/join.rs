//! Joining a group, for as long as it takes.

use std::time::Duration;

use chatbus_runtime::{Backoff, Runtime};

use crate::{Bus, Consumer, Subscription};

/// Joins the group; `None` when the stop came first, or when the bus will never let it in.
pub(super) async fn join(
    bus: &dyn Bus,
    subscription: &Subscription,
    component: &'static str,
    runtime: &Runtime,
) -> Option<Box<dyn Consumer>> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    loop {
        let joined = tokio::select! {
            () = runtime.stop.cancelled() => return None,
            joined = bus.subscribe(subscription.clone()) => joined,
        };
        match joined {
            Ok(consumer) => {
                tracing::info!(event = "handler.subscribed", component, topic = %subscription.topic);
                return Some(consumer);
            }
            Err(error) if error.is_temporary() => {
                tracing::error!(event = "handler.subscribe.failed", component, topic = %subscription.topic, reason = %error);
            }
            Err(error) => {
                tracing::error!(event = "handler.subscribe.refused", component, topic = %subscription.topic, reason = %error);
                return None;
            }
        }
        tokio::select! {
            () = runtime.stop.cancelled() => return None,
            () = tokio::time::sleep(backoff.next(&*runtime.entropy)) => {}
        }
    }
}
