//! How much is held in memory: deliveries that are not settled, by number and by bytes, and what was read
//! back from the lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chatbus_bus::{Delivery, Record};
use chatbus_event::MAX_EVENT_BYTES;

use super::jobs::Input;
use super::{Engine, RELIEF_AFTER};

/// What a delivery takes while it is held: a slot of its topic, and its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) input: Input,
    bytes: usize,
}

/// What is held of the deliveries of both topics.
#[derive(Debug, Default)]
pub(super) struct Held {
    slots: [usize; 2],
    bytes: usize,
}

/// Bytes that were read back from the lane and are still in memory. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads(Arc<AtomicUsize>);

/// A record that was read back from the lane; counts until it is dropped.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) record: Record,
    loads: Loads,
}

// === impl Engine ===

impl Engine {
    /// Takes a delivery into account until its settlement is over.
    pub(super) fn hold(&mut self, input: Input, delivery: &Delivery) -> Slot {
        let slot = Slot { input, bytes: delivery.record().message.body.len() };
        if let Some(slots) = self.held.slots.get_mut(input) {
            *slots += 1;
        }
        self.held.bytes += slot.bytes;
        if self.relief.is_none() && self.is_full() {
            self.relief = Some(self.now() + RELIEF_AFTER);
        }
        slot
    }

    pub(super) fn release(&mut self, slot: Slot) {
        if let Some(slots) = self.held.slots.get_mut(slot.input) {
            *slots = slots.saturating_sub(1);
        }
        self.held.bytes = self.held.bytes.saturating_sub(slot.bytes);
    }

    /// Whether nothing more is held until something is settled: all slots of a topic are taken, which the
    /// bus sees to, or all bytes.
    pub(super) fn is_full(&self) -> bool {
        self.is_heavy() || self.held.slots.iter().any(|slots| *slots >= self.shared.config.limits.slots)
    }

    /// Whether what is held leaves no byte for another.
    pub(super) fn is_heavy(&self) -> bool {
        self.held.bytes >= self.share_of_bytes()
    }

    /// Whether there is room to read one more back from the lane. Apart from what is held: what waits in
    /// memory behind the lane's head must never keep that from being read.
    pub(super) fn has_room_to_load(&self) -> bool {
        let (loaded, coming) = (self.shared.loads.bytes(), self.fetching.saturating_mul(MAX_EVENT_BYTES));
        loaded.saturating_add(coming) < self.share_of_bytes()
    }

    fn share_of_bytes(&self) -> usize {
        self.shared.config.limits.bytes / 2
    }
}

// === impl Loads ===

impl Loads {
    /// Counts a record.
    pub(super) fn count(&self, record: Record) -> Fetched {
        self.0.fetch_add(record.message.body.len(), Ordering::Relaxed);
        Fetched { record, loads: self.clone() }
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Fetched ===

impl Drop for Fetched {
    fn drop(&mut self) {
        self.loads.0.fetch_sub(self.record.message.body.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatbus_bus::Message;
    use chatbus_event::{Attributes, MessageId, Timestamp, Topic};

    use super::*;

    #[test]
    fn what_was_read_back_counts_until_it_is_dropped() {
        let loads = Loads::default();
        let record = Record {
            topic: Topic::egress(),
            seq: 1,
            published_at: Timestamp::EPOCH,
            message: Message::new(MessageId::new("m"), Attributes::new(), Bytes::from_static(b"12345")),
        };
        let (one, other) = (loads.count(record.clone()), loads.count(record));
        assert_eq!(loads.bytes(), 10);
        drop(one);
        assert_eq!(loads.bytes(), 5);
        drop(other);
        assert_eq!(loads.bytes(), 0);
    }
}
