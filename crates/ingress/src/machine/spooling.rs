//! When the disk is used, and what becomes of what it says.

use std::time::Instant;

use chatbus_connector::Accepted;

use super::{Actions, Counts, Machine, Moment, Notice, Slot};
use crate::spool::{Entry, Job, Read, Report};

impl Machine {
    /// Events that are on disk, or on their way there, and not on the bus.
    pub(crate) fn spool_events(&self) -> u64 {
        self.disk.next.saturating_sub(self.disk.cursor)
    }

    /// Whether anything waits in the spool or must go there.
    pub(super) fn uses_spool(&self) -> bool {
        self.disk.cursor < self.disk.next || !self.tail.is_empty()
    }

    /// A job for the disk, when one is due and none is at work.
    pub(super) fn use_disk(&mut self, now: Moment, actions: &mut Actions) {
        if self.disk.working_since.is_some() || self.disk.retry_at.is_some_and(|at| now.mono < at) {
            return;
        }
        let mut job = Job::default();
        if self.save_due(now) {
            job.append = self.number_unsaved();
        }
        if self.cursor_due(now) {
            job.cursor = Some(self.disk.cursor);
        }
        if self.read_due() {
            job.read = Some(Read { from: self.disk.read_next, max_bytes: self.limits.read_bytes });
        }
        if job == Job::default() {
            return;
        }
        self.disk.working_since = Some(now.mono);
        actions.job = Some(job);
    }

    pub(super) fn disk_deadline(&self, now: Instant) -> Option<Instant> {
        if let Some(since) = self.disk.working_since {
            let hangs_at = since + self.limits.disk_hangs_after;
            return (self.wants_bound() && now < hangs_at).then_some(hangs_at);
        }
        let save = self.oldest_unsaved().map(|slot| slot.read_at + self.limits.save_after);
        let cursor = (self.disk.cursor != self.disk.cursor_written)
            .then(|| self.disk.cursor_at + self.limits.cursor_every);
        let due = [save, cursor].into_iter().flatten().min()?;
        Some(self.disk.retry_at.map_or(due, |at| due.max(at)))
    }

    fn save_due(&self, now: Moment) -> bool {
        let Some(oldest) = self.oldest_unsaved() else { return false };
        let leaving = self.finishing.is_some_and(|deadline| {
            now.mono >= deadline || !self.link.connected || self.link.hold_until.is_some()
        });
        leaving || now.mono >= oldest.read_at + self.limits.save_after
    }

    fn cursor_due(&self, now: Moment) -> bool {
        let leaving = self.finishing.is_some() && self.sent == 0;
        self.disk.cursor != self.disk.cursor_written
            && (leaving || now.mono >= self.disk.cursor_at + self.limits.cursor_every)
    }

    fn read_due(&self) -> bool {
        self.disk.read_next < self.disk.durable && self.front_has_room() && self.finishing.is_none()
    }

    fn oldest_unsaved(&self) -> Option<&Slot> {
        self.front.get(self.front_numbered).or_else(|| self.tail.front())
    }

    fn number_unsaved(&mut self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.front.len() - self.front_numbered + self.tail.len());
        let mut writing = Counts::default();
        let mut number = |slot: &mut Slot, next: &mut u64| {
            slot.number = Some(*next);
            entries.push(Entry { number: *next, kept: slot.kept.clone() });
            *next += 1;
            writing.add(slot.kept.platform, 1);
        };
        let unsaved_in_front = self.front_numbered < self.front.len();
        for slot in self.front.iter_mut().skip(self.front_numbered) {
            number(slot, &mut self.disk.next);
        }
        if unsaved_in_front {
            // It had the newest record of all, so nothing behind it is on disk only.
            self.disk.read_next = self.disk.next;
        }
        for slot in &mut self.tail {
            number(slot, &mut self.disk.next);
        }
        self.front_numbered = self.front.len();
        self.saving.append(&mut self.tail);
        self.unsaved_bytes = 0;
        self.disk.writing = writing;
        entries
    }

    pub(super) fn spooled(&mut self, report: Report, now: Moment, actions: &mut Actions) {
        self.disk.working_since = None;
        self.disk.bytes = report.bytes;
        if let Some(cursor) = report.cursor_written {
            self.disk.cursor_written = cursor;
            self.disk.cursor_at = now.mono;
        }
        self.disk.durable = self.disk.durable.max(report.durable);
        let writing = std::mem::take(&mut self.disk.writing);
        if report.error.is_none()
            && let Some(trouble) = &mut self.trouble
        {
            for (platform, events) in writing.0 {
                trouble.events += events;
                actions.spooled.add(platform, events);
            }
        }
        self.tell_durable();
        while self.saving.front().is_some_and(|slot| slot.number.is_some_and(|n| n < self.disk.durable)) {
            self.saving.pop_front();
        }
        self.unnumber_unwritten();
        self.pass_dropped(report.oldest, now, actions);
        if let Some(read_to) = report.read_to {
            self.loaded(report.loaded, read_to, now, actions);
        }
        match report.error {
            Some(error) => {
                self.disk.retry_at = Some(now.mono + self.limits.disk_retry);
                self.disk.cursor_at = now.mono;
                if !std::mem::replace(&mut self.disk.failing, true) {
                    actions.notices.push(Notice::DiskFailed { error });
                }
            }
            None => {
                self.disk.retry_at = None;
                if std::mem::replace(&mut self.disk.failing, false) {
                    actions.notices.push(Notice::DiskRecovered);
                }
            }
        }
    }

    /// Who waits for an event that stands on disk now hears that it is safe there.
    fn tell_durable(&mut self) {
        let durable = self.disk.durable;
        let numbered = self.front.iter_mut().take(self.front_numbered).chain(&mut self.saving);
        for slot in numbered.filter(|slot| slot.number.is_some_and(|number| number < durable)) {
            slot.tell(Accepted::Spooled);
        }
    }

    /// What the disk did not take has no record, and is handed over again.
    fn unnumber_unwritten(&mut self) {
        let durable = self.disk.durable;
        let unwritten = |slot: &Slot| slot.number.is_some_and(|number| number >= durable);
        while let Some(mut slot) = self.saving.pop_back() {
            slot.number = None;
            self.unsaved_bytes += slot.kept.size();
            self.tail.push_front(slot);
        }
        for slot in self.front.iter_mut().rev() {
            if slot.number.is_none() {
                continue;
            }
            if !unwritten(slot) {
                break;
            }
            slot.number = None;
            self.unsaved_bytes += slot.kept.size();
            self.front_numbered = self.front_numbered.saturating_sub(1);
        }
        if self.disk.next > durable {
            let disk_only = self.disk.read_next < durable;
            // Numbers whose events were acknowledged meanwhile are not used again.
            self.disk.next = durable.max(self.disk.cursor);
            self.disk.durable = self.disk.next;
            if !disk_only {
                self.disk.read_next = self.disk.next;
            }
        }
    }

    /// The disk dropped its oldest to make room: what was nowhere else is lost.
    fn pass_dropped(&mut self, oldest: u64, now: Moment, actions: &mut Actions) {
        let oldest = oldest.min(self.disk.durable);
        if self.disk.read_next < oldest {
            let lost = oldest - self.disk.read_next;
            self.disk.read_next = oldest;
            self.note_dropped("spool_full", lost, now, actions);
            self.move_cursor();
        }
    }

    fn loaded(&mut self, loaded: Vec<Entry>, read_to: u64, now: Moment, actions: &mut Actions) {
        let expected = read_to.saturating_sub(self.disk.read_next);
        let mut read = 0;
        for entry in loaded {
            if entry.number < self.disk.read_next {
                continue;
            }
            read += 1;
            let mut slot = Slot::new(entry.kept, None, now.mono, now.wall, now);
            slot.number = Some(entry.number);
            self.front_bytes += slot.kept.size();
            self.front_numbered += 1;
            self.front.push_back(slot);
        }
        self.disk.read_next = self.disk.read_next.max(read_to);
        if expected > read {
            self.note_dropped("spool_corrupt", expected - read, now, actions);
            self.move_cursor();
        }
    }

    pub(super) fn disk_is_busy(&self, now: Instant) -> bool {
        !self.disk.failing
            && self.disk.working_since.is_some_and(|since| now < since + self.limits.disk_hangs_after)
    }

    fn wants_bound(&self) -> bool {
        self.unsaved_bytes > self.limits.memory_bytes
    }

    /// When the disk fails or hangs, the oldest that waits for it in memory gives way to the newest.
    pub(super) fn bound_memory(&mut self, now: Moment, actions: &mut Actions) {
        if !self.wants_bound() || self.disk_is_busy(now.mono) {
            return;
        }
        if !self.disk.failing && self.disk.working_since.is_none() {
            return;
        }
        let mut lost = 0;
        while self.wants_bound()
            && let Some(slot) = self.tail.pop_front()
        {
            self.unsaved_bytes = self.unsaved_bytes.saturating_sub(slot.kept.size());
            lost += 1;
        }
        if lost > 0 {
            self.note_dropped("spool_full", lost, now, actions);
        }
    }

    pub(super) fn note_dropped(
        &mut self,
        reason: &'static str,
        events: u64,
        now: Moment,
        actions: &mut Actions,
    ) {
        self.dropped += events;
        self.dropped_at = Some(now.mono);
        actions.notices.push(Notice::Dropped { reason, events });
    }
}
