//! The loop: takes deliveries, keeps conversations in order, settles.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chatbus_runtime::Runtime;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::conversations::{Conversation, Conversations};
use super::join::join;
use super::policy::{HandlerPolicy, exhausted, next_settlement};
use super::publish::publish_all;
use super::settle::{SETTLE_FAILED_WAIT, settle, unpublishable};
use super::{Handler, HandlerError};
use crate::{Bus, Delivery, Settlement, Subscription};

/// How long giving back the rest may take at the stop; what is not given back by then is dropped,
/// which means the same.
const RETURN_TIME: Duration = Duration::from_secs(1);

/// Runs a [`Handler`] on a subscription.
///
/// Messages with the same `channel` attribute (else `userId`) are handled one after another in their
/// order, others at the same time. A message is acknowledged after all it led to is on the bus. A
/// retried message comes again behind those that follow it.
pub struct HandlerLoop {
    bus: Arc<dyn Bus>,
    handler: Arc<dyn Handler>,
    runtime: Runtime,
    policy: HandlerPolicy,
}

// === impl HandlerLoop ===

impl HandlerLoop {
    /// A loop; [`Self::run`] is the task.
    pub fn new(
        bus: Arc<dyn Bus>,
        handler: Arc<dyn Handler>,
        runtime: Runtime,
        policy: HandlerPolicy,
    ) -> Self {
        Self { bus, handler, runtime, policy }
    }

    /// Runs until the runtime's stop or until the bus is closed. At the stop it takes nothing new,
    /// gives back what was not begun, and lets what is in hand finish within the policy's grace.
    pub async fn run(self, subscription: Subscription) {
        let name = self.handler.name();
        let Some(mut consumer) = join(&*self.bus, &subscription, name, &self.runtime).await else { return };
        let mut hand: Conversations<Delivery> = Conversations::new(self.policy.concurrency);
        let mut running: FuturesUnordered<BoxFuture<'_, Conversation>> = FuturesUnordered::new();
        let mut open = true;
        while open || !running.is_empty() {
            while let Some((conversation, delivery)) = hand.start() {
                running.push(Box::pin(self.one(conversation, delivery)));
            }
            tokio::select! {
                biased;
                () = self.runtime.stop.cancelled() => break,
                Some(conversation) = running.next() => hand.finished(conversation),
                delivery = consumer.next(), if open => match delivery {
                    Some(delivery) => {
                        let record = delivery.record();
                        let conversation = Conversation::of(&record.message.attributes, record.seq);
                        hand.push(conversation, delivery);
                    }
                    None => open = false,
                },
            }
        }
        drop(consumer);
        let finish = async { while running.next().await.is_some() {} };
        let give_back = give_back(hand.take_waiting());
        let (finished, ()) = futures::join!(tokio::time::timeout(self.policy.grace, finish), give_back);
        if finished.is_err() {
            tracing::warn!(
                event = "handler.stop.unfinished",
                component = self.handler.name(),
                count = running.len()
            );
        }
    }

    /// Handles and settles one delivery.
    async fn one(&self, conversation: Conversation, delivery: Delivery) -> Conversation {
        let settlement = match exhausted(delivery.deliveries(), &self.policy) {
            Some(settlement) => settlement,
            None => self.handle(&delivery).await,
        };
        if !settle(self.handler.name(), delivery, settlement).await {
            // A bus that refuses now would be asked again at once, and again.
            tokio::time::sleep(SETTLE_FAILED_WAIT).await;
        }
        conversation
    }

    /// What becomes of a delivery, once what it led to is on the bus.
    async fn handle(&self, delivery: &Delivery) -> Settlement {
        let record = delivery.record();
        // A handler that panics must not take the others' messages with it.
        let handled = AssertUnwindSafe(self.handler.handle(record)).catch_unwind().await;
        let handled = handled.unwrap_or_else(|_| Err(HandlerError::Retry("the handler panicked".into())));
        let published = match handled {
            Ok(outputs) => publish_all(&*self.bus, &record.message.id, &outputs, &self.runtime)
                .await
                .map_err(|error| HandlerError::GiveUp(unpublishable(&error))),
            Err(error) => Err(error),
        };
        match published {
            Ok(()) => Settlement::Ack,
            Err(error) => {
                let jitter = self.runtime.entropy.unit();
                next_settlement(delivery.failures(), delivery.deliveries(), error, &self.policy, jitter)
            }
        }
    }
}

impl std::fmt::Debug for HandlerLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HandlerLoop({})", self.handler.name())
    }
}

async fn give_back(waiting: Vec<Delivery>) {
    let returns = waiting.into_iter().map(|delivery| delivery.settle(Settlement::Return));
    // One that is not confirmed comes again all the same.
    let _ = tokio::time::timeout(RETURN_TIME, futures::future::join_all(returns)).await;
}
