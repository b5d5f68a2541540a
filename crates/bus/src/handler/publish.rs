//! Publishing what handlers returned, until it is on the bus.

use std::time::Duration;

use chatbus_event::{MessageId, Topic, names};
use chatbus_runtime::{Backoff, Runtime};

use super::Outgoing;
use crate::{Bus, BusError, BusErrorKind, Message, Receipt};

/// Waits between attempts. A handler's input is held meanwhile, which is what holds back the rest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Something that is not known to be on the bus yet.
struct Pending<'a> {
    /// The place of its input among those of the batch.
    input: usize,
    topic: &'a Topic,
    message: Message,
}

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
    publish_batch(bus, &[(input, outputs)], runtime).await.pop().unwrap_or(Ok(()))
}

/// The same for what several inputs led to: the bus is handed all of it, in the order of the inputs, before
/// its first word is waited for. Gives for each input whether the bus has its own, or why it never will; one
/// that it refuses holds up none of the others.
pub(super) async fn publish_batch(
    bus: &dyn Bus,
    inputs: &[(&MessageId, &[Outgoing])],
    runtime: &Runtime,
) -> Vec<Result<(), BusError>> {
    let mut results: Vec<Result<(), BusError>> = inputs.iter().map(|_| Ok(())).collect();
    let mut left: Vec<Pending<'_>> = Vec::with_capacity(inputs.len());
    for (at, (input, outputs)) in inputs.iter().enumerate() {
        // Of an input that ends as a dead letter nothing has to be on the bus: a replay publishes it all.
        if let Some(large) = outputs.iter().find(|output| output.body.len() > bus.max_message_bytes()) {
            if let Some(result) = results.get_mut(at) {
                *result = Err(too_large(large));
            }
            continue;
        }
        left.extend(outputs.iter().map(|output| Pending {
            input: at,
            topic: &output.topic,
            message: message(input, output),
        }));
    }
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    while !left.is_empty() {
        let receipts: Vec<Receipt> =
            left.iter().map(|pending| bus.publish_kept(pending.topic, &pending.message)).collect();
        let mut done = 0;
        for (receipt, pending) in receipts.into_iter().zip(&left) {
            match receipt.await {
                Ok(_) => {}
                Err(error) if error.is_temporary() => {
                    tracing::debug!(event = "handler.publish.retried", topic = %pending.topic, reason = %error);
                    break;
                }
                Err(error) => {
                    if let Some(result) = results.get_mut(pending.input) {
                        *result = Err(error);
                    }
                }
            }
            done += 1;
        }
        left.drain(..done);
        left.retain(|pending| results.get(pending.input).is_some_and(Result::is_ok));
        if !left.is_empty() {
            tokio::time::sleep(backoff.next(&*runtime.entropy)).await;
        }
    }
    results
}

fn too_large(output: &Outgoing) -> BusError {
    let why = format!("publishing to {}: {} bytes are over the bus's limit", output.topic, output.body.len());
    BusError::new(BusErrorKind::TooLarge, why)
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
