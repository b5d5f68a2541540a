//! The connection before the newest one, which reads on until the newest one reads everything it read.
//!
//! Twitch replays nothing. So when we go to another connection while the one we have still works, to log
//! in as somebody else or because the server asks for it, the old one stays: each channel is left there
//! when it is joined anew, and what was read twice is told apart by its id. When the last channel was
//! left, the connection is closed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use chatbus_connector::ConnectionState;

use super::watchdog::{Watch, Watchdog};
use super::{News, Output, Session};
use crate::irc::grammar::Message;
use crate::irc::limits::JOIN_TIMEOUT;
use crate::irc::outgoing::Frame;

/// See the module.
#[derive(Debug)]
pub(super) struct Former {
    nick: String,
    watchdog: Watchdog,
    /// Channels that nobody else reads yet.
    reading: BTreeSet<Arc<str>>,
    /// Channels that were asked to be left. What was said there before the answer comes before the answer.
    leaving: BTreeSet<Arc<str>>,
    /// No answer is waited for longer.
    until: Option<Instant>,
}

/// How a channel stands on the newest connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is to be joined.
    Awaited,
    /// It is joined.
    In,
    /// It is not wanted, or will not have us.
    Out,
}

// === impl Former ===

impl Former {
    pub(super) fn new(nick: &str, watchdog: Watchdog, reading: BTreeSet<Arc<str>>) -> Self {
        Self { nick: nick.to_owned(), watchdog, reading, leaving: BTreeSet::new(), until: None }
    }

    /// It ends: what only it read is read no more. Gives the channels in which something may be missed.
    pub(super) fn ended(self, out: &mut Vec<Output>) -> BTreeSet<Arc<str>> {
        out.extend(self.reading.iter().map(|name| Output::News(News::Left(Arc::clone(name)))));
        self.reading.into_iter().chain(self.leaving).collect()
    }

    pub(super) fn deadline(&self) -> Instant {
        let watchdog = self.watchdog.deadline();
        self.until.map_or(watchdog, |until| until.min(watchdog))
    }

    fn is_from_us(&self, message: &Message<'_>) -> bool {
        let nick = message.prefix().and_then(|prefix| prefix.nick);
        nick.is_some_and(|nick| nick.eq_ignore_ascii_case(&self.nick))
    }

    /// Acts on a line. Gives whether it answers something that we asked for.
    fn takes(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) -> bool {
        self.watchdog.heard(now);
        match message.command() {
            "PING" => {
                out.push(Output::WriteFormer(Frame::pong(message.last_param().unwrap_or_default())));
                false
            }
            "PONG" => self.watchdog.pong(message, now).is_some(),
            "JOIN" => self.is_from_us(message),
            "PART" if self.is_from_us(message) => {
                let channel = message.param(0).and_then(crate::channel::channel_name);
                if let Some(channel) = channel {
                    self.leaving.remove(&channel);
                    if self.reading.remove(&channel) {
                        out.push(Output::News(News::Left(channel)));
                    }
                }
                true
            }
            numeric if numeric.len() == 3 && numeric.bytes().all(|b| b.is_ascii_digit()) => {
                message.param(0).is_some_and(|nick| nick.eq_ignore_ascii_case(&self.nick))
            }
            _ => false,
        }
    }
}

// === impl Session ===

impl Session {
    /// A line that the former connection read.
    pub(super) fn former_line(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) {
        let is_ours = self.former.as_mut().is_some_and(|former| former.takes(message, now, out))
            || (message.is("PRIVMSG") && self.is_echo(message, now));
        if !is_ours {
            out.push(Output::Publish);
        }
        if message.is("PART") {
            self.tend_former(now, out);
        }
    }

    /// The former connection has ended before it was done with.
    pub(super) fn former_lost(&mut self, code: &'static str, now: Instant, out: &mut Vec<Output>) {
        let Some(former) = self.former.take() else { return };
        let heard_at = former.watchdog.heard_at();
        self.open_gap(code, heard_at, former.ended(out));
        self.tend_gap(now, out);
        if !self.is_online() {
            out.push(Output::News(News::State(ConnectionState::Reconnecting)));
        }
        self.follow_account(now);
    }

    pub(super) fn tick_former(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(former) = &mut self.former else { return };
        let is_overdue = former.until.is_some_and(|until| now >= until);
        match former.watchdog.tick(now) {
            Watch::Nothing if !is_overdue => {}
            Watch::Ping(frame) if !is_overdue => out.push(Output::WriteFormer(frame)),
            _ => {
                out.push(Output::CloseFormer);
                self.former_lost("connection_dead", now, out);
            }
        }
    }

    /// Leaves on the former connection what the newest one has joined, or will not join.
    fn tend_former(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(mut former) = self.former.take() else { return };
        let done = former.reading.extract_if(.., |name| self.standing(name) != Standing::Awaited);
        for name in done {
            out.push(Output::WriteFormer(Frame::part(&name)));
            if self.standing(&name) == Standing::Out {
                out.push(Output::News(News::Left(Arc::clone(&name))));
            }
            former.leaving.insert(name);
        }
        if !former.reading.is_empty() {
            self.former = Some(former);
        } else if former.leaving.is_empty() {
            out.push(Output::CloseFormer);
            self.follow_account(now);
        } else {
            former.until.get_or_insert(now + JOIN_TIMEOUT);
            self.former = Some(former);
        }
    }

    /// Looks what the newest connection has taken over from those before it, where it may have. Since `begin`
    /// this is what there is to do.
    pub(super) fn hand_on(&mut self, begin: usize, is_list: bool, now: Instant, out: &mut Vec<Output>) {
        let mut is_news = is_list;
        for output in out.split_off(begin) {
            let is_known = match &output {
                Output::News(News::Joined(name)) => self.is_read_by_former(name),
                _ => false,
            };
            is_news |= matches!(
                output,
                Output::News(News::Joined(_) | News::Left(_) | News::Refused { .. }) | Output::StepDown
            );
            if !is_known {
                out.push(output);
            }
        }
        if is_news {
            self.tend_former(now, out);
            self.tend_gap(now, out);
        }
    }

    /// Whether a channel is read by the former connection only.
    fn is_read_by_former(&self, name: &str) -> bool {
        self.former.as_ref().is_some_and(|former| former.reading.contains(name))
    }

    pub(super) fn standing(&self, name: &str) -> Standing {
        let channel = self.channels.find(name).and_then(|place| self.channels.get(place));
        match channel.map(|channel| &channel.join).filter(|join| join.is_kept()) {
            None => Standing::Out,
            Some(join) if join.is_joined() => Standing::In,
            Some(join) if join.refusal().is_some() => Standing::Out,
            Some(_) => Standing::Awaited,
        }
    }
}
