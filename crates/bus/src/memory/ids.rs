//! Which message ids a topic remembers. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chatbus_event::MessageId;

/// Ids one topic remembers at most; beyond it the oldest is forgotten before its time.
const MAX_IDS: usize = 1 << 20;

/// The ids of one dedupe window.
#[derive(Debug, Default)]
pub(super) struct IdWindow {
    places: HashMap<MessageId, u64>,
    order: VecDeque<(Instant, MessageId)>,
}

// === impl IdWindow ===

impl IdWindow {
    /// The place of the first message with this id, while it is remembered.
    pub(super) fn place_of(&mut self, id: &MessageId, now: Instant, window: Duration) -> Option<u64> {
        while self.order.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= window) {
            self.forget_oldest();
        }
        self.places.get(id).copied()
    }

    /// Remembers an id that is not remembered.
    pub(super) fn remember(&mut self, id: MessageId, seq: u64, now: Instant) {
        if self.order.len() >= MAX_IDS {
            self.forget_oldest();
        }
        self.places.insert(id.clone(), seq);
        self.order.push_back((now, id));
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.places.remove(&id);
        }
    }
}
