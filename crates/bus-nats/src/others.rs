//! Publishing on a topic outside the known families: its first message of an epoch waits until the
//! topic has its stream, and those behind it wait with it, so that their order stays.

use std::sync::{Arc, MutexGuard, PoisonError};

use chatbus_bus::{BusError, BusErrorKind, Message, Receipt, Stored};
use chatbus_event::Topic;
use tokio::sync::oneshot;

use crate::link::{Epoch, Link, Others};
use crate::streams;

/// A message whose topic has no stream yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    message: Message,
    answer: oneshot::Sender<Result<Stored, BusError>>,
}

/// Publishes at once where the topic is known, else after it was added.
pub(crate) fn publish(link: &Arc<Link>, epoch: &Arc<Epoch>, topic: &Topic, message: Message) -> Receipt {
    let mut others = epoch.others();
    if others.known.contains(topic) {
        return epoch.session.publish(topic, &message);
    }
    let held: usize = others.waiting.values().map(Vec::len).sum();
    if held >= link.config.window_messages {
        let why = "the window of unacknowledged messages is full";
        return Receipt::ready(Err(BusError::new(BusErrorKind::Full, why)));
    }
    let (answer, receiver) = oneshot::channel();
    let queue = others.waiting.entry(topic.clone()).or_default();
    queue.push(Waiting { message, answer });
    if queue.len() == 1 {
        let (link, epoch, topic) = (Arc::clone(link), Arc::clone(epoch), topic.clone());
        link.runtime.clone().spawn("nats.topic", async move { add_and_send(&link, &epoch, &topic).await });
    }
    Receipt::oneshot(receiver)
}

/// Makes sure that a topic has its stream.
pub(crate) async fn ensure(link: &Link, epoch: &Epoch, topic: &Topic) -> Result<(), BusError> {
    if topic.family() != chatbus_event::Family::Other || epoch.others().known.contains(topic) {
        return Ok(());
    }
    streams::add_other(&epoch.session, &link.names, topic).await?;
    let mut others = epoch.others();
    // While messages wait, only the task that sends them says that the topic is known.
    if !others.waiting.contains_key(topic) {
        others.known.insert(topic.clone());
    }
    Ok(())
}

async fn add_and_send(link: &Link, epoch: &Epoch, topic: &Topic) {
    let added = streams::add_other(&epoch.session, &link.names, topic).await;
    let mut sent = Vec::new();
    {
        let mut others = epoch.others();
        let waiting = others.waiting.remove(topic).unwrap_or_default();
        if added.is_ok() {
            others.known.insert(topic.clone());
        }
        for Waiting { message, answer } in waiting {
            match &added {
                Ok(()) => sent.push((epoch.session.publish(topic, &message), answer)),
                Err(error) => {
                    let _ = answer.send(Err(BusError::new(error.kind(), error.to_string())));
                }
            }
        }
    }
    for (receipt, answer) in sent {
        let _ = answer.send(receipt.await);
    }
}

// === impl Epoch ===

impl Epoch {
    pub(crate) fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
