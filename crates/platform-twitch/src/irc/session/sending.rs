//! Messages on their way: paced, in flight, settled by what the server says or by its silence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::{PermanentReason, Verdict};

use super::channels::{Channel, Place};
use super::connection::Phase;
use super::identity::Voice;
use super::lane::{Job, Lane};
use super::{News, Output, Own, Say, Session};
use crate::irc::grammar::Message;
use crate::irc::limits::{
    DUPLICATE_WINDOW, SCOPE_SPEAK, SENDS_PER_WINDOW, SENDS_PER_WINDOW_MODERATOR, VERDICT_PROBE,
    VERDICT_TIMEOUT,
};
use crate::irc::outgoing::{Frame, Ticket};
use crate::irc::text;
use crate::irc::verdict::{self, Refusal};

/// The refusal that is about all of an account's messages.
const TOO_FAST: &str = "msg_ratelimit";
/// The account cannot speak before a person has logged in.
const NEEDS_REAUTH: &str = "needs_reauth";
/// How often a message that the platform calls a duplicate is told apart before it waits.
const DUPLICATE_RETRIES: usize = 2;

// === impl Session ===

impl Session {
    pub(super) fn say(&mut self, say: Say, now: Instant, out: &mut Vec<Output>) {
        let Say { ticket, delivery, channel, parts, reply_to, deadline, may_have_been_sent, fence } = say;
        if let Some(verdict) = muted(self.identity.voice()) {
            return out.push(Output::Verdict(ticket, verdict));
        }
        let may_begin = |state: &Channel| state.join.is_kept() && state.lane.job.is_none();
        let Some((place, state)) = self.entry(&channel).filter(|(_, state)| may_begin(state)) else {
            return out.push(Output::Verdict(ticket, Verdict::NotNow));
        };
        state.lane.job = Some(Job {
            ticket,
            delivery,
            parts,
            reply_to,
            deadline,
            may_have_been_sent,
            fence,
            said: 0,
            silent: false,
            id: None,
            not_before: None,
            refusal: None,
            marks: 0,
            flight: None,
        });
        self.tickets.insert(ticket, place);
        self.step(place, now, out);
        let not_begun = self.channels.get(place).is_some_and(|state| state.lane.is_waiting());
        if not_begun {
            let refusal = self.job(place).and_then(|job| job.refusal.clone().zip(job.not_before));
            let verdict = match refusal {
                Some(((code, message), at)) => {
                    Verdict::Retry { after: at.saturating_duration_since(now), code, message }
                }
                None => Verdict::NotNow,
            };
            self.finish(place, verdict, out);
        }
    }

    pub(super) fn written(&mut self, ticket: Ticket, now: Instant) {
        let Some(place) = self.tickets.get(&ticket).copied() else { return };
        if let Some(flight) = self.job(place).and_then(|job| job.flight.as_mut()) {
            flight.written = true;
            flight.at = now;
        }
    }

    pub(super) fn withheld(&mut self, ticket: Ticket, now: Instant, out: &mut Vec<Output>) {
        let Some(place) = self.tickets.get(&ticket).copied() else { return };
        let Some(state) = self.channels.get_mut(place) else { return };
        state.lane.unsend();
        match &state.lane.job {
            Some(job) if job.said == 0 => self.finish(place, Verdict::NotNow, out),
            _ => self.step(place, now, out),
        }
    }

    /// A USERSTATE of a channel, with the id it tells: the verdict on what is in flight there. Gives
    /// whether it was one.
    pub(super) fn delivered(
        &mut self,
        place: Place,
        id: Option<&str>,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(state) = self.channels.get_mut(place) else { return false };
        let Some(job) = &mut state.lane.job else { return false };
        let Some(flight) = job.flight.as_mut().filter(|flight| flight.written) else { return false };
        let echo = flight.echo.take();
        let is_published = echo.is_some();
        let id = id.map(str::to_owned).or(echo.flatten());
        if !is_published {
            let (shown, is_action) = text::shown(&flight.text);
            let own = Own {
                delivery: Arc::clone(&job.delivery),
                part: job.said,
                channel: Arc::clone(&state.name),
                text: shown.to_owned(),
                is_action,
                id: id.clone(),
            };
            if id.is_none() {
                state.lane.published_unnamed(&own.text, now);
            }
            out.push(Output::PublishOwn(own));
        }
        self.part_done(place, id, false, now, out);
        true
    }

    /// A NOTICE of a channel, if it is about what is in flight there.
    pub(super) fn refused(
        &mut self,
        channel: &str,
        code: &str,
        text: &str,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(place) = self.place(channel) else { return };
        if self.flight(place).is_none() {
            return;
        }
        let Some(refusal) = verdict::refusal(code, text) else { return };
        let (code, message) = (code.to_owned(), text.to_owned());
        match refusal {
            Refusal::Retry(after) => {
                if let Some(state) = self.channels.get_mut(place) {
                    state.lane.silence(now + after);
                }
                if code == TOO_FAST {
                    out.push(Output::News(News::TooFast(now + after)));
                }
                self.refused_for(place, after, code, message, now, out);
            }
            Refusal::Duplicate(after) => self.duplicate(place, after, code, message, now, out),
            Refusal::Unknown => {
                out.push(Output::News(News::UnknownRefusal(code.clone())));
                self.refused_for_good(place, code, &message, out);
            }
            Refusal::Permanent => self.refused_for_good(place, code, &message, out),
        }
    }

    pub(super) fn refused_for_good(
        &mut self,
        place: Place,
        code: String,
        message: &str,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.job(place) else { return };
        let message = job.account(message);
        let verdict = Verdict::Permanent { reason: PermanentReason::Rejected, code, message };
        self.finish(place, verdict, out);
    }

    /// Refused for a while. Once a part has gone out the rest is ours to bring after it: whoever asked
    /// would say all of it again.
    fn refused_for(
        &mut self,
        place: Place,
        after: Duration,
        code: String,
        message: String,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(place) else { return };
        let Some(job) = &mut state.lane.job else { return };
        if job.said == 0 {
            return self.finish(place, Verdict::Retry { after, code, message }, out);
        }
        job.flight = None;
        job.not_before = Some(now + after);
        job.refusal = Some((code, message));
        self.step(place, now, out);
    }

    fn duplicate(
        &mut self,
        place: Place,
        after: Duration,
        code: String,
        message: String,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.job(place) else { return };
        if job.may_have_been_sent {
            // It is there already: the attempt that had no verdict went out.
            return self.part_done(place, None, false, now, out);
        }
        if job.marks >= DUPLICATE_RETRIES {
            return self.refused_for(place, after, code, message, now, out);
        }
        job.marks += 1;
        job.flight = None;
        job.refusal = Some((code, message));
        self.step(place, now, out);
    }

    /// The part in flight is done with: the next one, or the verdict.
    fn part_done(
        &mut self,
        place: Place,
        id: Option<String>,
        silent: bool,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.job(place) else { return };
        job.flight = None;
        job.said += 1;
        job.marks = 0;
        job.refusal = None;
        job.silent |= silent;
        job.id = job.id.take().or(id);
        if job.said < job.parts.len() {
            self.step(place, now, out);
        } else {
            let verdict = if job.silent {
                Verdict::Accepted
            } else {
                Verdict::Delivered { provider_message_id: job.id.take() }
            };
            self.finish(place, verdict, out);
        }
    }

    /// Sends what is due in a channel, or notes from when on it can be.
    fn step(&mut self, place: Place, now: Instant, out: &mut Vec<Output>) {
        let is_open = self.can_speak() && !self.is_leaving();
        let Some(state) = self.channels.get(place) else { return };
        if !state.lane.is_waiting() {
            return;
        }
        let open_from = state.join.open_from().filter(|_| is_open);
        let allowed_from = self.allowed_from(&state.lane, now);
        let paced = self.config.paced;
        let Some(state) = self.channels.get_mut(place) else { return };
        let Some(job) = &mut state.lane.job else { return };
        if now >= job.deadline {
            return self.expire(place, out);
        }
        let next = open_from.max(allowed_from).max(job.not_before.filter(|_| job.said > 0));
        job.not_before = None;
        if open_from.is_none() {
            return;
        }
        if let Some(next) = next.filter(|next| *next > now) {
            job.not_before = Some(next);
            return;
        }
        match state.lane.due(paced, now) {
            Ok(text) => {
                let Some(job) = &state.lane.job else { return };
                let reply_to = job.reply_to.as_deref();
                let frame =
                    Frame::say(&state.name, &text, reply_to, job.deadline, job.fence.clone(), job.ticket);
                out.push(Output::Write(frame));
                state.lane.send(text, now);
                self.sends_as_moderator.record(now);
                if !state.lane.is_moderator {
                    self.sends.record(now);
                }
            }
            Err(at) => {
                let Some(job) = &mut state.lane.job else { return };
                job.not_before = Some(at.max(now + Duration::from_millis(1)));
                let message = "said a moment ago, and there is no room to tell it apart";
                job.refusal.get_or_insert(("msg_duplicate".to_owned(), message.to_owned()));
            }
        }
    }

    /// The deadline passed before all of it was said.
    fn expire(&mut self, place: Place, out: &mut Vec<Output>) {
        let Some(job) = self.job(place) else { return };
        if job.said == 0 {
            return self.finish(place, Verdict::NotNow, out);
        }
        let (code, message) =
            job.refusal.clone().unwrap_or_else(|| ("expired".to_owned(), "the deadline passed".to_owned()));
        self.refused_for_good(place, code, &message, out);
    }

    /// Nothing can be said before a person has logged in. What waits to be finished says why, should its
    /// deadline come first.
    pub(super) fn note_mute(&mut self) {
        let busy: Vec<Place> = self.tickets.values().copied().collect();
        for job in busy {
            if let Some(job) = self.job(job).filter(|job| job.flight.is_none()) {
                job.refusal = Some((NEEDS_REAUTH.to_owned(), "the account has to log in again".to_owned()));
            }
        }
    }

    pub(super) fn tick_sending(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.tickets.is_empty() {
            return;
        }
        let busy: Vec<Place> = self.tickets.values().copied().collect();
        for place in busy {
            match self.flight(place).map(|flight| flight.at) {
                Some(at) => self.tick_flight(place, at, now, out),
                None => self.step(place, now, out),
            }
        }
    }

    /// A part in flight without a verdict: asks whether the connection lives, then takes silence for
    /// acceptance.
    fn tick_flight(&mut self, place: Place, at: Instant, now: Instant, out: &mut Vec<Output>) {
        let Phase::Online(online) = &mut self.phase else { return };
        let lives = online.watchdog.answered_since(at);
        let probe = (now >= at + VERDICT_PROBE && !lives).then(|| online.watchdog.probe(at, now)).flatten();
        out.extend(probe.map(Output::Write));
        let Some(flight) = self.flight(place) else { return };
        flight.probed |= now >= at + VERDICT_PROBE;
        flight.overdue |= now >= at + VERDICT_TIMEOUT;
        if !flight.overdue {
            return;
        }
        if let Some(id) = flight.echo.take() {
            self.part_done(place, id, false, now, out);
        } else if lives {
            self.part_done(place, None, true, now, out);
        }
    }

    /// The connection ended under what was in flight. What had not been begun waits, if something of
    /// it is said already.
    pub(super) fn abandon_flights(&mut self, out: &mut Vec<Output>) {
        let busy: Vec<Place> = self.tickets.values().copied().collect();
        for place in busy {
            let Some(job) = self.job(place) else { continue };
            if job.flight.is_some() {
                let message = job.account("the connection ended before the verdict");
                let code = "connection_lost".to_owned();
                self.finish(place, Verdict::Unverified { code, message }, out);
            } else if job.said == 0 {
                self.finish(place, Verdict::NotNow, out);
            }
        }
    }

    pub(super) fn finish(&mut self, place: Place, verdict: Verdict, out: &mut Vec<Output>) {
        let Some(state) = self.channels.get_mut(place) else { return };
        if let Some(job) = state.lane.job.take() {
            self.tickets.remove(&job.ticket);
            out.push(Output::Verdict(job.ticket, verdict));
        }
    }

    /// From when on the limits allow a message in this lane; `None` is now.
    pub(super) fn allowed_from(&self, lane: &Lane, now: Instant) -> Option<Instant> {
        if !self.config.paced {
            return None;
        }
        let share = &self.config.share;
        let account = self.sends_as_moderator.next_of(share.of(SENDS_PER_WINDOW_MODERATOR), now);
        let ordinary =
            if lane.is_moderator { None } else { self.sends.next_of(share.of(SENDS_PER_WINDOW), now) };
        lane.next(now).max(account).max(ordinary).max(share.quiet_until(now))
    }

    /// Whether a line is our own message, sent back after we published it ourselves.
    pub(super) fn is_echo(&mut self, message: &Message<'_>, now: Instant) -> bool {
        if self.identity.is_guest() {
            return false;
        }
        let is_own = message.prefix_text().is_some_and(|prefix| {
            let nick = prefix.split(['!', '@']).next().unwrap_or_default();
            nick.eq_ignore_ascii_case(self.identity.nick())
        });
        if !is_own {
            return false;
        }
        let channel = message.param(0).unwrap_or_default();
        let Some((_, state)) = self.entry(channel) else { return false };
        let is_echo = state.lane.echoed(message, now);
        if !is_echo {
            // Said with our account elsewhere, by another instance for one: the channel counts it as ours.
            state.lane.said_elsewhere(now);
        }
        is_echo
    }

    pub(super) fn job(&mut self, place: Place) -> Option<&mut Job> {
        self.channels.get_mut(place)?.lane.job.as_mut()
    }

    /// The part of a channel that waits for its verdict.
    fn flight(&mut self, place: Place) -> Option<&mut super::lane::Flight> {
        self.job(place)?.flight.as_mut().filter(|flight| flight.written)
    }
}

/// The verdict on all that is to be said, when nothing can be.
fn muted(voice: Voice) -> Option<Verdict> {
    let reauth = |code: &str, message| Verdict::Reauth { code: code.to_owned(), message };
    match voice {
        Voice::Able => None,
        Voice::ReadOnly => Some(Verdict::Permanent {
            reason: PermanentReason::Unsupported,
            code: "read_only".to_owned(),
            message: "connected without an account".to_owned(),
        }),
        Voice::NeedsReauth => Some(reauth(NEEDS_REAUTH, "the account has to log in again".to_owned())),
        Voice::MissingScope => Some(reauth("missing_scope", format!("the token lacks {SCOPE_SPEAK}"))),
    }
}

/// The window must be longer than the wait for a verdict, or a text could be repeated unmarked.
const _: () = assert!(DUPLICATE_WINDOW.as_secs() > VERDICT_TIMEOUT.as_secs());
