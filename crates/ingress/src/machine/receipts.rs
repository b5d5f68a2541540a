//! What the bus says of what was published.

use chatbus_bus::BusErrorKind;
use chatbus_connector::Accepted;

use super::{Actions, Machine, Moment, Notice, Slot};
use crate::config::RETRY_MAX;
use crate::kept::Route;
use crate::rewrite;

impl Machine {
    pub(super) fn acked(&mut self, count: usize, now: Moment, actions: &mut Actions) {
        if self.link.suspect {
            // The first is refused and the second is not: it is the message, not the bus.
            self.give_up_suspect(now, actions);
            return;
        }
        for _ in 0..count.min(self.sent) {
            let Some(mut slot) = self.pop_front() else { break };
            if slot.kept.route == Route::Ingress {
                slot.tell(Accepted::Bus);
                let age = now.mono.saturating_duration_since(slot.read_at);
                actions.published.push((slot.kept.platform, age));
            }
        }
        self.progressed(now);
    }

    fn progressed(&mut self, now: Moment) {
        self.link.last_progress = now.mono;
        self.link.attempts = 0;
        self.link.probing = false;
        self.link.suspect = false;
        self.link.backoff.reset();
    }

    /// Takes the oldest event out of the pipeline.
    fn pop_front(&mut self) -> Option<Slot> {
        let slot = self.front.pop_front()?;
        self.front_bytes = self.front_bytes.saturating_sub(slot.kept.size());
        if self.sent > 0 {
            self.sent -= 1;
            self.sent_bytes = self.sent_bytes.saturating_sub(slot.kept.body.len());
        }
        if slot.number.is_some() {
            self.front_numbered = self.front_numbered.saturating_sub(1);
            self.move_cursor();
        } else {
            self.unsaved_bytes = self.unsaved_bytes.saturating_sub(slot.kept.size());
        }
        Some(slot)
    }

    /// To the oldest record in the front, or behind all that the front ever held.
    pub(super) fn move_cursor(&mut self) {
        let oldest = self.front.front().and_then(|slot| slot.number).unwrap_or(self.disk.read_next);
        self.disk.cursor = self.disk.cursor.max(oldest);
    }

    pub(super) fn failed(&mut self, kind: BusErrorKind, now: Moment, actions: &mut Actions) {
        if kind == BusErrorKind::TooLarge {
            // Of a suspect and its neighbour it is the neighbour that this is about.
            let at = usize::from(std::mem::take(&mut self.link.suspect));
            self.rewind(actions);
            self.refuse(at, "too_large", now, actions);
            return;
        }
        let second_tells = !self.link.suspect
            && kind == BusErrorKind::Refused
            && self.link.attempts >= self.limits.max_retries
            && self.sent == 2;
        if second_tells {
            self.link.suspect = true;
            return;
        }
        self.link.attempts += 1;
        self.link.suspect = false;
        self.link.probing = true;
        self.rewind(actions);
        let wait = match kind {
            // No attempt of ours mends a configuration; somebody's hand may, so it is tried on.
            BusErrorKind::Misconfigured => RETRY_MAX,
            _ => self.link.backoff.next(&*self.entropy),
        };
        self.link.hold_until = Some(now.mono + wait);
        if self.link.attempts == self.limits.max_retries.saturating_add(1) {
            actions.notices.push(Notice::Failing { attempts: self.link.attempts, kind });
        }
    }

    pub(super) fn status(&mut self, connected: bool, epoch: u64, now: Moment) {
        let came = connected && (!self.link.connected || epoch != self.link.epoch);
        self.link.connected = connected;
        self.link.epoch = epoch;
        if came {
            // Whatever made the last attempts fail is over.
            self.link.hold_until = None;
            self.link.backoff.reset();
        } else if !connected {
            self.link.hold_until = Some(now.mono + RETRY_MAX);
        }
    }

    /// Everything unacknowledged is to be published again, from the oldest on.
    fn rewind(&mut self, actions: &mut Actions) {
        actions.forget = true;
        self.sent = 0;
        self.sent_bytes = 0;
    }

    fn give_up_suspect(&mut self, now: Moment, actions: &mut Actions) {
        self.rewind(actions);
        // The second is stored; it goes out once more and is dropped as a duplicate.
        self.refuse(0, "refused", now, actions);
        self.progressed(now);
    }

    /// Gives the message at this place of the front up as it is: cuts it, or puts its dead letter in
    /// its place. `false` when it was a dead letter itself and is gone.
    pub(super) fn refuse(
        &mut self,
        at: usize,
        code: &'static str,
        now: Moment,
        actions: &mut Actions,
    ) -> bool {
        let Some(mut slot) = self.front.remove(at) else { return false };
        let before = slot.kept.size();
        self.front_bytes = self.front_bytes.saturating_sub(before);
        let stays = self.replace(&mut slot, code, now, actions);
        if slot.number.is_none() {
            let after = if stays { slot.kept.size() } else { 0 };
            self.unsaved_bytes = (self.unsaved_bytes + after).saturating_sub(before);
        }
        if stays {
            self.front_bytes += slot.kept.size();
            self.front.insert(at, slot);
        } else if slot.number.is_some() {
            self.front_numbered = self.front_numbered.saturating_sub(1);
            self.move_cursor();
        }
        stays
    }

    pub(super) fn replace(
        &mut self,
        slot: &mut Slot,
        code: &'static str,
        now: Moment,
        actions: &mut Actions,
    ) -> bool {
        let platform = slot.kept.platform;
        if slot.kept.route == Route::DeadLetter {
            self.note_dropped("refused", 1, now, actions);
            return false;
        }
        let shorter = if code == "too_large" && !slot.cut { rewrite::cut(&slot.kept.body) } else { None };
        if let Some(body) = shorter {
            slot.kept.body = body;
            slot.cut = true;
            actions.notices.push(Notice::Cut { id: slot.kept.id.to_string(), platform });
            return true;
        }
        slot.tell(Accepted::Refused("the bus does not take this message".to_owned()));
        actions.failed.add(platform, 1);
        actions.notices.push(Notice::GivenUp { id: slot.kept.id.to_string(), platform, code });
        let max =
            self.max_message_bytes.min(slot.kept.body.len().saturating_sub(1)).min(self.limits.max_body);
        let max = if code == "too_large" { max } else { self.max_message_bytes };
        let why = "the bus does not take this message";
        slot.kept = rewrite::dead_letter(&slot.kept, code, why, &self.source, max, now.wall);
        slot.attributes = None;
        true
    }
}
