//! Twilio: the REST API's messages, conversations, and signed webhooks.
//!
//! Served are, below one address, `/2010-04-01/Accounts/{sid}.json`, `…/Messages.json` and `…/Messages/{sid}.json`
//! of `api.twilio.com`, and `/v1/Conversations` with its participants and messages, with `/v1/Services/{sid}` before
//! it or without, of `conversations.twilio.com`. Requests need the account's credentials. What is sent with a
//! `StatusCallback` is told to be queued, sent and delivered, or to have failed.
//!
//! What people send is posted to the webhook, signed with the auth token. It goes to loopback and nowhere else: an
//! address out in the world is what is signed, and the request goes to the one that was set here.

mod conversations;
mod hooks;
mod messages;
mod server;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbus_http::HttpClient;
use chatbus_runtime::Runtime;
use tokio_util::task::TaskTracker;

pub use hooks::Hook;
pub(crate) use server::start;
use world::World;
pub use world::{Account, Failure, MAX_RECORDS, Post, Refusal, Said, Scope, Sent, Text};

/// The fake Twilio, steered. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Twilio {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Runtime,
    tasks: TaskTracker,
    addr: SocketAddr,
    http: HttpClient,
    world: Mutex<World>,
}

/// What was posted, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// The message's or conversation's id.
    pub sid: String,
    /// The status that the webhook answered; none when it did not.
    pub status: Option<u16>,
}

// === impl Twilio ===

impl Twilio {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// `http://…` of it.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.addr)
    }

    /// The account and its credentials.
    pub fn account(&self) -> Account {
        self.shared.lock().account.clone()
    }

    /// Sets them.
    pub fn set_account(&self, account: Account) {
        self.shared.lock().account = account;
    }

    /// Where webhooks go.
    pub fn set_hook(&self, hook: Option<Hook>) {
        self.shared.lock().hook = hook;
    }

    /// A person sends a text message; resolves when the webhook has answered.
    pub async fn text(&self, text: Text) -> Told {
        hooks::text(&self.shared, text).await
    }

    /// Someone says something in a conversation, which begins with it if it is new; resolves when the webhook
    /// has answered.
    pub async fn say(&self, said: Said) -> Told {
        hooks::say(&self.shared, said).await
    }

    /// A conversation begins; resolves when the webhook has answered.
    pub async fn converse(&self, sid: Option<String>) -> Told {
        hooks::converse(&self.shared, sid).await
    }

    /// What is asked next is refused.
    ///
    /// # Errors
    /// When too many refusals are outstanding.
    pub fn refuse(&self, refusal: Refusal) -> Result<(), &'static str> {
        self.shared.lock().refuse(refusal)
    }

    /// One of the next messages is taken and fails later, as its status callback tells.
    ///
    /// # Errors
    /// When too many failures are outstanding.
    pub fn fail(&self, failure: Failure) -> Result<(), &'static str> {
        self.shared.lock().fail(failure)
    }

    /// Answers come so much later than what they answer was done.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// So many of what is sent next is done and not answered: the connection ends instead.
    pub fn lose(&self, count: u64) {
        self.shared.lock().lose = count;
    }

    /// Whether status callbacks are made.
    pub fn call_back(&self, on: bool) {
        self.shared.lock().calls_back = on;
    }

    /// A person opts out of what comes from a number or service, or in again.
    pub fn opt_out(&self, from: &str, to: &str, on: bool) {
        self.shared.lock().opt_out(from, to, on);
    }

    /// What was sent through the APIs, the oldest first, after the record with this number.
    pub fn sent(&self, after: u64) -> Vec<Sent> {
        self.shared.lock().sent.iter().filter(|sent| sent.seq > after).cloned().collect()
    }

    /// What was posted to webhooks, the oldest first, after the record with this number.
    pub fn posts(&self, after: u64) -> Vec<Post> {
        self.shared.lock().posts.iter().filter(|post| post.seq > after).cloned().collect()
    }

    /// Who takes part in a conversation: identities and numbers.
    pub fn participants(&self, conversation: &str) -> Vec<String> {
        let world = self.shared.lock();
        let found = world.conversations.get(conversation);
        found.map(|found| found.participants.iter().map(|(_, who)| who.clone()).collect()).unwrap_or_default()
    }

    /// Everything as at the start, the webhook included.
    pub fn reset(&self) {
        *self.shared.lock() = World::default();
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new id of this kind.
    fn sid(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.runtime.entropy.uuid().simple())
    }
}
