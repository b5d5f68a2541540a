//! Taking events in, and giving them to the bus.

use std::time::Instant;

use chatbus_bus::Message;

use super::{Actions, Batch, Machine, Moment, Slot};
use crate::config::RETRY_MAX;
use crate::kept::{Kept, Route};
use crate::rewrite;

impl Machine {
    /// Whether the intake is open.
    pub(crate) fn takes(&self, now: Instant) -> bool {
        self.shut_since.is_none_or(|since| now >= since + self.limits.gulp_every)
    }

    pub(super) fn taken(&mut self, batch: Batch, now: Moment, actions: &mut Actions) {
        // What was taken was the gulp; the next one is due a full interval later.
        self.shut_since = None;
        let Batch { platform, read_at, wall, events, told } = batch;
        let mut told = told.into_iter();
        for inbound in events {
            let (kept, attributes) = Kept::new(platform, inbound);
            let mut slot = Slot::new(kept, Some(attributes), read_at, wall, now);
            slot.told = told.next();
            if slot.kept.body.len() > self.limits.max_body
                && !self.replace(&mut slot, "too_large", now, actions)
            {
                continue;
            }
            self.unsaved_bytes += slot.kept.size();
            if self.front_has_room() && self.nothing_behind() {
                self.front_bytes += slot.kept.size();
                self.front.push_back(slot);
            } else {
                self.tail.push_back(slot);
            }
        }
    }

    /// Moves what waits in memory behind the front into it, when nothing older is on disk only.
    pub(super) fn fill_front(&mut self) {
        while self.front_has_room() && self.disk.read_next >= self.disk.durable {
            let Some(slot) = self.saving.pop_front().or_else(|| self.tail.pop_front()) else { return };
            if let Some(number) = slot.number {
                self.disk.read_next = number + 1;
                self.front_numbered += 1;
            }
            self.front_bytes += slot.kept.size();
            self.front.push_back(slot);
        }
    }

    /// The window, and as much again, so that the bus never waits for the disk.
    pub(super) fn front_has_room(&self) -> bool {
        self.front.len() < 2 * self.limits.window_messages && self.front_bytes < 2 * self.limits.window_bytes
    }

    fn nothing_behind(&self) -> bool {
        self.tail.is_empty() && self.saving.is_empty() && self.disk.read_next >= self.disk.durable
    }

    pub(super) fn publish(&mut self, now: Moment, actions: &mut Actions) {
        if self.link.hold_until.is_some_and(|until| now.mono < until) {
            return;
        }
        if self.sent == self.front.len() {
            return;
        }
        self.link.hold_until = None;
        if self.sent == 0 {
            self.link.last_progress = now.mono;
        }
        while self.sent < self.front.len() && self.window_has_room() {
            self.refuse_too_long(now, actions);
            let Some(slot) = self.front.get_mut(self.sent) else { break };
            let attributes = slot.attributes.take();
            let late = self.front.get(self.sent).is_some_and(|slot| self.late(slot, now));
            let Some(slot) = self.front.get(self.sent) else { break };
            let mut message = match attributes {
                Some(attributes) => {
                    Message { id: slot.kept.id.clone(), attributes, body: slot.kept.body.clone() }
                }
                None => slot.kept.message(),
            };
            if late && slot.kept.route == Route::Ingress {
                message.body = rewrite::late(&message.body);
            }
            self.sent_bytes += slot.kept.body.len();
            self.sent += 1;
            actions.publish.push((slot.kept.route, message));
        }
        if !self.link.connected {
            // A driver that says it is out of reach is tried now and then all the same.
            self.link.hold_until = Some(now.mono + RETRY_MAX);
        }
    }

    fn window_has_room(&self) -> bool {
        let most = if self.link.probing { 2 } else { self.limits.window_messages };
        let next = self.front.get(self.sent).map_or(0, |slot| slot.kept.body.len());
        self.sent < most && (self.sent == 0 || self.sent_bytes + next <= self.limits.window_bytes)
    }

    /// A message that the bus says beforehand it cannot take is not even tried.
    fn refuse_too_long(&mut self, now: Moment, actions: &mut Actions) {
        while let Some(slot) = self.front.get(self.sent)
            && slot.kept.body.len() > self.max_message_bytes
        {
            self.refuse(self.sent, "too_large", now, actions);
        }
    }

    pub(super) fn set_gate(&mut self, now: Moment) {
        if self.wants_shut(now.mono) {
            self.shut_since.get_or_insert(now.mono);
        } else {
            self.shut_since = None;
        }
    }

    /// The bus swallows what it gets, only not as fast as it comes: let the rest wait in the sockets
    /// for a moment. As soon as the bus stops answering, everything is taken and goes to the spool.
    fn wants_shut(&self, now: Instant) -> bool {
        if self.finishing.is_some() {
            return false;
        }
        if self.disk_is_busy(now) && self.unsaved_bytes > self.limits.memory_bytes / 4 {
            return true;
        }
        let answers = self.link.connected
            && self.link.hold_until.is_none()
            && now.saturating_duration_since(self.link.last_progress) < self.limits.save_after;
        if !answers || self.sent == 0 {
            return false;
        }
        let oldest = self.front.front().map(|slot| now.saturating_duration_since(slot.taken_at));
        let paced = self.sent >= self.limits.pace_in_flight
            && oldest.is_some_and(|age| age >= self.limits.pace_after);
        paced || self.sent < self.front.len() || !self.window_has_room()
    }
}
