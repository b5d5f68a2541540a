//! From the transports to the publisher: what both of them read is one event.

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{Emit, Emitted, Inbound, Status};
use chatbus_event::Clock;
use tokio::sync::mpsc;

use crate::eventsub::recent::{REMEMBERED, Recent};

/// So far apart both may bring the same: the bus's own window. A line that has no id is known by what it says,
/// and may well be said again later.
const APART: Duration = Duration::from_secs(120);

/// Knows what one transport brought when the other brings it.
pub(super) struct Twice {
    seen: Recent,
    clock: Arc<dyn Clock>,
    status: Status,
}

// === impl Twice ===

impl Twice {
    pub(super) fn new(clock: Arc<dyn Clock>, status: Status) -> Self {
        Self { seen: Recent::bounded(REMEMBERED, APART), clock, status }
    }

    /// Leaves out what was there before, and counts it.
    fn drop_repeats(&mut self, events: &mut Vec<Inbound>) {
        let now = self.clock.instant();
        let before = events.len();
        events.retain(|event| self.seen.is_new(event.id.as_str(), now));
        let dropped = (before - events.len()) as u64;
        if dropped > 0 {
            self.status.count(|snapshot| {
                *snapshot.counters.other.entry("readTwice".to_owned()).or_default() += dropped;
            });
        }
    }
}

/// Hands batches to the publisher, one after the other, until there are no more or it has stopped.
pub(super) async fn hand_over(
    mut taken: mpsc::Receiver<Vec<Inbound>>,
    emit: Arc<dyn Emit>,
    mut twice: Option<Twice>,
) {
    while let Some(mut batch) = taken.recv().await {
        if let Some(twice) = &mut twice {
            twice.drop_repeats(&mut batch);
        }
        if !batch.is_empty() && emit.emit(batch).await == Emitted::Stopped {
            return;
        }
    }
}

/// Lets go what is read only so that something can be said.
pub(super) async fn let_go(mut taken: mpsc::Receiver<Vec<Inbound>>) {
    while taken.recv().await.is_some() {}
}
