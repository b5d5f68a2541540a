//! The playground: a chat platform that exists nowhere else, with the one thing that lets a client say
//! nothing twice. A message may carry a key; the same key again, on whichever connection, is answered
//! as the first time and not said again.
//!
//! | request | answers |
//! |---|---|
//! | `GET /v1/hello` | 200 `{"service":"playground"}` |
//! | `POST /v1/channels/{channel}/messages` `{"text"}`, `Idempotency-Key: KEY` | 201 `{"id","repeated"}`; 429 with `Retry-After`; another 4xx or 5xx `{"code","message"}` |
//!
//! Every channel is there: 1 to 64 of `a-z 0-9 _ -`. Nobody speaks but clients, so there is nothing to
//! read. Keys are remembered for as long as their messages are.

mod server;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbus_runtime::Runtime;
use tokio::sync::watch;

pub(crate) use server::start;
use world::World;
pub use world::{MAX_MESSAGES, Message, Refusal};

/// The playground, steered. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Playground {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Runtime,
    addr: SocketAddr,
    world: Mutex<World>,
    /// While it is set nothing is said or answered.
    frozen: watch::Sender<bool>,
    /// Counts how often all connections were dropped.
    drops: watch::Sender<u64>,
}

// === impl Playground ===

impl Playground {
    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// `http://…` of its API.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.addr)
    }

    /// What was said, the oldest first, after the message with this number.
    pub fn messages(&self, channel: Option<&str>, after: u64) -> Vec<Message> {
        self.shared.lock().messages(channel, after)
    }

    /// What is posted next is refused, where its key is not that of something said.
    ///
    /// # Errors
    /// When too many refusals are outstanding.
    pub fn refuse(&self, refusal: Refusal) -> Result<(), &'static str> {
        self.shared.lock().refuse(refusal)
    }

    /// Of what is said, every so many are not answered: their connection ends instead. 0 for none.
    pub fn lose(&self, every: u64) {
        self.shared.lock().lose(every);
    }

    /// Answers come so much later than what they answer was said.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().set_delay(delay);
    }

    /// Nothing is said or answered, and no connection ends, until it is thawed.
    pub fn freeze(&self, on: bool) {
        self.shared.frozen.send_replace(on);
    }

    /// Ends all connections; what was said and not answered stays so.
    pub fn drop_connections(&self) {
        self.shared.drops.send_modify(|drops| *drops += 1);
    }

    /// Whether keys count. A platform that forgets them is for proving that a test would notice.
    pub fn heed_keys(&self, on: bool) {
        self.shared.lock().heed_keys(on);
    }

    /// Everything as at the start; connections stay.
    pub fn reset(&self) {
        *self.shared.lock() = World::default();
        self.freeze(false);
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is frozen.
    async fn thawed(&self) {
        // The sender lives as long as this.
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }
}
