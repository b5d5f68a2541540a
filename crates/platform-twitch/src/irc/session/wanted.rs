//! Which channels are wanted changes while we run: what is new is joined, what is no longer wanted is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chatbus_connector::Verdict;

use super::channels::{Channel, Place};
use super::{Added, News, Output, Session};
use crate::irc::outgoing::Frame;

// === impl Session ===

impl Session {
    /// These, and the configured ones, are wanted from now on.
    pub(super) fn added(&mut self, added: &[Added], now: Instant, out: &mut Vec<Output>) {
        let numbers: BTreeMap<&str, u64> = added.iter().map(|added| (&*added.name, added.number)).collect();
        for channel in self.channels.all_mut() {
            let number = numbers.get(&*channel.name).copied();
            let is_anew = number > Some(channel.added_by);
            channel.added_by = number.unwrap_or_default();
            if number.is_some() || channel.is_base {
                if channel.join.keep(is_anew) {
                    out.push(Output::News(News::Joined(Arc::clone(&channel.name))));
                }
            } else if channel.join.release() {
                out.push(Output::News(News::Left(Arc::clone(&channel.name))));
            }
        }
        for Added { name, number } in added {
            let mut channel = Channel::new(Arc::clone(name), now);
            channel.added_by = *number;
            // It may have been left a moment ago, and nobody knows any more what was said there.
            channel.lane.said_elsewhere(now);
            self.channels.add(channel);
        }
        self.tick_joins(now, out);
    }

    /// Goes on with the channels that are not wanted: finishes what is being said there, leaves them, and
    /// forgets them.
    pub(super) fn tend_unwanted(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.channels.settle();
        while let Some(place) = self.channels.to_clear() {
            self.give_up(place, out);
            self.channels.forget(place);
            self.channels.settle();
        }
        let may_part = self.is_online() && !self.is_leaving();
        while let Some(place) = self.channels.to_part().filter(|_| may_part)
            && self.parts.take(now)
        {
            if let Some(channel) = self.channels.get_mut(place) {
                channel.join.leaving(now);
                out.push(Output::Write(Frame::part(&channel.name)));
            }
            self.channels.settle();
        }
    }

    /// The server let us into a channel that is not wanted any more, late.
    pub(super) fn leave_stray(&mut self, channel: &str, now: Instant, out: &mut Vec<Output>) {
        let name = crate::channel::channel_name(channel).filter(|_| channel.starts_with('#'));
        if let Some(name) = name
            && self.parts.take(now)
        {
            out.push(Output::Write(Frame::part(&name)));
        }
    }

    /// What waits in a channel that is left cannot be said there any more.
    fn give_up(&mut self, place: Place, out: &mut Vec<Output>) {
        match self.job(place).map(|job| job.said) {
            None => {}
            Some(0) => self.finish(place, Verdict::NotNow, out),
            Some(_) => {
                self.refused_for_good(place, "channel_left".to_owned(), "the channel was left", out);
            }
        }
    }
}
