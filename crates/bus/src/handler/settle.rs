//! Settling what was handled, and saying so.

use std::time::Duration;

use chatbus_event::Reason;

use crate::{BusError, BusErrorKind, Delivery, Failure, Settlement};

/// How long who settles rests after a settlement that the bus did not confirm.
pub(super) const SETTLE_FAILED_WAIT: Duration = Duration::from_secs(1);

/// Settles a delivery; gives whether the bus confirmed it. One that is not confirmed comes again, and what it
/// led to is then a duplicate.
pub(super) async fn settle(component: &'static str, delivery: Delivery, settlement: Settlement) -> bool {
    log(component, &delivery, &settlement);
    let id = delivery.record().message.id.clone();
    let settled = delivery.settle(settlement).await;
    if let Err(error) = &settled {
        tracing::warn!(event = "handler.settle.failed", component, eventId = %id, reason = %error);
    }
    settled.is_ok()
}

/// The bus will never take what the handler made, so making it again cannot help.
pub(super) fn unpublishable(error: &BusError) -> Failure {
    Failure {
        reason: Reason::MaxDeliveries,
        code: match error.kind() {
            BusErrorKind::TooLarge => "bus_too_large",
            _ => "bus_misconfigured",
        }
        .to_owned(),
        message: error.to_string(),
    }
}

fn log(component: &'static str, delivery: &Delivery, settlement: &Settlement) {
    let record = delivery.record();
    let (id, topic) = (&record.message.id, &record.topic);
    match settlement {
        Settlement::Ack | Settlement::Return => {}
        Settlement::Retry { after } => {
            tracing::debug!(
                event = "handler.retried", component, eventId = %id, %topic,
                failures = delivery.failures() + 1, afterMs = after.as_millis(),
            );
        }
        Settlement::DeadLetter(failure) => {
            tracing::debug!(
                event = "handler.given_up", component, eventId = %id, %topic,
                reason = %failure.reason, errorCode = failure.code,
            );
        }
    }
}
