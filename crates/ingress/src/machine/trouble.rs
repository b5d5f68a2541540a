//! When going through the spool is worth a warning, and what readiness says.
//!
//! A few events on disk for a few milliseconds are how the pipeline keeps its promise. It is trouble
//! when the bus is out of reach, refuses, falls silent, or cannot keep up.

use super::{Actions, Machine, Moment, Notice};
use crate::health::IngressHealth;

/// Going through the spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) since: Moment,
    pub(super) reason: &'static str,
    /// Events written since.
    pub(super) events: u64,
}

/// The spool was not empty at the start.
pub(super) const FOUND_AT_START: &str = "found_at_start";

impl Machine {
    pub(super) fn judge_trouble(&mut self, now: Moment, actions: &mut Actions) {
        if !self.uses_spool() {
            if let Some(Trouble { since, reason, events }) = self.trouble.take() {
                let lasted = now.mono.saturating_duration_since(since.mono);
                actions.notices.push(Notice::SpoolDrained { reason, events, lasted });
            }
            return;
        }
        if self.trouble.is_some() {
            return;
        }
        let Some(reason) = self.reason(now) else { return };
        let mut events = 0;
        // What is being written now is counted when it is.
        let durable = self.disk.durable;
        let written = self.front.iter().take_while(|slot| slot.number.is_some_and(|n| n < durable));
        for slot in written {
            actions.spooled.add(slot.kept.platform, 1);
            events += 1;
        }
        self.trouble = Some(Trouble { since: now, reason, events });
        actions.notices.push(Notice::SpoolBegun { reason });
    }

    fn reason(&self, now: Moment) -> Option<&'static str> {
        let silent = now.mono.saturating_duration_since(self.link.last_progress);
        if !self.link.connected {
            Some("bus_closed")
        } else if self.link.attempts > self.limits.max_retries {
            Some("refused")
        } else if self.sent > 0 && silent >= self.limits.stalled_after {
            Some("acks_late")
        } else if !self.tail.is_empty() || !self.saving.is_empty() || self.disk.read_next < self.disk.durable
        {
            Some("window_full")
        } else {
            None
        }
    }

    /// What readiness reads.
    pub(crate) fn health(&self, now: Moment) -> IngressHealth {
        let dropping = self
            .dropped_at
            .is_some_and(|at| now.mono.saturating_duration_since(at) < self.limits.dropping_for);
        IngressHealth {
            spooling_since: self.trouble.map(|trouble| trouble.since.wall),
            spooling_reason: self.trouble.map(|trouble| trouble.reason),
            spool_events: self.spool_events(),
            spool_bytes: self.disk.bytes,
            dropping,
            dropped: self.dropped,
            disk_failing: self.disk.failing,
        }
    }
}
