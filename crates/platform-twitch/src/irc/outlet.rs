//! The way from the connection to the publisher: a bounded queue, and what happens when it is full.

use std::time::Instant;

use chatbus_connector::Inbound;
use tokio::sync::mpsc;

use super::limits::{MAX_UNTAKEN, PAUSE_AT, READ_PAUSE};

/// Batches that wait for the publisher. Few, because while it has no room each is as large as what
/// was read until then.
pub(crate) const MAX_BATCHES: usize = 2;

/// Events on their way out, in order.
#[derive(Debug)]
pub(crate) struct Outlet {
    batches: mpsc::Sender<Vec<Inbound>>,
    untaken: Vec<Inbound>,
    full_since: Option<Instant>,
    dropped: u64,
}

// === impl Outlet ===

impl Outlet {
    pub(crate) fn new(batches: mpsc::Sender<Vec<Inbound>>) -> Self {
        Self { batches, untaken: Vec::new(), full_since: None, dropped: 0 }
    }

    /// Takes an event, unless there is no room for it.
    pub(crate) fn push(&mut self, event: Inbound) {
        if self.untaken.len() < MAX_UNTAKEN {
            self.untaken.push(event);
        } else {
            self.dropped += 1;
        }
    }

    /// Hands over what there is, if the publisher has room.
    pub(crate) fn flush(&mut self, now: Instant) {
        if !self.untaken.is_empty() {
            match self.batches.try_send(std::mem::take(&mut self.untaken)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(batch)) => self.untaken = batch,
                // The publisher has stopped: nothing more will be taken from anyone.
                Err(mpsc::error::TrySendError::Closed(batch)) => self.dropped += batch.len() as u64,
            }
        }
        let is_full = self.untaken.len() >= PAUSE_AT;
        self.full_since = if is_full { self.full_since.or(Some(now)) } else { None };
    }

    /// Hands over the rest, as long as that takes no longer than reading may pause.
    pub(crate) async fn finish(self) {
        let Self { batches, untaken, .. } = self;
        if !untaken.is_empty() {
            // Without room by then, or with nobody there, it is lost with the process.
            let _ = tokio::time::timeout(READ_PAUSE, batches.send(untaken)).await;
        }
    }

    /// Waits until the publisher has room again; for ever when nothing waits.
    pub(crate) async fn room(&self) {
        if self.untaken.is_empty() {
            return std::future::pending().await;
        }
        // A permit is not kept: the next flush takes it.
        let _ = self.batches.reserve().await;
    }

    /// Whether more should be read.
    pub(crate) fn may_read(&self, now: Instant) -> bool {
        self.full_since.is_none_or(|since| now >= since + READ_PAUSE)
    }

    /// When reading goes on although there is no room.
    pub(crate) fn reads_again(&self) -> Option<Instant> {
        self.full_since.map(|since| since + READ_PAUSE)
    }

    /// How many events were dropped for want of room since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_event::{Attributes, Clock as _, MessageId, Timestamp};
    use chatbus_testkit::FakeClock;

    fn event(n: usize) -> Inbound {
        Inbound {
            id: MessageId::new(&n.to_string()),
            attributes: Attributes::new(),
            body: bytes::Bytes::new(),
            conversation: "#a".into(),
            received_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_slow_publisher_pauses_reading_for_a_while_and_then_costs_events_that_are_counted() {
        let clock = FakeClock::at(Timestamp::EPOCH);
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        outlet.push(event(0));
        outlet.flush(clock.instant());
        for n in 1..PAUSE_AT {
            outlet.push(event(n));
        }
        outlet.flush(clock.instant());
        assert!(outlet.may_read(clock.instant()));
        for n in PAUSE_AT..=MAX_UNTAKEN {
            outlet.push(event(n));
        }
        outlet.flush(clock.instant());
        assert!(!outlet.may_read(clock.instant()));
        assert_eq!(outlet.dropped(), 0);
        clock.advance(READ_PAUSE);
        assert_eq!(outlet.reads_again(), Some(clock.instant()));
        assert!(outlet.may_read(clock.instant()), "PINGs must be seen");
        outlet.push(event(99_999));
        assert_eq!(outlet.dropped(), 1);

        let mut order = receiver.try_recv().unwrap();
        outlet.flush(clock.instant());
        order.extend(receiver.try_recv().unwrap());
        assert_eq!(order.len(), MAX_UNTAKEN + 1);
        assert!(order.iter().enumerate().all(|(n, event)| event.id.as_str() == n.to_string()));
        assert!(outlet.reads_again().is_none());
    }
}
