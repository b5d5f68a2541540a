//! Publishing what a handler returned, until it is on the bus.

use std::time::Duration;

use chatbus_event::{MessageId, names};
use chatbus_runtime::{Backoff, Runtime};

use super::Outgoing;
use crate::{Bus, BusError, Message};

/// Waits between attempts. A handler's input is held meanwhile, which is what holds back the rest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Publishes all of it in order under `<input>/<step>`, again from the oldest that failed, until the
/// bus has all.
///
/// # Errors
/// One that trying again cannot help.
pub(super) async fn publish_all(
    bus: &dyn Bus,
    input: &MessageId,
    outputs: &[Outgoing],
    runtime: &Runtime,
) -> Result<(), BusError> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut left = outputs;
    while !left.is_empty() {
        let receipts: Vec<_> =
            left.iter().map(|output| bus.publish(&output.topic, message(input, output))).collect();
        let mut done = 0;
        for receipt in receipts {
            match receipt.await {
                Ok(_) => done += 1,
                Err(error) if error.is_temporary() => {
                    tracing::debug!(event = "handler.publish.retried", topic = %left[done].topic, reason = %error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        left = left.get(done..).unwrap_or_default();
        if !left.is_empty() {
            tokio::time::sleep(backoff.next(&*runtime.entropy)).await;
        }
    }
    Ok(())
}

fn message(input: &MessageId, output: &Outgoing) -> Message {
    let id = input.step(&output.step);
    let mut attributes = output.attributes.clone();
    attributes.set(names::MESSAGE_ID, id.as_str());
    // A handler may pass on its input's attributes; a CloudEvent of another id is another event.
    if attributes.get(names::CE_ID).is_some() {
        attributes.set(names::CE_ID, id.as_str());
    }
    Message::new(id, attributes, output.body.clone())
}
