//! The loop of a service that takes what has come together.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chatbus_runtime::Runtime;
use futures::FutureExt;
use futures::future::{BoxFuture, Fuse, FusedFuture, join_all};

use super::join::join;
use super::policy::{HandlerPolicy, exhausted, next_settlement};
use super::publish::publish_batch;
use super::settle::{SETTLE_FAILED_WAIT, settle, unpublishable};
use super::{BatchHandler, HandlerError, Outgoing};
use crate::{Bus, Consumer, Delivery, Record, Settlement, Subscription};

/// Runs a [`BatchHandler`] on a subscription.
///
/// A delivery is taken together with whatever else is there at that moment or comes within what the handler
/// [gathers](BatchHandler::gathers), at most [`Self::MAX_BATCH`].
/// Batches are handled one after another and published one after another, so that the topic's order holds in
/// what they lead to. While one is being published and settled the next is being handled, as far as the
/// subscription's bound leaves room for a second one. A message is acknowledged after all it led to is on the
/// bus. A retried message comes again behind those that follow it.
///
/// A batch on which the handler panics, or of which each message asks to be retried, is handled once more
/// message by message: what fails then has failed by itself, and the others are not held up by it.
pub struct BatchLoop {
    bus: Arc<dyn Bus>,
    handler: Arc<dyn BatchHandler>,
    runtime: Runtime,
    policy: HandlerPolicy,
}

/// What the handler said of one message.
type Answer = Result<Vec<Outgoing>, HandlerError>;

// === impl BatchLoop ===

impl BatchLoop {
    /// How many messages are handled together at most.
    pub const MAX_BATCH: usize = 256;

    /// A loop; [`Self::run`] is the task. The policy's `concurrency` does not count here.
    pub fn new(
        bus: Arc<dyn Bus>,
        handler: Arc<dyn BatchHandler>,
        runtime: Runtime,
        policy: HandlerPolicy,
    ) -> Self {
        Self { bus, handler, runtime, policy }
    }

    /// Runs until the runtime's stop or until the bus is closed. At the stop it takes nothing new and lets
    /// what is in hand finish within the policy's grace; what does not is given back.
    pub async fn run(self, subscription: Subscription) {
        let component = self.handler.name();
        let Some(consumer) = join(&*self.bus, &subscription, component, &self.runtime).await else { return };
        let grace_is_over = async {
            self.runtime.stop.cancelled().await;
            tokio::time::sleep(self.policy.grace).await;
        };
        tokio::select! {
            biased;
            () = self.work(consumer) => {}
            () = grace_is_over => tracing::warn!(event = "handler.stop.unfinished", component),
        }
    }

    async fn work(&self, mut consumer: Box<dyn Consumer>) {
        let mut finishing: Fuse<BoxFuture<'_, ()>> = Fuse::terminated();
        loop {
            let first = tokio::select! {
                biased;
                () = self.runtime.stop.cancelled() => break,
                () = &mut finishing => continue,
                first = consumer.next() => first,
            };
            let Some(first) = first else { break };
            let batch = self.gather(first, &mut *consumer, &mut finishing).await;
            // The one before has to be on the bus, whole, before anything of this one is.
            let before = async {
                if !finishing.is_terminated() {
                    (&mut finishing).await;
                }
            };
            let (handled, ()) = futures::join!(self.handle(batch), before);
            finishing = self.finish(handled).boxed().fuse();
        }
        drop(consumer);
        if !finishing.is_terminated() {
            finishing.await;
        }
    }

    /// What is handled together with a delivery. Meanwhile the batch before goes on being finished.
    async fn gather(
        &self,
        first: Delivery,
        consumer: &mut dyn Consumer,
        finishing: &mut Fuse<BoxFuture<'_, ()>>,
    ) -> Vec<Delivery> {
        let mut batch = vec![first];
        let mut waited = std::pin::pin!(tokio::time::sleep(self.handler.gathers()));
        loop {
            while batch.len() < Self::MAX_BATCH
                && let Some(delivery) = consumer.try_next()
            {
                batch.push(delivery);
            }
            if batch.len() >= Self::MAX_BATCH || self.handler.gathers().is_zero() {
                return batch;
            }
            tokio::select! {
                biased;
                () = self.runtime.stop.cancelled() => return batch,
                () = &mut waited => return batch,
                () = &mut *finishing => {}
                next = consumer.next() => match next {
                    Some(delivery) => batch.push(delivery),
                    None => return batch,
                },
            }
        }
    }

    /// Asks the handler; those that seem to end whoever handles them it does not see.
    async fn handle(&self, batch: Vec<Delivery>) -> Vec<(Delivery, Answer)> {
        let mut handled = Vec::with_capacity(batch.len());
        let mut fresh = Vec::with_capacity(batch.len());
        for delivery in batch {
            match exhausted(delivery.deliveries(), &self.policy) {
                Some(Settlement::DeadLetter(failure)) => {
                    handled.push((delivery, Err(HandlerError::GiveUp(failure))));
                }
                _ => fresh.push(delivery),
            }
        }
        if fresh.is_empty() {
            return handled;
        }
        let records: Vec<&Record> = fresh.iter().map(Delivery::record).collect();
        let mut answers = self.ask(&records).await;
        if records.len() > 1 && answers.iter().all(|answer| matches!(answer, Err(HandlerError::Retry(_)))) {
            tracing::debug!(
                event = "handler.batch.split",
                component = self.handler.name(),
                count = records.len()
            );
            answers.clear();
            for record in &records {
                answers.extend(self.ask(&[*record]).await);
            }
        }
        handled.extend(fresh.into_iter().zip(answers));
        handled
    }

    /// One answer for each record, whatever the handler does.
    async fn ask(&self, records: &[&Record]) -> Vec<Answer> {
        let all = |why: String| records.iter().map(|_| Err(HandlerError::Retry(why.clone()))).collect();
        // A handler that panics must not take the loop with it.
        match AssertUnwindSafe(self.handler.handle(records)).catch_unwind().await {
            Ok(answers) if answers.len() == records.len() => answers,
            Ok(answers) => {
                all(format!("the handler gave {} answers to {} messages", answers.len(), records.len()))
            }
            Err(_) => all("the handler panicked".to_owned()),
        }
    }

    /// Publishes what a batch led to, then settles each of it.
    async fn finish(&self, handled: Vec<(Delivery, Answer)>) {
        let outputs = handled.iter().map(|(delivery, answer)| {
            let outputs = answer.as_deref().unwrap_or_default();
            (&delivery.record().message.id, outputs)
        });
        let outputs: Vec<_> = outputs.collect();
        let published = publish_batch(&*self.bus, &outputs, &self.runtime).await;
        let settlements = handled.into_iter().zip(published).map(|((delivery, answer), published)| {
            let error = match (answer, published) {
                (Err(error), _) => Some(error),
                (Ok(_), Err(error)) => Some(HandlerError::GiveUp(unpublishable(&error))),
                (Ok(outputs), Ok(())) if outputs.is_empty() && self.handler.is_recorded() => {
                    delivery.ack_unconfirmed();
                    return futures::future::ready(true).boxed();
                }
                (Ok(_), Ok(())) => None,
            };
            let settlement = error.map_or(Settlement::Ack, |error| {
                let jitter = self.runtime.entropy.unit();
                next_settlement(delivery.failures(), delivery.deliveries(), error, &self.policy, jitter)
            });
            settle(self.handler.name(), delivery, settlement).boxed()
        });
        if join_all(settlements).await.contains(&false) {
            // A bus that refuses now would be asked again at once, and again.
            tokio::time::sleep(SETTLE_FAILED_WAIT).await;
        }
    }
}

impl std::fmt::Debug for BatchLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BatchLoop({})", self.handler.name())
    }
}
