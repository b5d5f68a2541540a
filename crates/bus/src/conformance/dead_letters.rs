//! The suite's own dead letters: the original bytes, as they were, on the dead-letter topic. What a
//! real dead letter holds is not the driver's business; that it comes before the ack is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use async_trait::async_trait;
use chatbus_event::{Topic, names};

use crate::{Bus, BusError, DeadLettering, Failure, Message, Record};

#[derive(Default)]
pub(super) struct SuiteDeadLetters {
    publisher: Mutex<Option<Weak<dyn Bus>>>,
    refuse: AtomicU32,
}

// === impl SuiteDeadLetters ===

impl SuiteDeadLetters {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn refusing(n: u32) -> Self {
        Self { refuse: AtomicU32::new(n), ..Self::default() }
    }

    pub(super) fn attach(&self, publisher: Weak<dyn Bus>) {
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) = Some(publisher);
    }
}

#[async_trait]
impl DeadLettering for SuiteDeadLetters {
    async fn dead_letter(&self, record: &Record, failure: &Failure) -> Result<(), BusError> {
        let left = |n: u32| n.checked_sub(1);
        if self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            return Err(BusError::closed("the suite refuses this dead letter"));
        }
        let publisher = self
            .publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(Weak::upgrade)
            .ok_or_else(|| BusError::closed("no bus for the dead letter"))?;
        let mut attributes = record.message.attributes.clone();
        attributes.set(names::TYPE, failure.reason.as_str());
        let message = Message::new(record.message.id.step("dead"), attributes, record.message.body.clone());
        publisher.publish(&Topic::dead_letter(), message).await.map(drop)
    }
}

impl std::fmt::Debug for SuiteDeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SuiteDeadLetters")
    }
}
