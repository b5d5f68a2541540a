//! Who is there, what was said, and what is told of it.

mod doing;
mod showing;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use chatbus_event::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::faults::Faults;
use super::objects::{
    BOT_ID, BOTS_ID, Channel, ChannelKind, GENERAL_ID, GUILD_ID, Message, User, set, snowflake,
};
use super::session::Sessions;

/// Messages that are kept; the oldest go first.
const MAX_MESSAGES: usize = 100_000;
/// Users and channels; further ones are refused.
const MAX_KNOWN: usize = 100_000;
/// How long a nonce counts.
const NONCE_FOR: Duration = Duration::from_secs(300);
/// The intents that need a grant: guild members, guild presences, message content.
pub(super) const PRIVILEGED: u64 = MEMBERS | (1 << 8) | CONTENT;

const GUILDS: u64 = 1;
const MEMBERS: u64 = 1 << 1;
const GUILD_MESSAGES: u64 = 1 << 9;
const DIRECT_MESSAGES: u64 = 1 << 12;
const CONTENT: u64 = 1 << 15;

/// What a user said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The message's id.
    pub id: String,
    /// The channel's id; of a direct message, the conversation's.
    pub channel: String,
    /// The user's id.
    pub user: String,
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    /// Counts from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The message's id.
    pub id: String,
    /// The channel's id.
    pub channel: String,
    /// The id of the one user who hears it, in a direct message.
    pub user: Option<String>,
    /// What.
    pub text: String,
    /// The nonce, as text.
    pub nonce: Option<String>,
    /// The id of the message it answers.
    pub reply_to: Option<String>,
    /// `allowed_mentions` as it came.
    pub allowed_mentions: Value,
    /// How often it came again under its nonce, and was not said.
    pub repeats: u64,
}

/// What a client wants to say.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) channel: String,
    pub(super) text: String,
    pub(super) nonce: Option<Value>,
    pub(super) enforce_nonce: bool,
    pub(super) reply_to: Option<String>,
    pub(super) must_exist: bool,
    pub(super) allowed_mentions: Value,
}

/// Why it is not said: status, code, message.
pub(super) type No = (u16, u64, &'static str);

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) sessions: Sessions,
    pub(super) faults: Faults,
    pub(super) token_refused: bool,
    pub(super) heartbeat: Duration,
    pub(super) shards: u64,
    pub(super) requests: u64,
    pub(super) requests_refused: u64,
    granted: u64,
    flags: u64,
    addr: SocketAddr,
    users: BTreeMap<String, User>,
    channels: BTreeMap<String, Channel>,
    messages: VecDeque<Message>,
    sent: VecDeque<Sent>,
    nonces: HashMap<(String, String), (String, Timestamp)>,
    count: u64,
    repeats: u64,
}

// === impl World ===

impl World {
    pub(super) fn new(addr: SocketAddr) -> Self {
        let text = |id: &str, name: &str| {
            (id.to_owned(), Channel { id: id.to_owned(), name: name.to_owned(), kind: ChannelKind::Text })
        };
        let bot = User {
            id: BOT_ID.to_owned(),
            login: "sandbot".to_owned(),
            nick: None,
            roles: Vec::new(),
            bot: true,
            joined_at: Some(Timestamp::EPOCH),
        };
        let mut world = Self {
            sessions: Sessions::default(),
            faults: Faults::default(),
            token_refused: false,
            heartbeat: Duration::from_millis(41_250),
            shards: 1,
            requests: 0,
            requests_refused: 0,
            granted: 0,
            flags: 0,
            addr,
            users: BTreeMap::from([(bot.id.clone(), bot)]),
            channels: BTreeMap::from([text(GENERAL_ID, "general"), text(BOTS_ID, "bots")]),
            messages: VecDeque::new(),
            sent: VecDeque::new(),
            nonces: HashMap::new(),
            count: 0,
            repeats: 0,
        };
        world.grant_intents(PRIVILEGED, false);
        world
    }

    pub(super) fn grant_intents(&mut self, bits: u64, hidden: bool) {
        self.granted = bits;
        let shown = if hidden { PRIVILEGED } else { bits };
        // Flags of an application that is in few guilds.
        let flags = [(MEMBERS, 1 << 15), (1 << 8, 1 << 13), (CONTENT, 1 << 19)];
        self.flags = flags.iter().filter(|(bit, _)| shown & bit != 0).map(|(_, flag)| flag).sum();
    }

    /// Privileged intents among these that the application does not have.
    pub(super) fn not_granted(&self, intents: u64) -> u64 {
        intents & PRIVILEGED & !self.granted
    }

    pub(super) fn gateway_url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    fn new_id(&mut self, now: Timestamp) -> String {
        self.count += 1;
        snowflake(now, self.count)
    }

    /// The id of somebody called so, who is new if need be.
    fn user_named(&mut self, login: &str, now: Timestamp) -> Result<String, &'static str> {
        if let Some(user) = self.users.values().find(|user| user.login == login) {
            return Ok(user.id.clone());
        }
        if login.is_empty() || self.users.len() >= MAX_KNOWN {
            return Err("login is empty, or there are too many users");
        }
        let id = self.new_id(now);
        let user = User {
            id: id.clone(),
            login: login.to_owned(),
            nick: None,
            roles: Vec::new(),
            bot: false,
            joined_at: Some(now),
        };
        self.users.insert(id.clone(), user);
        Ok(id)
    }

    /// The conversation of the bot with somebody.
    pub(super) fn direct(&mut self, user: &str, now: Timestamp) -> Option<String> {
        self.users.get(user)?;
        let kind = ChannelKind::Direct { user: user.to_owned() };
        if let Some(channel) = self.channels.values().find(|channel| channel.kind == kind) {
            return Some(channel.id.clone());
        }
        if self.channels.len() >= MAX_KNOWN {
            return None;
        }
        let id = self.new_id(now);
        self.channels.insert(id.clone(), Channel { id: id.clone(), name: String::new(), kind });
        Some(id)
    }

    fn channel_named(&self, name: &str) -> Option<String> {
        let name = name.trim_start_matches('#');
        let is = |channel: &&Channel| channel.id == name || (!name.is_empty() && channel.name == name);
        self.channels.values().find(is).map(|channel| channel.id.clone())
    }

    pub(super) fn dispatch_raw(&mut self, name: &str, data: &Value) {
        self.sessions.tell_all(name, |_, _| Some(data.clone()));
    }

    /// A message by its id, as REST gives it.
    pub(super) fn message(&self, id: &str) -> Option<Value> {
        let message = self.messages.iter().rev().find(|message| message.id == id)?;
        Some(self.message_json(message))
    }

    /// Messages of a channel, the newest first, of those that `is_wanted` by their id: the oldest of them when
    /// `oldest`.
    pub(super) fn messages_of(
        &self,
        channel: &str,
        limit: usize,
        oldest: bool,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Vec<Value> {
        let is_it =
            |message: &&Message| message.channel == channel && message.id.parse().is_ok_and(&is_wanted);
        let wanted = self.messages.iter().filter(is_it);
        let mut some: Vec<&Message> =
            if oldest { wanted.take(limit).collect() } else { wanted.rev().take(limit).collect() };
        if oldest {
            some.reverse();
        }
        some.into_iter().map(|message| self.message_json(message)).collect()
    }

    pub(super) fn sent(&self, after: u64) -> Vec<Sent> {
        self.sent.iter().filter(|sent| sent.seq > after).cloned().collect()
    }

    pub(super) fn counters(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::from([
            ("identifies", self.sessions.identifies),
            ("resumes", self.sessions.resumes),
            ("resumes_refused", self.sessions.resumes_refused),
            ("requests", self.requests),
            ("requests_refused", self.requests_refused),
            ("repeats", self.repeats),
        ])
    }

    fn is_direct(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some_and(|channel| matches!(channel.kind, ChannelKind::Direct { .. }))
    }

    fn publish(&mut self, message: Message) {
        self.tell_message("MESSAGE_CREATE", &message);
        if self.messages.len() >= MAX_MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    fn message_json(&self, message: &Message) -> Value {
        let author = self.user(&message.author).unwrap_or(Value::Null);
        let mentioned = self.users.values().filter(|user| message.text.contains(&format!("<@{}>", user.id)));
        let mentions: Vec<Value> = mentioned.map(User::json).collect();
        let parent = message.reply_to.as_ref();
        let parent = parent.and_then(|id| self.messages.iter().find(|message| message.id == *id));
        let replied =
            parent.map(|parent| parent.json(&self.user(&parent.author).unwrap_or(Value::Null), &[], None));
        message.json(&author, &mentions, replied)
    }

    fn tell_message(&mut self, name: &str, message: &Message) {
        let mut data = self.message_json(message);
        let is_direct = self.is_direct(&message.channel);
        let kind = self.channel(&message.channel).and_then(|channel| channel.get("type").cloned());
        set(&mut data, "channel_type", kind.unwrap_or(Value::Null));
        if !is_direct {
            set(&mut data, "guild_id", json!(GUILD_ID));
            let member = self.users.get(&message.author).map_or(Value::Null, User::member_json);
            set(&mut data, "member", member);
        }
        let needed = if is_direct { DIRECT_MESSAGES } else { GUILD_MESSAGES };
        // Without the intent the text is hidden, but for direct messages, our own, and where we are mentioned.
        let is_open = is_direct || message.author == BOT_ID || message.text.contains(&format!("<@{BOT_ID}>"));
        self.tell(name, needed, is_direct, |intents| {
            let mut data = data.clone();
            if !is_open && intents & CONTENT == 0 {
                set(&mut data, "content", json!(""));
            }
            data
        });
    }

    /// Dispatches to the sessions that asked for it, on the shard of the guild, or of direct messages.
    fn tell(&mut self, name: &str, needed: u64, is_direct: bool, data: impl Fn(u64) -> Value) {
        let guild: u64 = if is_direct { 0 } else { GUILD_ID.parse().unwrap_or(0) };
        self.sessions.tell_all(name, |intents, [shard, of]| {
            let is_its = (guild >> 22) % of.max(1) == shard;
            (is_its && intents & needed == needed).then(|| data(intents))
        });
    }
}
