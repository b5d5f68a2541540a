//! What tests ask of the running server: break connections, change rules, read back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client::{ConnectionView, Who};
use super::delayed::Action;
use super::records::{JoinAttempt, LoginAttempt, SentMessage, Since};
use super::refusals::{MAX_REFUSALS, Refusal};
use super::replies;
use super::room::{MAX_ROLES, Modes, Role};
use super::rules::Rules;
use super::sink::SinkReport;
use super::world::Counters;
use super::{BadRequest, TwitchIrc, names};

/// Tokens and logins marked bad at one time.
const MAX_BAD_TOKENS: usize = 10_000;

/// Which messages to read back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentFilter {
    /// Only of this channel.
    pub channel: Option<String>,
    /// Where to begin.
    pub since: Since,
}

// === impl TwitchIrc ===

impl TwitchIrc {
    /// The bound TCP address.
    pub fn irc_addr(&self) -> SocketAddr {
        self.shared.irc
    }

    /// The bound WebSocket address.
    pub fn ws_addr(&self) -> SocketAddr {
        self.shared.ws
    }

    /// `irc://…`, for `TWITCH_IRC_URL`.
    pub fn irc_url(&self) -> String {
        format!("irc://{}", self.shared.irc)
    }

    /// `ws://…/`, for `TWITCH_IRC_URL`.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/", self.shared.ws)
    }

    /// The connections there are.
    pub fn connections(&self) -> Vec<ConnectionView> {
        self.shared.lock().clients.values().map(super::client::Client::view).collect()
    }

    /// What clients sent, oldest first: the newest 100,000.
    pub fn sent(&self, filter: &SentFilter) -> Vec<SentMessage> {
        let channel = filter.channel.as_deref().map(|c| names::login(c).unwrap_or_default());
        let wanted = |m: &SentMessage| channel.as_deref().is_none_or(|channel| channel == m.channel);
        self.shared.lock().sent.read(filter.since, wanted)
    }

    /// JOINs, oldest first: the newest 100,000.
    pub fn joins(&self, since: Since) -> Vec<JoinAttempt> {
        self.shared.lock().joins.read(since, |_| true)
    }

    /// Logins, oldest first: the newest 100,000.
    pub fn logins(&self, since: Since) -> Vec<LoginAttempt> {
        self.shared.lock().logins.read(since, |_| true)
    }

    /// Sums since the start; a reset does not touch them.
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// What arrived in sink mode.
    pub fn sink(&self) -> SinkReport {
        self.shared.lock().sink.report()
    }

    /// In sink mode, when each message whose text begins with a decimal number arrived (up to
    /// 2 million; taken out).
    pub fn take_arrivals(&self) -> Vec<(u64, Instant)> {
        self.shared.lock().sink.take_arrivals()
    }

    /// Closes connections, in the middle of whatever it was; with `reset`, as a TCP reset where the
    /// transport is TCP. Says how many.
    pub fn drop_connections(&self, who: &Who, reset: bool) -> usize {
        let world = self.shared.lock();
        let ids = world.select(who);
        for client in ids.iter().filter_map(|id| world.clients.get(id)) {
            if reset {
                client.line.reset.cancel();
            }
            client.line.cut.cancel();
        }
        ids.len()
    }

    /// Stops (or lets go) reading and writing without closing. Says how many connections it meant.
    pub fn freeze(&self, who: &Who, frozen: bool) -> usize {
        let world = self.shared.lock();
        let ids = world.select(who);
        for client in ids.iter().filter_map(|id| world.clients.get(id)) {
            client.set_frozen(frozen);
        }
        ids.len()
    }

    /// Sends RECONNECT to those with the commands capability, and closes them after `close_after` if
    /// that is given. Says how many were told.
    pub fn reconnect(&self, who: &Who, close_after: Option<Duration>) -> usize {
        let now = self.shared.moment();
        let mut world = self.shared.lock();
        let mut ids = world.select(who);
        ids.retain(|id| world.clients.get(id).is_some_and(|client| client.capabilities.commands));
        for id in &ids {
            world.tell(*id, ":tmi.twitch.tv RECONNECT\r\n");
            let at = close_after.and_then(|after| now.mono.checked_add(after));
            if let Some(at) = at
                && let Err(action) = world.delayed.plan(at, *id, Action::Close)
            {
                world.act(*id, &action);
            }
        }
        ids.len()
    }

    /// Accepts new connections, or closes them at once.
    pub fn accept(&self, on: bool) {
        self.shared.lock().accepting = on;
    }

    /// Refuses sends; see [`Refusal`].
    ///
    /// # Errors
    /// When the channel or code is none, or there are 1,000 orders already.
    pub fn refuse(&self, refusal: Refusal) -> Result<(), BadRequest> {
        let channel = refusal.channel.as_deref().map(channel_of).transpose()?;
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=64).contains(&refusal.code.len()) || !refusal.code.bytes().all(valid) {
            return Err(BadRequest::new("code", "is not 1 to 64 of a-z 0-9 _"));
        }
        if self.shared.lock().refusals.add(Refusal { channel, ..refusal }) {
            return Ok(());
        }
        Err(BadRequest::new("count", &format!("would make more than {MAX_REFUSALS} standing orders")))
    }

    /// Changes a channel's modes and tells its members what changed (ROOMSTATE).
    ///
    /// # Errors
    /// When the channel is none, or too many are known.
    pub fn set_modes(&self, channel: &str, change: impl FnOnce(&mut Modes)) -> Result<Modes, BadRequest> {
        let channel = channel_of(channel)?;
        let mut world = self.shared.lock();
        let room = world.room(&channel).ok_or(BadRequest::new("channel", "is one too many"))?;
        let before = room.modes;
        change(&mut room.modes);
        let after = room.modes;
        let line = |tags| replies::room_state(&channel, &after, Some(&before), tags).unwrap_or_default();
        if !line(false).is_empty() {
            world.tell_members(&channel, None, |caps| caps.commands, |tags| Bytes::from(line(tags)));
        }
        Ok(after)
    }

    /// The modes of a channel.
    pub fn modes(&self, channel: &str) -> Modes {
        self.shared.lock().modes(&names::login(channel).unwrap_or_default())
    }

    /// Changes what an account may do in a channel. A new ban or timeout is told to the members
    /// (CLEARCHAT).
    ///
    /// # Errors
    /// When the channel or login is none, or there are too many.
    pub fn set_role(
        &self,
        channel: &str,
        login: &str,
        change: impl FnOnce(&mut Role),
    ) -> Result<Role, BadRequest> {
        let channel = channel_of(channel)?;
        let login = names::login(login).ok_or(BadRequest::new("login", "is no login"))?;
        let now = self.shared.moment();
        let mut world = self.shared.lock();
        let room = world.room(&channel).ok_or(BadRequest::new("channel", "is one too many"))?;
        let before = room.role(&login);
        let mut role = before;
        change(&mut role);
        if !room.set_role(&login, role) {
            let problem = format!("is more than the {MAX_ROLES} with a role in this channel");
            return Err(BadRequest::new("login", &problem));
        }
        let timeout = role.timeout_until.filter(|_| role.timeout_until != before.timeout_until);
        if (role.banned && !before.banned) || timeout.is_some() {
            let left = timeout.map(|until| until.saturating_duration_since(now.mono).as_secs().max(1));
            let left = left.filter(|_| !role.banned);
            let line = |tags| replies::clear_chat(&channel, &login, left, now.wall.as_millis(), tags);
            world.tell_members(&channel, None, |caps| caps.commands, |tags| Bytes::from(line(tags)));
        }
        Ok(role)
    }

    /// Times an account out of a channel from now; zero ends a timeout.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub fn time_out(&self, channel: &str, login: &str, length: Duration) -> Result<Role, BadRequest> {
        let until = self.shared.moment().mono.checked_add(length).filter(|_| !length.is_zero());
        self.set_role(channel, login, |role| role.timeout_until = until)
    }

    /// The limits that hold.
    pub fn rules(&self) -> Rules {
        self.shared.lock().rules
    }

    /// Changes which limits hold.
    pub fn set_rules(&self, change: impl FnOnce(&mut Rules)) -> Rules {
        let mut world = self.shared.lock();
        change(&mut world.rules);
        world.rules
    }

    /// Marks a token (without `oauth:`) as bad or good: logins with a bad one fail with
    /// `Login authentication failed`. Connections that are logged in stay.
    ///
    /// # Errors
    /// When 10,000 are marked already.
    pub fn mark_token(&self, token: &str, bad: bool) -> Result<(), BadRequest> {
        self.mark(token.strip_prefix("oauth:").unwrap_or(token).to_owned(), "token", bad)
    }

    /// Marks every token of an account as bad or good.
    ///
    /// # Errors
    /// When the login is none, or 10,000 are marked already.
    pub fn mark_login(&self, login: &str, bad: bool) -> Result<(), BadRequest> {
        let login = names::login(login).ok_or(BadRequest::new("login", "is no login"))?;
        self.mark(format!("login:{login}"), "login", bad)
    }

    fn mark(&self, mark: String, field: &'static str, bad: bool) -> Result<(), BadRequest> {
        let mut world = self.shared.lock();
        if !bad {
            world.bad_tokens.remove(&mark);
        } else if world.bad_tokens.len() < MAX_BAD_TOKENS {
            world.bad_tokens.insert(mark);
        } else {
            return Err(BadRequest::new(field, "is one too many"));
        }
        Ok(())
    }

    /// Everything as at the start, but connections and who is in which channel stay, and records are
    /// numbered on. With `drop`, connections are closed too.
    pub fn reset(&self, drop: bool) {
        self.shared.lock().reset();
        if drop {
            self.drop_connections(&Who::default(), false);
        }
    }

    /// Waits until at least so many connections have joined a channel.
    pub async fn wait_for_members(&self, channel: &str, count: usize) {
        let channel = names::login(channel).unwrap_or_default();
        self.wait_until(|world| world.rooms.get(&channel).is_some_and(|room| room.members.len() >= count))
            .await;
    }

    /// Waits until clients have sent at least so many messages since the start, accepted or not.
    pub async fn wait_for_sent(&self, count: u64) {
        self.wait_until(|world| world.counters.sent >= count).await;
    }

    async fn wait_until(&self, fulfilled: impl Fn(&super::world::World) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if fulfilled(&self.shared.lock()) {
                return;
            }
            changed.await;
        }
    }
}

fn channel_of(text: &str) -> Result<String, BadRequest> {
    names::login(text).ok_or(BadRequest::new("channel", "is no channel name"))
}
