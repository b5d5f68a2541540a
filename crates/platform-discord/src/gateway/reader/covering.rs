//! Hands over what was read, and remembers what was.

use std::sync::{Arc, PoisonError};

use chatbus_connector::Emitted;

use super::{Filling, Reader};
use crate::directory::id_of;
use crate::gateway::backfill::Fetched;
use crate::gateway::note::Note;
use crate::normalize::{Frame, Gap};

// === impl Reader ===

impl Reader {
    /// What was fetched of a gap goes out before what was said since.
    pub(super) async fn fill(&mut self, fetched: Fetched) {
        let Some(Filling { missed, to, .. }) = self.filling.take() else { return };
        let since = std::mem::take(&mut self.batch);
        let now = self.runtime.clock.now();
        for message in &fetched.messages {
            if let Some(event) = self.normalizer.backfilled(message, now) {
                self.batch.push(event);
            }
            let [channel, id] = message.pick(["channel_id", "id"]);
            if let (Some(channel), Some(id)) = (channel, id.as_ref().and_then(id_of)) {
                self.see(channel.as_str().unwrap_or_default().as_ref(), id);
            }
        }
        let backfilled = self.batch.len();
        self.shared.count("backfilled", u64::try_from(backfilled).unwrap_or(u64::MAX));
        self.shared.count("gaps", 1);
        let gap = Gap {
            from: missed.from,
            to,
            reason: missed.reason,
            channels: self.channels().iter().map(ToString::to_string).collect(),
            backfilled,
            open: fetched.open,
        };
        let gap = self.normalizer.gap(&gap, now);
        self.batch.push(gap);
        self.batch.extend(since);
        self.life.told();
        self.hand_over().await;
    }

    /// The channels that are heard over this shard: all that are read, or none.
    pub(super) fn channels(&self) -> Vec<Arc<str>> {
        let guild = self.shared.directory.read().unwrap_or_else(PoisonError::into_inner).guild();
        // Discord's rule for which shard a guild is on.
        let is_its = (guild >> 22) % u64::from(self.started.shards.max(1)) == u64::from(self.shard);
        if is_its { self.shared.wanted() } else { Vec::new() }
    }

    /// The connection ended before a gap was filled: it is filled over the next one.
    pub(super) fn give_up_filling(&mut self) {
        if let Some(filling) = self.filling.take() {
            self.seen = filling.seen;
        }
    }

    /// Hands over what was read, and then remembers that it was.
    pub(super) async fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let seq = self.batch_seq.take();
        if !batch.is_empty() && self.emit.emit(batch).await == Emitted::Stopped {
            self.has_stopped = true;
            return;
        }
        let Some(seq) = seq else { return };
        self.life.covered(seq);
        self.life.heard(self.runtime.clock.now());
        self.save(false);
    }

    pub(super) fn note_seen(&mut self, frame: &Frame) {
        let [channel, id] = frame.data.pick(["channel_id", "id"]);
        if let (Some(channel), Some(id)) = (channel, id.as_ref().and_then(id_of)) {
            let channel = channel.as_str().unwrap_or_default();
            if self.shared.wanted_is(&channel) {
                self.see(&channel, id);
            }
        }
    }

    pub(super) fn see(&mut self, channel: &str, id: u64) {
        match self.seen.get_mut(channel) {
            Some(last) => *last = id.max(*last),
            None => {
                self.seen.insert(channel.to_owned(), id);
            }
        }
    }

    /// Tells the writer of notes what is covered. While something missed is not told yet nothing is, so that
    /// the next process would find the same gap.
    pub(super) fn save(&mut self, lets_go: bool) {
        let (Some(session), Some(at)) = (self.life.session(), self.life.heard_at()) else { return };
        if self.life.missed().is_some() {
            return;
        }
        let wanted = self.shared.wanted();
        self.seen.retain(|channel, _| wanted.iter().any(|wanted| **wanted == **channel));
        let holder = if lets_go { "" } else { self.shared.instance() };
        self.notes.send_replace(Some(Note {
            session: session.id.clone(),
            seq: session.seq,
            url: session.url.clone(),
            total: self.started.shards,
            at,
            holder: holder.to_owned(),
            seen: self.seen.clone(),
        }));
    }
}
