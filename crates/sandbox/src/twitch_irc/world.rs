//! Everything the fake server knows: connections, channels, accounts, what tests asked of it, and what
//! happened. One value behind one short lock, fed lines and times; the loops around it move bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_event::{Clock, Entropy, Timestamp};
use chatbus_runtime::CancellationToken;
use serde::Serialize;
use tokio::sync::watch;

use super::attached::Attached;
use super::client::{Capabilities, Client, Line, Transport, Who};
use super::delayed::{Action, Delayed};
use super::message::Recent;
use super::outbox::{Outbox, Put};
use super::records::{JoinAttempt, LoginAttempt, Ring, SentMessage};
use super::refusals::Refusals;
use super::replies;
use super::room::{Modes, Room};
use super::rules::{Account, Rules};
use super::sink::Sink;
use crate::config::SandboxConfig;

/// Channels known at one time. When full, those with nobody in them and nothing set are forgotten;
/// if that frees none, JOINs of further ones are not answered.
const MAX_ROOMS: usize = 10_000;
/// Accounts whose limits are counted. When full, idle ones are forgotten; if that frees none, the
/// limits of all start over.
const MAX_ACCOUNTS: usize = 10_000;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) mono: Instant,
}

/// Sums since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections closed at once: too many, or the server was told not to accept.
    pub connections_refused: u64,
    /// Clients disconnected because they read too slowly.
    pub too_slow: u64,
    /// Lines read.
    pub lines: u64,
    /// Messages of clients read: PRIVMSGs, and what came by Helix.
    pub sent: u64,
    /// Of these, said in their channel.
    pub accepted: u64,
    /// JOINs read, one for each channel.
    pub joins: u64,
    /// Logins tried.
    pub logins: u64,
    /// Messages of viewers said.
    pub said: u64,
}

/// The server's state.
#[derive(Debug)]
pub(super) struct World {
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) rooms: HashMap<String, Room>,
    accounts: HashMap<String, Account>,
    pub(super) rules: Rules,
    pub(super) bad_tokens: HashSet<String>,
    /// What else listens, once it is there.
    pub(super) attached: Option<Arc<dyn Attached>>,
    pub(super) refusals: Refusals,
    pub(super) recent: Recent,
    pub(super) sent: Ring<SentMessage>,
    pub(super) joins: Ring<JoinAttempt>,
    pub(super) logins: Ring<LoginAttempt>,
    pub(super) sink: Sink,
    pub(super) counters: Counters,
    pub(super) accepting: bool,
    pub(super) delayed: Arc<Delayed>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) login_grace: Duration,
    max_connections: usize,
    outbox_bytes: usize,
    last_id: u64,
}

// === impl Moment ===

impl Moment {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), mono: clock.instant() }
    }
}

// === impl World ===

impl World {
    pub(super) fn new(entropy: Arc<dyn Entropy>, config: &SandboxConfig) -> Self {
        Self {
            clients: BTreeMap::new(),
            rooms: HashMap::new(),
            accounts: HashMap::new(),
            rules: Rules::default(),
            bad_tokens: HashSet::new(),
            attached: None,
            refusals: Refusals::default(),
            recent: Recent::default(),
            sent: Ring::default(),
            joins: Ring::default(),
            logins: Ring::default(),
            sink: Sink::default(),
            counters: Counters::default(),
            accepting: true,
            delayed: Arc::new(Delayed::default()),
            entropy,
            login_grace: config.login_grace,
            max_connections: config.max_connections,
            outbox_bytes: config.outbox_bytes,
            last_id: 0,
        }
    }

    /// A connection has come; `None` when it is to be closed at once.
    pub(super) fn arrive(&mut self, peer: SocketAddr, transport: Transport, now: Moment) -> Option<Line> {
        if !self.accepting || self.clients.len() >= self.max_connections {
            self.counters.connections_refused += 1;
            return None;
        }
        self.counters.connections += 1;
        self.last_id += 1;
        let (freeze, frozen) = watch::channel(false);
        let line = Line {
            id: self.last_id,
            outbox: Arc::new(Outbox::new(self.outbox_bytes)),
            frozen,
            cut: CancellationToken::new(),
            reset: CancellationToken::new(),
        };
        let client = Client {
            line: line.clone(),
            transport,
            peer,
            since: now.wall,
            pass: None,
            login: None,
            anonymous: false,
            capabilities: Capabilities::default(),
            channels: std::collections::BTreeSet::new(),
            freeze,
            lines: 0,
            overlong: 0,
            awaits_pong: false,
        };
        self.clients.insert(self.last_id, client);
        Some(line)
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else { return };
        for channel in &client.channels {
            if let Some(room) = self.rooms.get_mut(&**channel) {
                room.members.remove(&id);
            }
            if let Some(login) = &client.login {
                self.tell_membership(channel, id, &replies::parted(login, channel));
            }
        }
    }

    /// Queues lines for one connection. One that is too slow is cut off.
    pub(super) fn tell(&mut self, id: u64, lines: &str) {
        let Some(client) = self.clients.get(&id) else { return };
        if client.line.outbox.put(lines.as_bytes()) == Put::TooSlow {
            client.line.cut.cancel();
            self.counters.too_slow += 1;
        }
    }

    /// Queues lines for one connection, now or, when the channel's verdicts are slow, later.
    pub(super) fn tell_verdict(&mut self, id: u64, lines: String, modes: Modes, now: Moment) {
        let delay = Duration::from_millis(modes.verdict_delay_ms);
        let at = now.mono.checked_add(delay).filter(|_| !delay.is_zero());
        let late = match at {
            None => Err(Action::Tell(lines)),
            Some(at) => self.delayed.plan(at, id, Action::Tell(lines)),
        };
        if let Err(Action::Tell(lines)) = late {
            self.tell(id, &lines);
        }
    }

    /// Does what was planned for now.
    pub(super) fn act(&mut self, id: u64, action: &Action) {
        match action {
            Action::Tell(lines) => self.tell(id, lines),
            Action::Close => self.close(id),
            Action::CloseUnlessLoggedIn => {
                if self.clients.get(&id).is_some_and(|client| client.login.is_none()) {
                    self.close(id);
                }
            }
        }
    }

    fn close(&self, id: u64) {
        if let Some(client) = self.clients.get(&id) {
            client.line.outbox.close();
        }
    }

    /// Queues a line for the members of a channel but one, in the form each asked for. Says how many
    /// there were.
    pub(super) fn tell_members(
        &mut self,
        channel: &str,
        but: Option<u64>,
        wants: impl Fn(Capabilities) -> bool,
        render: impl Fn(bool) -> Bytes,
    ) -> usize {
        let Some(room) = self.rooms.get(channel) else { return 0 };
        let mut forms: [Option<Bytes>; 2] = [None, None];
        let mut told = 0;
        for id in room.members.iter().filter(|id| Some(**id) != but) {
            let Some(client) = self.clients.get(id) else { continue };
            if !wants(client.capabilities) {
                continue;
            }
            let tags = client.capabilities.tags;
            let [plain, tagged] = &mut forms;
            let bytes = (if tags { tagged } else { plain }).get_or_insert_with(|| render(tags));
            match client.line.outbox.put_shared(bytes) {
                Put::Queued => told += 1,
                Put::Discarded => {}
                Put::TooSlow => {
                    client.line.cut.cancel();
                    self.counters.too_slow += 1;
                }
            }
        }
        told
    }

    /// JOIN and PART of others, for those who asked for membership.
    pub(super) fn tell_membership(&mut self, channel: &str, but: u64, line: &str) {
        let bytes = Bytes::copy_from_slice(line.as_bytes());
        self.tell_members(channel, Some(but), |caps| caps.membership, |_| bytes.clone());
    }

    /// The channel, known or new; `None` when there are too many.
    pub(super) fn room(&mut self, channel: &str) -> Option<&mut Room> {
        if !self.rooms.contains_key(channel) {
            if self.rooms.len() >= MAX_ROOMS {
                self.rooms.retain(|_, room| !room.is_plain());
            }
            if self.rooms.len() >= MAX_ROOMS {
                return None;
            }
            self.rooms.insert(channel.to_owned(), Room::default());
        }
        self.rooms.get_mut(channel)
    }

    /// The modes of a channel.
    pub(super) fn modes(&self, channel: &str) -> Modes {
        self.rooms.get(channel).map(|room| room.modes).unwrap_or_default()
    }

    /// The limits of an account, taken out while they are used.
    pub(super) fn with_account<T>(
        &mut self,
        login: &str,
        now: Instant,
        use_it: impl FnOnce(&mut Self, &mut Account) -> T,
    ) -> T {
        let known = self.accounts.get_mut(login).map(std::mem::take);
        let mut account = known.unwrap_or_default();
        let result = use_it(self, &mut account);
        if let Some(place) = self.accounts.get_mut(login) {
            *place = account;
            return result;
        }
        if self.accounts.len() >= MAX_ACCOUNTS {
            self.accounts.retain(|_, account| !account.is_idle(now));
            if self.accounts.len() >= MAX_ACCOUNTS {
                self.accounts.clear();
            }
        }
        self.accounts.insert(login.to_owned(), account);
        result
    }

    /// The numbers of the connections meant.
    pub(super) fn select(&self, who: &Who) -> Vec<u64> {
        self.clients.values().filter(|client| client.fits(who)).map(|client| client.line.id).collect()
    }

    /// Back to the state at the start, but for connections and who is in which channel.
    pub(super) fn reset(&mut self) {
        self.accounts.clear();
        self.rules = Rules::default();
        self.bad_tokens.clear();
        self.refusals = Refusals::default();
        self.recent.clear();
        self.sent.clear();
        self.joins.clear();
        self.logins.clear();
        self.sink = Sink::default();
        self.accepting = true;
        self.delayed.clear();
        for room in self.rooms.values_mut() {
            room.reset();
        }
        for client in self.clients.values() {
            client.set_frozen(false);
        }
    }
}
