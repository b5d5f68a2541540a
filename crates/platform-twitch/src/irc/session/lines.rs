//! Which line means what, and whose it is.

use std::time::{Duration, Instant};

use super::connection::Phase;
use super::lane::RoleTags;
use super::{News, Output, Session};
use crate::irc::grammar::Message;
use crate::irc::outgoing::Frame;
use crate::irc::verdict;

// === impl Session ===

impl Session {
    /// One line from the server.
    pub(super) fn line(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) {
        self.heard(now);
        if !self.takes(message, now, out) {
            // What follows from the line comes after the line itself.
            out.push(Output::Publish);
        }
        if message.is("RECONNECT") {
            self.asked_to_reconnect(now);
        }
        if message.is("NOTICE") {
            self.notice(message, now, out);
        }
    }

    /// Acts on a line. Gives whether it answers something that the session itself asked for.
    fn takes(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) -> bool {
        match message.command() {
            "PRIVMSG" => self.is_echo(message, now),
            "PING" => {
                out.push(Output::Write(Frame::pong(message.last_param().unwrap_or_default())));
                false
            }
            "PONG" => self.pong(message, now, out),
            "CAP" => self.capabilities(message, now, out),
            "001" => self.welcome(message, now, out),
            "366" if self.is_to_us(message) => {
                self.joined_at(message.param(1), now, out);
                true
            }
            "JOIN" if self.is_from_us(message) => {
                let channel = message.param(0).unwrap_or_default();
                match self.place(channel) {
                    Some(place) => self.joined(place, false, now, out),
                    None => self.leave_stray(channel, now, out),
                }
                true
            }
            "PART" if self.is_from_us(message) => {
                self.parted(message.param(0).unwrap_or_default(), now, out);
                true
            }
            "ROOMSTATE" => {
                self.room_state(message, now, out);
                false
            }
            "USERSTATE" => self.user_state(message, now, out),
            // Nobody's state can be ours while we only read.
            "GLOBALUSERSTATE" if !self.identity.is_guest() => {
                if let Some(user_id) = message.tag("user-id").map(str::to_owned) {
                    out.push(Output::News(News::LoggedIn { user_id: Some(user_id) }));
                }
                false
            }
            "CLEARCHAT" => {
                self.silenced(message, now);
                false
            }
            numeric if numeric.len() == 3 && numeric.bytes().all(|b| b.is_ascii_digit()) => {
                self.is_to_us(message)
            }
            _ => false,
        }
    }

    fn is_to_us(&self, message: &Message<'_>) -> bool {
        message.param(0).is_some_and(|nick| nick.eq_ignore_ascii_case(self.identity.nick()))
    }

    fn is_from_us(&self, message: &Message<'_>) -> bool {
        let nick = message.prefix().and_then(|prefix| prefix.nick);
        nick.is_some_and(|nick| nick.eq_ignore_ascii_case(self.identity.nick()))
    }

    fn pong(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) -> bool {
        let Phase::Online(online) = &mut self.phase else { return false };
        let Some(latency) = online.watchdog.pong(message, now) else { return false };
        out.push(Output::News(News::Pong(latency)));
        self.tick_sending(now, out);
        true
    }

    fn capabilities(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) -> bool {
        let open = match &mut self.phase {
            Phase::LoggingIn(login) => &mut login.asked_capabilities,
            Phase::Online(online) => &mut online.asked_capabilities,
            _ => return false,
        };
        let answer = message.param(1).unwrap_or_default();
        let is_refused = answer.eq_ignore_ascii_case("NAK");
        if !*open || !(is_refused || answer.eq_ignore_ascii_case("ACK")) {
            return false;
        }
        *open = false;
        if is_refused {
            let message = "the server refused the capabilities; going on without tags".to_owned();
            out.push(Output::News(News::Trouble { code: "capabilities_refused", message }));
        }
        self.advance_login(now, out);
        true
    }

    fn welcome(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) -> bool {
        let Phase::LoggingIn(login) = &mut self.phase else { return self.is_to_us(message) };
        login.is_welcome = true;
        self.advance_login(now, out);
        true
    }

    fn joined_at(&mut self, channel: Option<&str>, now: Instant, out: &mut Vec<Output>) {
        if let Some(place) = channel.and_then(|channel| self.place(channel)) {
            self.joined(place, false, now, out);
        }
    }

    fn room_state(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) {
        let Some(place) = message.param(0).and_then(|channel| self.place(channel)) else { return };
        self.joined(place, true, now, out);
        if self.channels.get_mut(place).is_some_and(|channel| channel.lane.room(message)) {
            out.push(Output::News(News::Allowance));
        }
    }

    fn user_state(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) -> bool {
        let Some(place) = message.param(0).and_then(|channel| self.place(channel)) else { return false };
        let Some(state) = self.channels.get_mut(place) else { return false };
        let is_own_channel = state.name.trim_start_matches('#') == self.identity.nick();
        let is_answer_to_join = state.join.is_asked();
        let [badges, is_mod, is_vip, id] = message.tags().pick(["badges", "mod", "vip", "id"]);
        if state.lane.role(&RoleTags { badges, is_mod, is_vip }, is_own_channel) {
            out.push(Output::News(News::Allowance));
        }
        if is_answer_to_join {
            self.joined(place, false, now, out);
            return false;
        }
        self.delivered(place, Some(id).filter(|id| !id.is_empty()), now, out)
    }

    /// We were timed out: the platform would refuse everything until that ends.
    fn silenced(&mut self, message: &Message<'_>, now: Instant) {
        let target = message.param(1).unwrap_or_default();
        if !target.eq_ignore_ascii_case(self.identity.nick()) {
            return;
        }
        let Some(seconds) = message.tag("ban-duration").and_then(|s| s.parse::<u32>().ok()) else { return };
        if let Some((_, channel)) = self.entry(message.param(0).unwrap_or_default()) {
            channel.lane.silence(now + Duration::from_secs(u64::from(seconds)));
        }
    }

    fn notice(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<Output>) {
        let text = message.last_param().unwrap_or_default();
        if matches!(&self.phase, Phase::LoggingIn(login) if !login.is_welcome) {
            if verdict::refuses_login(text).is_some() {
                self.login_refused(text, now, out);
            }
            return;
        }
        let Some(code) = message.tag("msg-id") else { return };
        let channel = message.param(0).unwrap_or_default();
        self.refused(channel, code, text, now, out);
        if verdict::refuses_join(code) {
            self.join_refused(channel, code, now, out);
        }
    }
}
