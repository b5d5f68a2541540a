//! A Twitch IRC server that behaves towards clients as the real one does: capabilities, logins,
//! channels, tags, rate and duplicate rules, notices; and does what tests ask of it.
//!
//! Where the real server's behaviour is not documented, or would make tests wait:
//! - Over the message rate it answers `msg_ratelimit` and forgets as the window slides; Twitch drops
//!   silently and may lock an account out of a chat for 30 minutes.
//! - JOINs over the rate, of invalid names and of channels joined already are not answered, as on Twitch.
//! - After a failed login the client may try again for 10 s and is then disconnected.
//! - A sender never sees its own PRIVMSG on the connection it came from; another connection of the
//!   same account does.
//! - Chat commands (`/ban`) are refused with `unrecognized_cmd`, except `/me`; `jtv` and other targets
//!   that are no channel are ignored.
//!
//! Its rooms are also spoken in over HTTP, and what is said in them is told there: [`crate::twitch_api`].
//!
//! It shares no code with the connector that is tested against it.

mod attached;
mod client;
mod connection;
mod delayed;
mod emotes;
mod flood;
mod message;
mod names;
mod outbox;
mod pace;
mod post;
mod records;
mod refusals;
mod replay;
mod replies;
mod room;
mod rules;
mod say;
mod server;
mod session;
mod sink;
mod speak;
mod steer;
mod websocket;
mod wire;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub use client::{ConnectionView, Transport, Who};
pub use flood::{Flood, FloodReport};
pub use records::{JoinAttempt, LoginAttempt, MAX_RECORDS, SentMessage, Since, Way};
pub use refusals::Refusal;
pub use replay::{MAX_RAW_BYTES, Raw, RawReport};
pub use room::{Modes, Role};
pub use rules::Rules;
pub use say::{MAX_SAY_COUNT, Said, Say};
pub use sink::SinkReport;
pub use steer::SentFilter;
pub use world::Counters;

use outbox::Outbox;
use world::World;

pub(crate) use attached::{Attached, InRoom};
pub(crate) use names::{display_name, login, user_id};
pub(crate) use post::{Post, Refused};
pub(crate) use records::{Record, Ring};
pub(crate) use server::{IrcListeners, start};
pub(crate) use world::Moment;

/// The running server, as tests steer it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TwitchIrc {
    shared: Arc<Shared>,
}

/// A request that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct BadRequest {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// What the server's tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    runtime: Runtime,
    world: Mutex<World>,
    /// Told whenever something may have changed that a test waits for.
    changed: Notify,
    tasks: TaskTracker,
    stop: CancellationToken,
    ping_interval: Duration,
    outbox_bytes: usize,
    irc: SocketAddr,
    ws: SocketAddr,
}

// === impl BadRequest ===

impl BadRequest {
    pub(crate) fn new(field: &'static str, problem: &str) -> Self {
        Self { field, problem: problem.to_owned() }
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self) -> Moment {
        Moment::of(&*self.runtime.clock)
    }

    fn outboxes_of(&self, channel: &str) -> Vec<Arc<Outbox>> {
        let world = self.lock();
        let members = world.rooms.get(channel).map(|room| &room.members);
        let clients = members.into_iter().flatten().filter_map(|id| world.clients.get(id));
        clients.map(|client| Arc::clone(&client.line.outbox)).collect()
    }
}
