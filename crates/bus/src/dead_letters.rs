//! Dead letters as the rest of chatbus reads them: envelopes on the dead-letter topic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::{DeadLetter, ErrorInfo, Family, Topic};
use chatbus_runtime::{Backoff, Runtime};

use crate::{Bus, BusError, DeadLettering, Failure, Message, Record};

/// How long a bus that refuses for now is asked again before the delivery is given back instead.
const PATIENCE: Duration = Duration::from_secs(30);

/// Turns what is given up into envelopes of type `router.deadletter.v1`, whole original included.
///
/// A driver needs this before there is a bus to publish on, and the bus then holds it: make it first,
/// hand it to the driver, then [`attach`](Self::attach) the bus. It holds the bus weakly.
pub struct EventDeadLetters {
    bus: OnceLock<Weak<dyn Bus>>,
    source: String,
    runtime: Runtime,
    without_letter: AtomicU64,
}

// === impl EventDeadLetters ===

impl EventDeadLetters {
    /// `source` says who gives up, such as `ingress-egress.{instanceId}`.
    pub fn new(source: impl Into<String>, runtime: Runtime) -> Self {
        Self { bus: OnceLock::new(), source: source.into(), runtime, without_letter: AtomicU64::new(0) }
    }

    /// Says which bus takes the letters. The first call counts.
    pub fn attach(&self, bus: &Arc<dyn Bus>) {
        let _ = self.bus.set(Arc::downgrade(bus));
    }

    /// How many bad messages on finalizer and dead-letter topics were given up without a letter, since
    /// a letter about a letter could go on for ever.
    pub fn without_letter(&self) -> u64 {
        self.without_letter.load(Ordering::Relaxed)
    }

    fn bus(&self) -> Result<Arc<dyn Bus>, BusError> {
        self.bus
            .get()
            .and_then(Weak::upgrade)
            .ok_or_else(|| BusError::closed("publishing a dead letter: no bus"))
    }

    fn letter(&self, record: &Record, failure: &Failure) -> Message {
        // Ids are per topic, so the topic is part of what names the letter.
        let key = format!("{}/{}", record.topic, record.message.id);
        let error = ErrorInfo { code: failure.code.clone(), message: failure.message.clone() };
        let letter = DeadLetter {
            key: &key,
            original: &record.message.body,
            reason: failure.reason,
            error: (!error.code.is_empty() || !error.message.is_empty()).then_some(error),
            source: &self.source,
            attempts: &[],
            at: self.runtime.clock.now(),
        };
        let (attributes, body) = letter.encode();
        Message::new(letter.message_id(), attributes, body)
    }
}

#[async_trait]
impl DeadLettering for EventDeadLetters {
    async fn dead_letter(&self, record: &Record, failure: &Failure) -> Result<(), BusError> {
        let family = record.topic.family();
        if matches!(family, Family::Finalizer | Family::DeadLetter | Family::RouterDlq) {
            let count = self.without_letter.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(
                event = "deadletter.refused", topic = family.label(), eventId = %record.message.id,
                reason = %failure.reason, errorCode = failure.code, count,
            );
            return Ok(());
        }
        let letter = self.letter(record, failure);
        let until = self.runtime.clock.instant() + PATIENCE;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let error = match self.bus()?.publish(&Topic::dead_letter(), letter.clone()).await {
                Ok(_) => break,
                Err(error) => error,
            };
            let wait = backoff.next(&*self.runtime.entropy);
            if !error.is_temporary() || self.runtime.clock.instant() + wait >= until {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
        tracing::warn!(
            event = "deadletter.published", topic = family.label(), eventId = %record.message.id,
            reason = %failure.reason, errorCode = failure.code,
        );
        Ok(())
    }
}

impl std::fmt::Debug for EventDeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventDeadLetters({})", self.source)
    }
}
