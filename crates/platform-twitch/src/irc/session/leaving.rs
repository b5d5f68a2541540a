//! Leaving a connection that still works: because the server asks for it, or to log in as somebody else.

use std::time::Instant;

use super::channels::Channel;
use super::connection::Phase;
use super::former::Former;
use super::{News, Output, Session};
use crate::irc::limits::{RECONNECT_GRACE, STABLE_AFTER};

/// That a connection is to be left which still works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) at_latest: Instant,
    /// Whether the server asked for it; else we are to be somebody else.
    is_asked: bool,
}

// === impl Session ===

impl Session {
    /// Whether we are to leave, so that nothing new should be begun.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(&self.phase, Phase::Online(online) if online.leaving.is_some())
    }

    /// The server asks us to connect anew. What is in flight may have its verdict first.
    pub(super) fn asked_to_reconnect(&mut self, now: Instant) {
        self.begin_to_leave(true, now);
    }

    /// Goes to another connection when we are to be somebody else than on the one there is. One change after
    /// the other: the former connection is done with first.
    pub(super) fn follow_account(&mut self, now: Instant) {
        if self.identity.is_outdated() && self.former.is_none() {
            self.begin_to_leave(false, now);
        }
    }

    fn begin_to_leave(&mut self, is_asked: bool, now: Instant) {
        if let Phase::Online(online) = &mut self.phase {
            online.leaving.get_or_insert(Leaving { at_latest: now + RECONNECT_GRACE, is_asked });
        }
    }

    /// Leaves a connection that is to be left, as soon as nothing is in flight.
    pub(super) fn leave_when_idle(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Phase::Online(online) = &self.phase else { return };
        let Some(Leaving { at_latest, is_asked }) = online.leaving else { return };
        // What was joined before the answer came would be read by nobody.
        let is_idle = |channel: &Channel| !channel.lane.is_in_flight() && !channel.join.is_asked();
        if !self.channels.all().all(is_idle) && now < at_latest {
            return;
        }
        let lasted = now >= online.since + STABLE_AFTER;
        let (code, why) = ("reconnect_requested", "the server asked us to reconnect");
        if is_asked && self.former.is_some() {
            out.push(Output::Close);
            return self.lost(code, why, now, out);
        }
        let mut until = now;
        if is_asked {
            out.push(Output::News(News::Trouble { code, message: why.to_owned() }));
            if lasted {
                // Nothing is wrong with a server that asks for it now and then.
                self.backoff.reset();
            } else {
                until += self.backoff.next(&*self.entropy);
            }
        }
        self.step_down(until, now, out);
    }

    /// The connection becomes the former one, if it reads anything, and the newest one is made beside it.
    fn step_down(&mut self, until: Instant, now: Instant, out: &mut Vec<Output>) {
        self.note_silence(now);
        let Phase::Online(online) = std::mem::replace(&mut self.phase, Phase::Waiting { until }) else {
            return;
        };
        let reading = self.read_channels();
        if reading.is_empty() {
            out.push(Output::Close);
        } else {
            self.former = Some(Former::new(self.identity.nick(), online.watchdog, reading));
            out.push(Output::StepDown);
        }
        self.channels.all_mut().for_each(|channel| channel.join.reset(now));
        self.abandon_flights(out);
        self.tick_connection(now, out);
    }
}
