//! Discord: REST v10 and the gateway, on one socket.
//!
//! One guild ([`GUILD_ID`]) with two text channels ([`GENERAL_ID`], [`BOTS_ID`]) and three roles, one bot
//! ([`BOT_ID`]), and whoever the test lets speak. Any token is good until [`Discord::refuse_token`] says otherwise.
//! Both halves follow the public reference of API version 10: the nonce of a message counts when
//! `enforce_nonce` is set, answers carry rate-limit headers, a session is resumed with everything said meanwhile.
//! Frames are never compressed, which a client that asks for it must bear.

mod faults;
mod gateway;
mod objects;
mod rest;
mod server;
mod session;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbus_event::Timestamp;
use chatbus_runtime::Runtime;
use serde_json::Value;
use tokio_util::task::TaskTracker;

pub use faults::{Refusal, Scope};
pub use objects::{BOT_ID, BOTS_ID, GENERAL_ID, GUILD_ID, MODERATOR_ROLE_ID, WIZARD_ROLE_ID};
pub(crate) use server::start;
pub use session::Connection;
use world::World;
pub use world::{Said, Sent};

/// The fake Discord, steered. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Discord {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Runtime,
    addr: SocketAddr,
    tasks: TaskTracker,
    world: Mutex<World>,
}

/// What a user says.
#[derive(Debug, Clone, Default)]
pub struct Say {
    /// A channel's id or name; `None` is a direct message to the bot.
    pub channel: Option<String>,
    /// The user's login; one that is not known yet is a new member.
    pub login: String,
    /// What.
    pub text: String,
    /// Names of the user's roles from now on; `None` leaves them.
    pub roles: Option<Vec<String>>,
    /// The user's nickname from now on; `None` leaves it.
    pub nick: Option<String>,
    /// The id of the message this answers.
    pub reply_to: Option<String>,
    /// Whether the user is a bot.
    pub bot: bool,
}

// === impl Discord ===

impl Discord {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// `http://…` of it; REST is under `/api/v10`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.addr)
    }

    /// `ws://…` of the gateway.
    pub fn gateway_url(&self) -> String {
        format!("ws://{}", self.shared.addr)
    }

    /// A user speaks.
    ///
    /// # Errors
    /// When the channel or a role is not there, or the text is empty.
    pub fn say(&self, say: &Say) -> Result<Said, &'static str> {
        let now = self.now();
        self.shared.lock().say(say, now)
    }

    /// A user edits what was said.
    ///
    /// # Errors
    /// When the message is not there.
    pub fn edit(&self, message: &str, text: &str) -> Result<(), &'static str> {
        let now = self.now();
        self.shared.lock().edit(message, text, now).map(drop)
    }

    /// A message is deleted.
    ///
    /// # Errors
    /// When it is not there.
    pub fn delete(&self, message: &str) -> Result<(), &'static str> {
        self.shared.lock().delete(message)
    }

    /// A user joins the guild, and is there already if they spoke; answers the user's id.
    pub fn join(&self, login: &str) -> String {
        let now = self.now();
        self.shared.lock().join(login, now)
    }

    /// A user leaves the guild.
    ///
    /// # Errors
    /// When nobody is called so.
    pub fn leave(&self, login: &str) -> Result<(), &'static str> {
        self.shared.lock().leave(login)
    }

    /// A thread in a channel; answers its id.
    ///
    /// # Errors
    /// When the channel is not there.
    pub fn thread(&self, channel: &str, name: &str) -> Result<String, &'static str> {
        let now = self.now();
        self.shared.lock().thread(channel, name, now)
    }

    /// Any dispatch to every session, whatever its intents are.
    pub fn dispatch(&self, name: &str, data: &Value) {
        self.shared.lock().dispatch_raw(name, data);
    }

    /// One of the next requests is refused.
    ///
    /// # Errors
    /// When too many refusals are outstanding.
    pub fn refuse(&self, refusal: Refusal) -> Result<(), &'static str> {
        self.shared.lock().faults.refuse(refusal)
    }

    /// So many of the next messages are said and not answered: their connection ends instead.
    pub fn lose(&self, count: u64) {
        self.shared.lock().faults.lose(count);
    }

    /// How many messages go into a channel within a time before the bucket is empty.
    pub fn limit_messages(&self, limit: u64, per: Duration) {
        self.shared.lock().faults.limit(limit, per);
    }

    /// Whether tokens are refused: REST answers 401, the gateway closes with 4004.
    pub fn refuse_token(&self, on: bool) {
        self.shared.lock().token_refused = on;
    }

    /// The privileged intents that the application has, as bits of gateway intents. Its flags tell so too,
    /// unless `hidden`.
    pub fn grant_intents(&self, bits: u64, hidden: bool) {
        self.shared.lock().grant_intents(bits, hidden);
    }

    /// How often clients are told to send heartbeats, from the next connection on.
    pub fn heartbeat_every(&self, interval: Duration) {
        self.shared.lock().heartbeat = interval;
    }

    /// How many shards are recommended, at least 1.
    pub fn recommend_shards(&self, shards: u64) {
        self.shared.lock().shards = shards.max(1);
    }

    /// Ends all gateway connections without a close frame; their sessions can be resumed.
    pub fn drop_connections(&self) -> usize {
        self.shared.lock().sessions.drop_connections()
    }

    /// Connections that are there now neither read nor write any more, and stay open.
    pub fn freeze(&self) -> usize {
        self.shared.lock().sessions.freeze()
    }

    /// Closes all gateway connections with this code.
    pub fn close(&self, code: u16) -> usize {
        self.shared.lock().sessions.close(code)
    }

    /// Asks all gateway connections to reconnect (op 7).
    pub fn reconnect(&self) -> usize {
        self.shared.lock().sessions.reconnect()
    }

    /// Forgets all sessions; connections are told so (op 9).
    pub fn invalidate(&self) -> usize {
        self.shared.lock().sessions.invalidate()
    }

    /// Whether new gateway connections are let in.
    pub fn accept(&self, on: bool) {
        self.shared.lock().sessions.accept(on);
    }

    /// The gateway connections that are logged in.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.lock().sessions.connections()
    }

    /// What clients said, the oldest first, after the message with this number; at most the newest 100,000.
    pub fn sent(&self, after: u64) -> Vec<Sent> {
        self.shared.lock().sent(after)
    }

    /// Counts since the start: `identifies`, `resumes`, `resumes_refused`, `requests`, `requests_refused`,
    /// `repeats` (messages that came again under their nonce).
    pub fn counters(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.shared.lock().counters()
    }

    /// Everything as at the start; connections end.
    pub fn reset(&self) {
        let mut world = self.shared.lock();
        world.sessions.drop_connections();
        *world = World::new(self.shared.addr);
    }

    fn now(&self) -> Timestamp {
        self.shared.runtime.clock.now()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
