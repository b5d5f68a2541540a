//! Messages on their way: paced, in flight, settled by what the server says or by its silence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::{PermanentReason, Verdict};

use super::connection::Phase;
use super::lane::{Job, Lane};
use super::{News, Output, Own, Say, Session};
use crate::irc::grammar::Message;
use crate::irc::limits::{DUPLICATE_WINDOW, VERDICT_PROBE, VERDICT_TIMEOUT};
use crate::irc::outgoing::{Frame, Ticket};
use crate::irc::text;
use crate::irc::verdict::{self, Refusal};

/// How often a message that the platform calls a duplicate is told apart before it waits.
const DUPLICATE_RETRIES: usize = 2;

// === impl Session ===

impl Session {
    pub(super) fn say(&mut self, say: Say, now: Instant, out: &mut Vec<Output>) {
        let Say { ticket, delivery, channel, parts, reply_to, deadline, may_have_been_sent } = say;
        if self.config.account.is_none() {
            let verdict = Verdict::Permanent {
                reason: PermanentReason::Unsupported,
                code: "read_only".to_owned(),
                message: "connected without an account".to_owned(),
            };
            return out.push(Output::Verdict(ticket, verdict));
        }
        let Some((name, state)) = self.entry(&channel).filter(|(_, state)| state.lane.job.is_none()) else {
            return out.push(Output::Verdict(ticket, Verdict::NotNow));
        };
        state.lane.job = Some(Job {
            ticket,
            delivery,
            parts,
            reply_to,
            deadline,
            may_have_been_sent,
            said: 0,
            silent: false,
            id: None,
            not_before: None,
            refusal: None,
            marks: 0,
            flight: None,
        });
        self.tickets.insert(ticket, Arc::clone(&name));
        self.step(&name, now, out);
        let not_begun = self.entry(&name).is_some_and(|(_, state)| state.lane.is_waiting());
        if not_begun {
            let refusal = self.job(&name).and_then(|job| job.refusal.clone().zip(job.not_before));
            let verdict = match refusal {
                Some(((code, message), at)) => {
                    Verdict::Retry { after: at.saturating_duration_since(now), code, message }
                }
                None => Verdict::NotNow,
            };
            self.finish(&name, verdict, out);
        }
    }

    pub(super) fn written(&mut self, ticket: Ticket, now: Instant) {
        let Some(name) = self.tickets.get(&ticket).map(Arc::clone) else { return };
        if let Some(flight) = self.job(&name).and_then(|job| job.flight.as_mut()) {
            flight.written = true;
            flight.at = now;
        }
    }

    pub(super) fn withheld(&mut self, ticket: Ticket, now: Instant, out: &mut Vec<Output>) {
        let Some(name) = self.tickets.get(&ticket).map(Arc::clone) else { return };
        let Some((_, state)) = self.entry(&name) else { return };
        state.lane.unsend();
        match &state.lane.job {
            Some(job) if job.said == 0 => self.finish(&name, Verdict::NotNow, out),
            _ => self.step(&name, now, out),
        }
    }

    /// A USERSTATE of a channel: the verdict on what is in flight there. Gives whether it was one.
    pub(super) fn delivered(
        &mut self,
        channel: &Arc<str>,
        message: &Message<'_>,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(flight) = self.flight(channel) else { return false };
        let echo = flight.echo.take();
        let (shown, is_action) = text::shown(&flight.text);
        let shown = shown.to_owned();
        let id = message.tag("id").map(str::to_owned).or_else(|| echo.clone().flatten());
        let Some((name, state)) = self.entry(channel) else { return false };
        let Some(job) = &state.lane.job else { return false };
        if echo.is_none() {
            let own = Own {
                delivery: Arc::clone(&job.delivery),
                part: job.said,
                channel: Arc::clone(&name),
                text: shown.clone(),
                is_action,
                id: id.clone(),
            };
            out.push(Output::PublishOwn(own));
            if id.is_none() {
                state.lane.published_unnamed(&shown, now);
            }
        }
        self.part_done(&name, id, false, now, out);
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
        let Some((name, _)) = self.entry(channel) else { return };
        if self.flight(&name).is_none() {
            return;
        }
        let Some(refusal) = verdict::refusal(code, text) else { return };
        let (code, message) = (code.to_owned(), text.to_owned());
        match refusal {
            Refusal::Retry(after) => {
                if let Some((_, state)) = self.entry(&name) {
                    state.lane.silence(now + after);
                }
                self.refused_for(&name, after, code, message, now, out);
            }
            Refusal::Duplicate(after) => self.duplicate(&name, after, code, message, now, out),
            Refusal::Unknown => {
                out.push(Output::News(News::UnknownRefusal(code.clone())));
                self.refused_for_good(&name, code, &message, out);
            }
            Refusal::Permanent => self.refused_for_good(&name, code, &message, out),
        }
        self.leave_when_idle(now, out);
    }

    fn refused_for_good(&mut self, name: &Arc<str>, code: String, message: &str, out: &mut Vec<Output>) {
        let Some(job) = self.job(name) else { return };
        let message = job.account(message);
        let verdict = Verdict::Permanent { reason: PermanentReason::Rejected, code, message };
        self.finish(name, verdict, out);
    }

    /// Refused for a while. Once a part has gone out the rest is ours to bring after it: whoever asked
    /// would say all of it again.
    fn refused_for(
        &mut self,
        name: &Arc<str>,
        after: Duration,
        code: String,
        message: String,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some((_, state)) = self.entry(name) else { return };
        let Some(job) = &mut state.lane.job else { return };
        if job.said == 0 {
            return self.finish(name, Verdict::Retry { after, code, message }, out);
        }
        job.flight = None;
        job.not_before = Some(now + after);
        job.refusal = Some((code, message));
        self.step(name, now, out);
    }

    fn duplicate(
        &mut self,
        name: &Arc<str>,
        after: Duration,
        code: String,
        message: String,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.job(name) else { return };
        if job.may_have_been_sent {
            // It is there already: the attempt that had no verdict went out.
            return self.part_done(name, None, false, now, out);
        }
        if job.marks >= DUPLICATE_RETRIES {
            return self.refused_for(name, after, code, message, now, out);
        }
        job.marks += 1;
        job.flight = None;
        job.refusal = Some((code, message));
        self.step(name, now, out);
    }

    /// The part in flight is done with: the next one, or the verdict.
    fn part_done(
        &mut self,
        name: &Arc<str>,
        id: Option<String>,
        silent: bool,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = self.job(name) else { return };
        job.flight = None;
        job.said += 1;
        job.marks = 0;
        job.refusal = None;
        job.silent |= silent;
        job.id = job.id.take().or(id);
        if job.said < job.parts.len() {
            self.step(name, now, out);
        } else {
            let verdict = if job.silent {
                Verdict::Accepted
            } else {
                Verdict::Delivered { provider_message_id: job.id.clone() }
            };
            self.finish(name, verdict, out);
        }
        self.leave_when_idle(now, out);
    }

    /// Sends what is due in a channel, or notes from when on it can be.
    fn step(&mut self, name: &Arc<str>, now: Instant, out: &mut Vec<Output>) {
        let is_open = self.is_online() && !self.is_leaving();
        let Some(state) = self.channels.get(name) else { return };
        if !state.lane.is_waiting() {
            return;
        }
        let open_from = state.join.open_from().filter(|_| is_open);
        let allowed_from = self.allowed_from(&state.lane, now);
        let paced = self.config.paced;
        let Some(state) = self.channels.get_mut(name) else { return };
        let Some(job) = &mut state.lane.job else { return };
        if now >= job.deadline {
            return self.expire(name, out);
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
                let (reply_to, deadline, ticket) = (job.reply_to.clone(), job.deadline, job.ticket);
                out.push(Output::Write(Frame::say(name, &text, reply_to.as_deref(), deadline, ticket)));
                state.lane.send(text, now);
                self.sends_as_moderator.record(now);
                if !self.channels.get(name).is_some_and(|state| state.lane.is_moderator) {
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
    fn expire(&mut self, name: &Arc<str>, out: &mut Vec<Output>) {
        let Some(job) = self.job(name) else { return };
        if job.said == 0 {
            return self.finish(name, Verdict::NotNow, out);
        }
        let (code, message) =
            job.refusal.clone().unwrap_or_else(|| ("expired".to_owned(), "the deadline passed".to_owned()));
        self.refused_for_good(name, code, &message, out);
    }

    pub(super) fn tick_sending(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.tickets.is_empty() {
            return;
        }
        let busy: Vec<Arc<str>> = self.tickets.values().map(Arc::clone).collect();
        for name in busy {
            match self.flight(&name).map(|flight| flight.at) {
                Some(at) => self.tick_flight(&name, at, now, out),
                None => self.step(&name, now, out),
            }
        }
    }

    /// A part in flight without a verdict: asks whether the connection lives, then takes silence for
    /// acceptance.
    fn tick_flight(&mut self, name: &Arc<str>, at: Instant, now: Instant, out: &mut Vec<Output>) {
        let Phase::Online(online) = &mut self.phase else { return };
        let lives = online.watchdog.answered_since(at);
        let probe = (now >= at + VERDICT_PROBE && !lives).then(|| online.watchdog.probe(at, now)).flatten();
        out.extend(probe.map(Output::Write));
        let Some(flight) = self.flight(name) else { return };
        flight.probed |= now >= at + VERDICT_PROBE;
        flight.overdue |= now >= at + VERDICT_TIMEOUT;
        if !flight.overdue {
            return;
        }
        if let Some(id) = flight.echo.take() {
            self.part_done(name, id, false, now, out);
        } else if lives {
            self.part_done(name, None, true, now, out);
        }
    }

    /// The connection ended under what was in flight. What had not been begun waits, if something of
    /// it is said already.
    pub(super) fn abandon_flights(&mut self, out: &mut Vec<Output>) {
        let busy: Vec<Arc<str>> = self.tickets.values().map(Arc::clone).collect();
        for name in busy {
            let Some(job) = self.job(&name) else { continue };
            if job.flight.is_some() {
                let message = job.account("the connection ended before the verdict");
                let code = "connection_lost".to_owned();
                self.finish(&name, Verdict::Unverified { code, message }, out);
            } else if job.said == 0 {
                self.finish(&name, Verdict::NotNow, out);
            }
        }
    }

    fn finish(&mut self, name: &Arc<str>, verdict: Verdict, out: &mut Vec<Output>) {
        let Some((_, state)) = self.entry(name) else { return };
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
        let account = self.sends_as_moderator.next(now);
        let ordinary = if lane.is_moderator { None } else { self.sends.next(now) };
        lane.next(now).max(account).max(ordinary)
    }

    /// Whether a line is our own message, sent back after we published it ourselves.
    pub(super) fn is_echo(&mut self, message: &Message<'_>, now: Instant) -> bool {
        if self.config.account.is_none() {
            return false;
        }
        let is_own = message.prefix_text().is_some_and(|prefix| {
            let nick = prefix.split(['!', '@']).next().unwrap_or_default();
            nick.eq_ignore_ascii_case(&self.nick)
        });
        if !is_own {
            return false;
        }
        let channel = message.param(0).unwrap_or_default();
        self.entry(channel).is_some_and(|(_, state)| state.lane.echoed(message, now))
    }

    fn job(&mut self, name: &str) -> Option<&mut Job> {
        self.channels.get_mut(name)?.lane.job.as_mut()
    }

    /// The part of a channel that waits for its verdict.
    fn flight(&mut self, name: &str) -> Option<&mut super::lane::Flight> {
        self.job(name)?.flight.as_mut().filter(|flight| flight.written)
    }
}

/// The window must be longer than the wait for a verdict, or a text could be repeated unmarked.
const _: () = assert!(DUPLICATE_WINDOW.as_secs() > VERDICT_TIMEOUT.as_secs());
