//! What the server says about our channels: joined, left, refused.

use std::sync::Arc;
use std::time::Instant;

use super::channels::{Channel, Place};
use super::join::Ticked;
use super::{News, Output, Session};
use crate::irc::outgoing::Frame;

// === impl Session ===

impl Session {
    /// Sends the joins that the limits allow, and moves on where no answer came.
    pub(super) fn tick_joins(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.channels.settle();
        let none_is_due = self.channels.deadline().is_none_or(|due| due > now);
        if none_is_due && !self.channels.any_to_join() {
            return;
        }
        let may_ask = self.is_online() && !self.is_leaving();
        for channel in self.channels.all_mut() {
            let ticked = channel.join.tick(now);
            out.extend(news_of(ticked, channel).map(Output::News));
            if may_ask && channel.join.is_due() && self.joins.take(now) {
                channel.join.asked(now);
                out.push(Output::Write(Frame::join(&channel.name)));
            }
        }
    }

    /// The server says that we are in a channel; `complete` when it has said all of it.
    pub(super) fn joined(&mut self, place: Place, complete: bool, now: Instant, out: &mut Vec<Output>) {
        let Some(channel) = self.channels.get_mut(place) else { return };
        if channel.join.confirmed(complete, now) {
            out.push(Output::News(News::Joined(Arc::clone(&channel.name))));
        }
    }

    /// The server says that we are no longer in a channel.
    pub(super) fn parted(&mut self, channel: &str, now: Instant, out: &mut Vec<Output>) {
        let Some((_, channel)) = self.entry(channel) else { return };
        let join = &mut channel.join;
        if !join.is_joined() && !join.is_leaving() {
            return;
        }
        // That we are out of a channel that is not wanted was said when it no longer was.
        if join.is_kept() && join.is_joined() {
            out.push(Output::News(News::Left(Arc::clone(&channel.name))));
        }
        join.parted(now);
        self.tick_joins(now, out);
    }

    /// The server says that we cannot be in a channel. A message there has its verdict from the same
    /// NOTICE, so only what concerns the channel is decided here.
    pub(super) fn join_refused(&mut self, channel: &str, code: &str, now: Instant, out: &mut Vec<Output>) {
        let Some((_, channel)) = self.entry(channel) else { return };
        // While something is in flight the NOTICE may be about that alone: a banned account can
        // still read. Suspended channels are gone for readers too.
        let is_gone = code != "msg_banned";
        if channel.join.is_in() && !is_gone {
            return;
        }
        let name = Arc::clone(&channel.name);
        let (is_kept, was_joined) = (channel.join.is_kept(), channel.join.is_joined());
        channel.join.refused(code, now);
        if !is_kept {
            return;
        }
        if was_joined {
            out.push(Output::News(News::Left(Arc::clone(&name))));
        }
        out.push(Output::News(News::Refused { channel: name, code: code.to_owned() }));
    }

    /// Where a channel of ours is, by the name the server gives it.
    pub(super) fn place(&self, channel: &str) -> Option<Place> {
        // Nearly every line names a channel as we do.
        self.channels.find(channel).or_else(|| {
            let name = crate::channel::channel_name(channel).filter(|_| channel.starts_with('#'))?;
            self.channels.find(&name)
        })
    }

    /// A channel of ours by the name the server gives it.
    pub(super) fn entry(&mut self, channel: &str) -> Option<(Place, &mut Channel)> {
        let place = self.place(channel)?;
        Some((place, self.channels.get_mut(place)?))
    }
}

/// What others should know of what the time did to a channel.
fn news_of(ticked: Ticked, channel: &Channel) -> Option<News> {
    match ticked {
        Ticked::Nothing => None,
        Ticked::GivenUp => {
            let code = channel.join.refusal().unwrap_or_default().to_owned();
            Some(News::Refused { channel: Arc::clone(&channel.name), code })
        }
        Ticked::Stuck => {
            let message = format!("the server does not answer that {} is to be left", channel.name);
            Some(News::Trouble { code: "part_unanswered", message })
        }
    }
}
