//! A message in a consumer's hands, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;

use crate::{BusError, Record};

/// A member of a group.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery; waits while the member holds as many as it may. `None` once the bus is
    /// closed. Safe to drop while waiting.
    async fn next(&mut self) -> Option<Delivery>;

    /// One that is there already. `None` says nothing of what comes, nor of whether the bus is closed.
    fn try_next(&mut self) -> Option<Delivery> {
        // The executor's budget of a task would say that nothing is there where there is.
        tokio::task::unconstrained(self.next()).now_or_never().flatten()
    }
}

/// A message handed to one member of a group, until it is settled or dropped.
#[derive(Debug)]
pub struct Delivery {
    record: Record,
    failures: u32,
    deliveries: u32,
    settler: Option<Box<dyn Settler>>,
    dead_lettering: Arc<dyn DeadLettering>,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Done: never deliver it to this group again.
    Ack,
    /// Failed for now: deliver it again after this long. Counts as a failure.
    Retry {
        /// How long from now, at least.
        after: Duration,
    },
    /// Given back untouched: deliver it again, to any member, at once. Counts as nothing.
    Return,
    /// Given up: publish it as a dead letter, then acknowledge it.
    DeadLetter(Failure),
}

/// Why a message is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable reason, such as `invalid_event`.
    pub reason: chatbus_event::Reason,
    /// A stable code of the failure itself, if there is one.
    pub code: String,
    /// What happened, for people.
    pub message: String,
}

/// A driver's side of one delivery. Exactly one of these is called, or the value is dropped,
/// which means the same as [`Settler::give_back`].
#[async_trait]
pub trait Settler: Send + Sync + std::fmt::Debug {
    /// Never deliver it to this group again. Resolves when the bus has it.
    ///
    /// # Errors
    /// When the bus did not confirm it; the message may come again.
    async fn ack(self: Box<Self>) -> Result<(), BusError>;

    /// The same without waiting for the bus's word, which never comes: what the bus does not hear of, as
    /// over a break, is delivered again.
    fn ack_unconfirmed(self: Box<Self>);

    /// Deliver it again after this long, and count a failure.
    ///
    /// # Errors
    /// When the bus did not confirm it; the message comes again, perhaps sooner.
    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BusError>;

    /// Deliver it again at once, and count nothing.
    ///
    /// # Errors
    /// When the bus did not confirm it; the message comes again, perhaps later.
    async fn give_back(self: Box<Self>) -> Result<(), BusError>;
}

/// Turns a message that is given up into a dead letter on the bus.
#[async_trait]
pub trait DeadLettering: Send + Sync + std::fmt::Debug {
    /// Publishes the dead letter and waits until it is durable. Its id is made from the record's, so
    /// that a repeat is a duplicate. A bad message on a finalizer or dead-letter topic makes none.
    ///
    /// # Errors
    /// When the bus did not take it; the delivery is then not acknowledged.
    async fn dead_letter(&self, record: &Record, failure: &Failure) -> Result<(), BusError>;
}

// === impl Delivery ===

impl Delivery {
    /// For drivers. `failures` counts reported failures as far as this driver knows them,
    /// `deliveries` all deliveries of this message to this group, this one included.
    pub fn new(
        record: Record,
        failures: u32,
        deliveries: u32,
        settler: Box<dyn Settler>,
        dead_lettering: Arc<dyn DeadLettering>,
    ) -> Self {
        Self { record, failures, deliveries, settler: Some(settler), dead_lettering }
    }

    /// The message and where it stands.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How often a handler reported that it failed on this message.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How often it was delivered to this group, this time included.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Settles it. A dead letter is published before the message is acknowledged, never after.
    ///
    /// # Errors
    /// When the bus did not confirm it. The message then comes again, which is always safe.
    pub async fn settle(mut self, settlement: Settlement) -> Result<(), BusError> {
        if let Settlement::DeadLetter(failure) = &settlement {
            self.dead_lettering.dead_letter(&self.record, failure).await?;
        }
        let Some(settler) = self.settler.take() else { return Ok(()) };
        match settlement {
            Settlement::Ack | Settlement::DeadLetter(_) => settler.ack().await,
            Settlement::Retry { after } => settler.retry(after).await,
            Settlement::Return => settler.give_back().await,
        }
    }

    /// Acknowledges it without waiting for the bus's word. Over a break it may come again, so this is for
    /// whoever has a record of what became of it that outlives the break.
    pub fn ack_unconfirmed(mut self) {
        if let Some(settler) = self.settler.take() {
            settler.ack_unconfirmed();
        }
    }
}
