//! What the frames of a connection mean.

use bytes::Bytes;
use chatbus_event::Timestamp;
use tracing::warn;
use twilight_gateway::Shard;

use super::{Filling, Reader};
use crate::PLATFORM;
use crate::gateway::backfill::fetch;
use crate::gateway::life::{End, Session};
use crate::normalize::Frame;

// === impl Reader ===

impl Reader {
    pub(super) fn on_text(&mut self, text: &Bytes, shard: &Shard) -> Option<End> {
        let Some(frame) = Frame::parse(text) else {
            self.shared.count("malformed", 1);
            return None;
        };
        match frame.op {
            0 => self.on_dispatch(&frame, shard),
            7 => Some(End::Reconnect),
            9 => Some(End::Invalid { resumable: frame.data.as_bool() == Some(true) }),
            11 => {
                self.on_pulse(shard);
                None
            }
            _ => None,
        }
    }

    pub(super) fn on_pulse(&mut self, shard: &Shard) {
        let now = self.runtime.clock.now();
        self.life.heard(now);
        let latency = shard.latency().recent().first().and_then(|took| u64::try_from(took.as_millis()).ok());
        self.shared.status.count(|snapshot| {
            snapshot.last_pong_at = Some(now);
            snapshot.latency_ms = latency;
        });
        if self.filling.is_none() {
            self.save(false);
        }
    }

    pub(super) fn on_dispatch(&mut self, frame: &Frame, shard: &Shard) -> Option<End> {
        let now = self.runtime.clock.now();
        let (Some(seq), Some(name)) = (frame.seq, frame.name.as_deref()) else {
            self.shared.count("malformed", 1);
            return None;
        };
        let mut end = None;
        match name {
            "READY" => {
                if let Some(id) =
                    frame.data.at(&["user", "id"]).and_then(|id| id.as_str().map(|id| id.into_owned()))
                {
                    self.normalizer.set_own_user(id);
                }
                let url = shard.resume_url().map(str::to_owned).filter(|url| self.may_resume_at(url));
                if url.is_none() && shard.resume_url().is_some() {
                    // The library would take the token there, or give up the program over what is no URL.
                    end = Some(End::Reconnect);
                }
                let session =
                    shard.session().map(|session| Session { id: session.id().to_owned(), seq, url });
                self.on_live(session, now);
            }
            "RESUMED" => {
                self.shared.count("resumes", 1);
                self.on_live(None, now);
            }
            _ => {}
        }
        self.batch_seq = Some(seq);
        if name == "MESSAGE_CREATE" {
            self.note_seen(frame);
        }
        if let Some(event) = self.normalizer.dispatch(name, seq, &frame.data, now) {
            self.batch.push(event);
            self.shared.status.count(|snapshot| {
                snapshot.counters.received += 1;
                snapshot.last_message_at = Some(now);
            });
        }
        let after = self.normalizer.oddities();
        for (counter, before, after) in [
            ("filtered", self.oddities.filtered, after.filtered),
            ("noise", self.oddities.noise, after.noise),
            ("malformed", self.oddities.malformed, after.malformed),
        ] {
            if after > before {
                self.shared.count(counter, after - before);
            }
        }
        self.oddities = after;
        if name.starts_with("GUILD_CREATE") || name.starts_with("CHANNEL_") {
            self.shared.show_channels();
        }
        end
    }

    pub(super) fn on_live(&mut self, session: Option<Session>, now: Timestamp) {
        self.life.is_live(session, self.runtime.clock.instant());
        if let Some(id) = self.life.session().map(|session| session.id.clone()) {
            self.normalizer.set_session(&id);
        }
        if let (Some(missed), None) = (self.life.missed(), &self.filling) {
            warn!(
                event = "discord.gateway.gap", platform = PLATFORM, shard = self.shard, reason = missed.reason,
                from = %missed.from, "something was missed; fetching what can be"
            );
            let channels = self.channels();
            let seen = self.seen.clone();
            let fetching =
                fetch(std::sync::Arc::clone(&self.shared.rest), channels, seen.clone(), missed.from);
            self.filling = Some(Filling { missed, to: now, seen, fetching: Box::pin(fetching) });
        }
        self.shared.live(self.shard, self.started.shards, now);
    }
}
