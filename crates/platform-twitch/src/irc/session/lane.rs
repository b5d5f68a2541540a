//! What is being said in one channel, and what the channel allows: one message in flight, so that the
//! next USERSTATE or NOTICE of the channel belongs to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_runtime::Fence;

use crate::irc::grammar::Message;
use crate::irc::limits::{
    CHANNEL_GAP, DUPLICATE_MARKS, DUPLICATE_WINDOW, SENDS_PER_WINDOW_MODERATOR, VERDICT_PROBE,
    VERDICT_TIMEOUT,
};
use crate::irc::outgoing::Ticket;
use crate::irc::text;

/// One channel's sending side.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Moderator or broadcaster here.
    pub(super) is_moderator: bool,
    is_vip: bool,
    slow: Duration,
    /// When something was last said here.
    said_at: Option<Instant>,
    /// We are timed out here until then.
    silenced_until: Option<Instant>,
    /// What was said here within the duplicate window.
    recent: VecDeque<(Instant, Arc<str>)>,
    /// What was published as our own without the platform's id: the same from the server is an echo.
    unnamed: Option<(Instant, String)>,
    pub(super) job: Option<Job>,
}

/// One `send`, of one or more parts.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) delivery: Arc<str>,
    pub(super) parts: Vec<String>,
    pub(super) reply_to: Option<Arc<str>>,
    pub(super) deadline: Instant,
    pub(super) may_have_been_sent: bool,
    pub(super) fence: Fence,
    /// How many parts are done with.
    pub(super) said: usize,
    /// Whether one of them got no verdict.
    pub(super) silent: bool,
    /// The platform's id of the first part that has one.
    pub(super) id: Option<String>,
    /// Not before then, because of a limit or a refusal that passes.
    pub(super) not_before: Option<Instant>,
    /// The last refusal that passes.
    pub(super) refusal: Option<(String, String)>,
    /// At least this many marks, after the platform called the text a duplicate.
    pub(super) marks: usize,
    pub(super) flight: Option<Flight>,
}

/// The tags of a USERSTATE that tell our role; empty where they are not there.
#[derive(Debug, Default)]
pub(super) struct RoleTags<'a> {
    pub(super) badges: &'a str,
    pub(super) is_mod: &'a str,
    pub(super) is_vip: &'a str,
}

/// A part on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) text: Arc<str>,
    /// When it was handed to the connection.
    pub(super) at: Instant,
    /// Whether it was written to the kernel, so that an answer can belong to it.
    pub(super) written: bool,
    pub(super) probed: bool,
    pub(super) overdue: bool,
    /// The server sent our own message back, with this id.
    pub(super) echo: Option<Option<String>>,
}

// === impl Lane ===

impl Lane {
    /// What a USERSTATE says of our role. Gives whether something changed.
    pub(super) fn role(&mut self, tags: &RoleTags<'_>, is_own_channel: bool) -> bool {
        let (mut is_moderator, mut is_vip) = (is_own_channel || tags.is_mod == "1", tags.is_vip == "1");
        for badge in tags.badges.as_bytes().split(|b| *b == b',') {
            match badge.split(|b| *b == b'/').next() {
                Some(b"moderator" | b"broadcaster") => is_moderator = true,
                Some(b"vip") => is_vip = true,
                _ => {}
            }
        }
        let changed = (is_moderator, is_vip) != (self.is_moderator, self.is_vip);
        (self.is_moderator, self.is_vip) = (is_moderator, is_vip);
        changed
    }

    /// What a ROOMSTATE says of the room. Gives whether something changed.
    pub(super) fn room(&mut self, message: &Message<'_>) -> bool {
        let Some(seconds) = message.tag("slow").and_then(|slow| slow.parse::<u32>().ok()) else {
            return false;
        };
        let slow = Duration::from_secs(u64::from(seconds));
        std::mem::replace(&mut self.slow, slow) != slow
    }

    /// We may not speak here until then.
    pub(super) fn silence(&mut self, until: Instant) {
        self.silenced_until = Some(until);
    }

    /// When the channel allows the next message; `None` is now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let gap = if self.is_moderator || self.is_vip { Duration::ZERO } else { CHANNEL_GAP.max(self.slow) };
        let next = self.said_at.map(|at| at + gap).max(self.silenced_until);
        next.filter(|next| *next > now)
    }

    /// Our account said something here by another connection.
    pub(super) fn said_elsewhere(&mut self, now: Instant) {
        self.said_at = self.said_at.max(Some(now));
    }

    /// The part that is due, told apart from what was said here a moment ago if need be; or when it
    /// can be said as it is. Twitch spares moderators, and an attempt that may have gone out is meant
    /// to be recognised.
    pub(super) fn due(&mut self, told_apart: bool, now: Instant) -> Result<Arc<str>, Instant> {
        while self.recent.front().is_some_and(|(at, _)| *at + DUPLICATE_WINDOW <= now) {
            self.recent.pop_front();
        }
        let Some(job) = &self.job else { return Err(now) };
        let part = job.parts.get(job.said).map(String::as_str).unwrap_or_default();
        let spared = job.may_have_been_sent || self.is_moderator || !told_apart;
        let is_repeated = |text: &str| self.recent.iter().any(|(_, said)| **said == *text);
        if job.marks == 0 && (spared || !is_repeated(part)) {
            return Ok(part.into());
        }
        (job.marks..=DUPLICATE_MARKS)
            .filter_map(|marks| text::marked(part, marks))
            .find(|text| !is_repeated(text))
            .map(Arc::from)
            .ok_or_else(|| self.recent.front().map_or(now, |(at, _)| *at) + DUPLICATE_WINDOW)
    }

    /// Whether something waits to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.flight.is_none())
    }

    /// Whether something is on its way.
    pub(super) fn is_in_flight(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.flight.is_some())
    }

    /// The due part is handed to the connection.
    pub(super) fn send(&mut self, text: Arc<str>, now: Instant) {
        self.said_at = Some(now);
        if self.recent.len() >= SENDS_PER_WINDOW_MODERATOR {
            self.recent.pop_front();
        }
        self.recent.push_back((now, Arc::clone(&text)));
        if let Some(job) = &mut self.job {
            job.not_before = None;
            job.flight =
                Some(Flight { text, at: now, written: false, probed: false, overdue: false, echo: None });
        }
    }

    /// It did not go out after all.
    pub(super) fn unsend(&mut self) {
        let flight = self.job.as_mut().and_then(|job| job.flight.take());
        if flight.is_some_and(|flight| self.recent.back().is_some_and(|(_, text)| *text == flight.text)) {
            self.recent.pop_back();
        }
    }

    /// Our own message was published without the platform's id.
    pub(super) fn published_unnamed(&mut self, text: &str, now: Instant) {
        self.unnamed = Some((now, text.to_owned()));
    }

    /// Our own message came from the server: whether it was published already.
    pub(super) fn echoed(&mut self, message: &Message<'_>, now: Instant) -> bool {
        let (text, _) = crate::irc::ctcp::action(message.param(1).unwrap_or_default());
        if let Some(flight) = self.job.as_mut().and_then(|job| job.flight.as_mut())
            && flight.written
            && text::shown(&flight.text).0 == text::shown(text).0
        {
            flight.echo = Some(message.tag("id").map(str::to_owned));
            return false;
        }
        let text = text::shown(text).0;
        self.unnamed.take_if(|(at, said)| said == text && now < *at + VERDICT_TIMEOUT).is_some()
    }

    /// When the job here needs another look.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let job = self.job.as_ref()?;
        match &job.flight {
            None => Some(job.not_before.map_or(job.deadline, |at| at.min(job.deadline))),
            Some(flight) if !flight.written || flight.overdue => None,
            Some(flight) if !flight.probed => Some(flight.at + VERDICT_PROBE),
            Some(flight) => Some(flight.at + VERDICT_TIMEOUT),
        }
    }
}

// === impl Job ===

impl Job {
    /// A message for people, with what had gone out before it went wrong.
    pub(super) fn account(&self, what: &str) -> String {
        match (self.said, self.parts.len()) {
            (_, 1) => what.to_owned(),
            (0, all) => format!("{what} (none of {all} parts was said)"),
            (said, all) => format!("{what} (the first {said} of {all} parts were said)"),
        }
    }
}
