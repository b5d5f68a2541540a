//! What the server says about our channels: joined, left, refused.

use std::sync::Arc;
use std::time::Instant;

use super::{News, Output, Session};
use crate::irc::outgoing::Frame;

// === impl Session ===

impl Session {
    /// Sends the joins that the limits allow, and moves on where no answer came.
    pub(super) fn tick_joins(&mut self, now: Instant, out: &mut Vec<Output>) {
        let may_ask = self.is_online() && !self.is_leaving();
        for (name, channel) in &mut self.channels {
            if channel.join.tick(now) {
                let code = channel.join.refusal().unwrap_or_default().to_owned();
                out.push(Output::News(News::Refused { channel: Arc::clone(name), code }));
            }
            if may_ask && channel.join.is_wanted() && self.joins.take(now) {
                channel.join.asked(now);
                out.push(Output::Write(Frame::join(name)));
            }
        }
    }

    /// The server says that we are in a channel; `complete` when it has said all of it.
    pub(super) fn joined(&mut self, channel: &str, complete: bool, now: Instant, out: &mut Vec<Output>) {
        let Some((name, channel)) = self.entry(channel) else { return };
        if channel.join.confirmed(complete, now) {
            out.push(Output::News(News::Joined(name)));
        }
    }

    /// The server says that we are no longer in a channel.
    pub(super) fn parted(&mut self, channel: &str, now: Instant, out: &mut Vec<Output>) {
        let Some((name, channel)) = self.entry(channel) else { return };
        if channel.join.is_joined() {
            channel.join.parted(now);
            out.push(Output::News(News::Left(name)));
            self.tick_joins(now, out);
        }
    }

    /// The server says that we cannot be in a channel. A message there has its verdict from the same
    /// NOTICE, so only what concerns the channel is decided here.
    pub(super) fn join_refused(&mut self, channel: &str, code: &str, now: Instant, out: &mut Vec<Output>) {
        let Some((name, channel)) = self.entry(channel) else { return };
        // While something is in flight the NOTICE may be about that alone: a banned account can
        // still read. Suspended channels are gone for readers too.
        let is_gone = code != "msg_banned";
        if channel.join.is_joined() && !is_gone {
            return;
        }
        if channel.join.is_joined() {
            out.push(Output::News(News::Left(Arc::clone(&name))));
        }
        channel.join.refused(code, now);
        out.push(Output::News(News::Refused { channel: name, code: code.to_owned() }));
    }

    /// A configured channel by the name the server gives it.
    pub(super) fn entry(&mut self, channel: &str) -> Option<(Arc<str>, &mut super::Channel)> {
        // Nearly every line names a channel as we do.
        let name = match self.channels.get_key_value(channel) {
            Some((name, _)) => Arc::clone(name),
            None => crate::channel::channel_name(channel).filter(|_| channel.starts_with('#'))?,
        };
        let (name, state) = (Arc::clone(&name), self.channels.get_mut(&name)?);
        Some((name, state))
    }
}
