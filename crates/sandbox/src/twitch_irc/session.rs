//! What the server does with each command of a client: handshake, login, channels. Speaking is in
//! `speak`.

use std::sync::Arc;

use super::client::Client;
use super::delayed::Action;
use super::names;
use super::records::{JoinAttempt, LoginAttempt};
use super::replies;
use super::wire::ClientLine;
use super::world::{Moment, World};

/// Channels of one connection; further JOINs are not answered.
const MAX_CHANNELS: usize = 2_000;
/// A token longer than this is cut: it is only compared.
const MAX_PASS_BYTES: usize = 1_024;

/// Whether the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    /// The client said QUIT.
    Quit,
}

// === impl World ===

impl World {
    /// One line of a client, without its ending.
    pub(super) fn on_line(&mut self, id: u64, raw: &[u8], now: Moment) -> Flow {
        self.counters.lines += 1;
        let Some(client) = self.clients.get_mut(&id) else { return Flow::Quit };
        client.lines += 1;
        client.awaits_pong = false;
        let login = client.login.clone();
        let text = String::from_utf8_lossy(raw);
        let Some(line) = ClientLine::parse(&text) else { return Flow::On };
        match (line.command.to_ascii_uppercase().as_str(), login) {
            ("CAP", _) => self.on_cap(id, &line),
            ("PING", _) => self.tell(id, &replies::pong(line.param(0))),
            ("PONG" | "USER", _) => {}
            ("QUIT", _) => return Flow::Quit,
            ("PASS", None) => self.on_pass(id, line.param(0)),
            ("NICK", None) => self.on_nick(id, line.param(0), now),
            ("JOIN", Some(login)) => {
                for channel in line.param(0).split(',') {
                    self.on_join(id, &login, channel, now);
                }
            }
            ("PART", Some(login)) => {
                for channel in line.param(0).split(',') {
                    self.on_part(id, &login, channel);
                }
            }
            ("PRIVMSG", Some(login)) => self.on_privmsg(id, &login, &line, now),
            // Twitch does not answer these out of place.
            ("PASS" | "NICK" | "JOIN" | "PART" | "PRIVMSG", _) => {}
            (_, login) => {
                let nick = login.as_deref().unwrap_or("you");
                let command: String = line.command.chars().take(64).collect();
                self.tell(id, &format!(":tmi.twitch.tv 421 {nick} {command} :Unknown command\r\n"));
            }
        }
        Flow::On
    }

    fn on_cap(&mut self, id: u64, line: &ClientLine<'_>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        // Written both as `CAP REQ :a b` and as `CAP REQ a b`.
        let list = line.params.get(1..).unwrap_or_default().join(" ");
        let reply = match line.param(0).to_ascii_uppercase().as_str() {
            "LS" => format!("LS :{}", replies::CAPABILITIES),
            "LIST" => format!("LIST :{}", client.capabilities.list()),
            "REQ" => match client.capabilities.request(&list) {
                Some(changed) => {
                    client.capabilities = changed;
                    format!("ACK :{list}")
                }
                None => format!("NAK :{list}"),
            },
            _ => return,
        };
        self.tell(id, &format!(":tmi.twitch.tv CAP * {reply}\r\n"));
    }

    fn on_pass(&mut self, id: u64, pass: &str) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.pass = Some(pass.chars().take(MAX_PASS_BYTES).collect());
        }
    }

    fn on_nick(&mut self, id: u64, nick: &str, now: Moment) {
        let Some(client) = self.clients.get(&id) else { return };
        let pass = client.pass.clone();
        let login = names::login(nick);
        let anonymous = login.as_deref().is_some_and(names::is_anonymous);
        let in_time = login.as_deref().is_none_or(|login| {
            self.with_account(login, now.mono, |world, account| world.rules.may_log_in(account, now.mono))
        });
        let token = pass.as_deref().and_then(|pass| pass.strip_prefix("oauth:")).filter(|t| !t.is_empty());
        let refused = if login.is_none() || !in_time {
            Some("Login unsuccessful")
        } else if anonymous {
            None
        } else {
            match (pass.is_some(), token) {
                (false, _) => Some("Login unsuccessful"),
                (true, None) => Some("Improperly formatted auth"),
                (true, Some(token)) => {
                    let login = login.as_deref().unwrap_or_default();
                    self.is_bad(token, login).then_some("Login authentication failed")
                }
            }
        };
        self.counters.logins += 1;
        let shown = login.clone().unwrap_or_else(|| nick.chars().take(64).collect());
        self.logins.add(|seq| LoginAttempt {
            seq,
            at: now.wall,
            connection: id,
            login: shown,
            accepted: refused.is_none(),
            code: refused,
        });
        match (refused, login) {
            (None, Some(login)) => self.log_in(id, login, anonymous),
            (refused, _) => {
                self.tell(id, &replies::login_notice(refused.unwrap_or("Login unsuccessful")));
                let planned = self.delayed.plan(now.mono + self.login_grace, id, Action::CloseUnlessLoggedIn);
                if let Err(action) = planned {
                    self.act(id, &action);
                }
            }
        }
    }

    /// A token is bad when a test said so, or when it was given out over HTTP and is not that account's, or no
    /// longer. One that nobody has heard of is good.
    fn is_bad(&self, token: &str, login: &str) -> bool {
        self.bad_tokens.contains(token)
            || self.bad_tokens.contains(&format!("login:{login}"))
            || self.attached.as_ref().is_some_and(|it| it.token_is_good(token, login) == Some(false))
    }

    fn log_in(&mut self, id: u64, login: String, anonymous: bool) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut lines = replies::greeting(&login);
        if client.capabilities.commands && !anonymous {
            lines.push_str(&replies::global_user_state(&login, client.capabilities.tags));
        }
        client.pass = None;
        client.anonymous = anonymous;
        client.login = Some(Arc::from(login));
        self.tell(id, &lines);
    }

    fn on_join(&mut self, id: u64, login: &Arc<str>, channel: &str, now: Moment) {
        let name = names::irc_channel(channel);
        let refused = match &name {
            None => Some("not_a_channel"),
            Some(name) => self.refuse_join(id, login, name, now),
        };
        self.counters.joins += 1;
        let shown = name.clone().unwrap_or_else(|| channel.chars().take(64).collect());
        self.joins.add(|seq| JoinAttempt {
            seq,
            at: now.wall,
            connection: id,
            login: login.to_string(),
            channel: shown,
            joined: refused.is_none(),
            code: refused,
        });
        let Some(name) = name else { return };
        match refused {
            None => self.enter(id, login, &name, now),
            Some(code @ ("msg_banned" | "msg_channel_suspended")) => {
                let spoken = super::rules::Spoken { login, channel: &name, text: "" };
                let modes = self.modes(&name);
                let text = super::rules::notice(code, spoken, &modes);
                self.notify(id, &name, code, &text, modes, now);
            }
            Some(_) => {}
        }
    }

    fn refuse_join(&mut self, id: u64, login: &str, channel: &str, now: Moment) -> Option<&'static str> {
        let client = self.clients.get(&id)?;
        if client.channels.contains(channel) {
            return Some("already_joined");
        }
        if client.channels.len() >= MAX_CHANNELS {
            return Some("too_many_channels");
        }
        if !self.with_account(login, now.mono, |world, account| world.rules.may_join(account, now.mono)) {
            return Some("rate_limit");
        }
        let Some(room) = self.room(channel) else { return Some("too_many_channels") };
        if room.modes.never_joins {
            Some("never_joins")
        } else if room.modes.suspended {
            Some("msg_channel_suspended")
        } else if room.standing(login, channel, now.mono).banned {
            Some("msg_banned")
        } else {
            None
        }
    }

    fn enter(&mut self, id: u64, login: &Arc<str>, channel: &str, now: Moment) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        room.members.insert(id);
        let standing = room.standing(login, channel, now.mono);
        let modes = room.modes;
        let others: Vec<Arc<str>> = room
            .members
            .iter()
            .filter(|other| **other != id)
            .filter_map(|other| self.clients.get(other)?.login.clone())
            .collect();
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.channels.insert(Arc::from(channel));
        let (caps, anonymous) = (client.capabilities, client.anonymous);
        let shown = if caps.membership { others.as_slice() } else { &[] };
        let mut lines = replies::joined(login, channel);
        let everyone = shown.iter().chain(std::iter::once(login)).map(|name| &**name);
        lines.push_str(&replies::name_list(login, channel, everyone));
        if caps.commands {
            if !anonymous {
                lines.push_str(&replies::user_state(login, channel, standing, None, caps.tags));
            }
            lines.push_str(&replies::room_state(channel, &modes, None, caps.tags).unwrap_or_default());
        }
        self.tell(id, &lines);
        self.tell_membership(channel, id, &replies::joined(login, channel));
    }

    fn on_part(&mut self, id: u64, login: &str, channel: &str) {
        let Some(name) = names::irc_channel(channel) else { return };
        let was_in = self.clients.get_mut(&id).is_some_and(|client| client.channels.remove(&*name));
        if !was_in {
            return;
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.members.remove(&id);
        }
        let line = replies::parted(login, &name);
        self.tell(id, &line);
        self.tell_membership(&name, id, &line);
    }

    /// A NOTICE of a channel, for clients that asked for commands.
    pub(super) fn notify(
        &mut self,
        id: u64,
        channel: &str,
        code: &str,
        text: &str,
        modes: super::room::Modes,
        now: Moment,
    ) {
        let caps = self.clients.get(&id).map(|client: &Client| client.capabilities).unwrap_or_default();
        if caps.commands {
            self.tell_verdict(id, replies::notice(channel, code, text, caps.tags), modes, now);
        }
    }
}
