//! The end: nothing new is taken or begun, what is in hand is finished, the rest goes back.

use chatbus_bus::Settlement;

use super::work::Place;
use super::{Engine, EngineState};
use crate::lanes::WorkId;

// === impl Engine ===

impl Engine {
    pub(super) fn begin_stop(&mut self) {
        let now = self.now();
        let grace = self.shared.config.grace;
        self.stop_by = Some(now + grace);
        // The last quarter is for publishing what the sends in hand came to.
        self.cut_at = Some(now + grace * 3 / 4);
        self.relief = None;
        self.state.send_replace(EngineState::Stopping);
        for (slot, delivery) in std::mem::take(&mut self.unread) {
            self.settle(slot, delivery, Settlement::Return);
        }
        let held: Vec<WorkId> = self.lanes.iter().flat_map(|(_, c)| c.held()).collect();
        for id in held {
            self.give_back(id);
        }
    }

    /// Returns what was not begun to the bus. What is in the lane stays there.
    pub(super) fn give_back(&mut self, id: WorkId) {
        let Some(work) = self.works.get_mut(id) else { return };
        if !matches!(work.place, Place::Held(_)) {
            return;
        }
        for (slot, delivery) in std::mem::take(&mut work.inputs).into_iter().chain(work.newer.take()) {
            self.settle(slot, delivery, Settlement::Return);
        }
        self.let_go(id);
    }

    /// Whether everything in hand is finished, or the grace is over.
    pub(super) fn stop_is_over(&self) -> bool {
        let is_done = self.jobs.is_empty() && self.confirmations.is_empty();
        self.stop_by.is_some_and(|by| is_done || self.now() >= by)
    }
}
