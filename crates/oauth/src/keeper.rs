//! Keeps the accounts: tells connectors of their tokens, and gets new ones in time.

mod minder;
mod reader;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{Account, AccountSource, Credential};
use chatbus_http::HttpClient;
use chatbus_runtime::Runtime;
use chatbus_state::{LeaseTimes, State};
use chatbus_store::Store;
use futures::future::join_all;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::refresh::Pace;
use crate::slot::Slot;
use crate::{AccountView, Exchange, Provider, Record, Vault};
use minder::Minder;

/// The store, once it is open.
pub type Stores = watch::Receiver<Option<Arc<dyn Store>>>;

/// What accounts are kept with. Cheap to clone.
#[derive(Clone)]
pub struct Backing {
    /// Where logins are kept, once it is open.
    pub stores: Stores,
    /// Where processes agree on who renews a token.
    pub state: Arc<dyn State>,
    /// What seals tokens.
    pub vault: Arc<Vault>,
    /// What tokens are had with. Its time limit should be well below the time that a stop may take, since a stop
    /// waits for an answer that may hold the only good token.
    pub http: HttpClient,
    /// Clock, randomness and the stop.
    pub runtime: Runtime,
}

/// A token that somebody has set by hand, for when nobody has logged in.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// The platform.
    pub platform: &'static str,
    /// What the account is for.
    pub identity: &'static str,
    /// The token.
    pub token: SecretString,
    /// Its login, where that is set too.
    pub login: Option<String>,
}

/// All accounts of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: BTreeMap<(String, String), Arc<Slot>>,
    changed: watch::Sender<u64>,
}

/// What minders have in common.
struct Tools {
    stores: Stores,
    state: Arc<dyn State>,
    vault: Arc<Vault>,
    runtime: Runtime,
    exchange: Exchange,
    times: Times,
    /// Names this life of this process in locks.
    holder: String,
    /// Asks for the store to be read again.
    changed: watch::Sender<u64>,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
struct Times {
    pace: Pace,
    /// How often the store is read.
    reread: Duration,
    /// After so long without the store the token of the settings is used.
    store_wait: Duration,
    /// How long one call of the store may take.
    call: Duration,
    /// How long the platform may take to say whose a token is.
    ask: Duration,
    /// The lock of a refresh.
    lock: LeaseTimes,
    /// How long to wait for it.
    lock_wait: Duration,
    /// Waits between attempts to write what must not be lost.
    first_rewrite: Duration,
    longest_rewrite: Duration,
}

impl Times {
    const DEFAULT: Self = Self {
        pace: Pace::DEFAULT,
        reread: Duration::from_secs(5),
        store_wait: Duration::from_secs(5),
        call: Duration::from_secs(5),
        ask: Duration::from_secs(20),
        lock: LeaseTimes { ttl: Duration::from_secs(30), renew: Duration::from_secs(10) },
        lock_wait: Duration::from_secs(60),
        first_rewrite: Duration::from_secs(1),
        longest_rewrite: Duration::from_secs(30),
    };
}

// === impl Keeper ===

impl Keeper {
    /// A keeper of what these platforms have, and of these tokens. Nothing else is known of an account until
    /// [`Keeper::run`] is running.
    pub fn new(providers: &[Arc<dyn Provider>], fallbacks: Vec<Fallback>) -> Self {
        let mut fallbacks: BTreeMap<_, _> = fallbacks
            .into_iter()
            .map(|set| ((set.platform, set.identity), Record::of_token(set.token, set.login)))
            .collect();
        let mut slots = BTreeMap::new();
        for provider in providers {
            let platform = provider.platform();
            for (identity, wanted) in &provider.flow().identities {
                let fallback = fallbacks.remove(&(platform, *identity));
                let slot =
                    Slot::new(platform, identity, Some(Arc::clone(provider)), wanted.clone(), fallback);
                slots.insert((platform.to_owned(), (*identity).to_owned()), Arc::new(slot));
            }
        }
        for ((platform, identity), record) in fallbacks {
            let slot = Slot::new(platform, identity, None, Vec::new(), Some(record));
            slots.insert((platform.to_owned(), identity.to_owned()), Arc::new(slot));
        }
        Self(Arc::new(Inner { slots, changed: watch::Sender::new(0) }))
    }

    /// Keeps the accounts until the process stops. The store may open later; while it is out of reach what is
    /// known stays in use.
    pub async fn run(&self, backing: Backing) {
        self.run_at(backing, Times::DEFAULT).await;
    }

    async fn run_at(&self, backing: Backing, times: Times) {
        let Backing { stores, state, vault, http, runtime } = backing;
        let tools = Arc::new(Tools {
            stores,
            state,
            vault,
            exchange: Exchange::new(http),
            holder: runtime.entropy.uuid().to_string(),
            runtime,
            times,
            changed: self.0.changed.clone(),
        });
        let (snapshots, seen) = watch::channel(None);
        let minders = self
            .0
            .slots
            .values()
            .map(|slot| Minder::new(Arc::clone(slot), Arc::clone(&tools), seen.clone()).run());
        tokio::join!(reader::read(&tools, &snapshots), join_all(minders));
    }

    /// Waits until what the store holds is told, or the store has been out of reach for 5 s; for ever while
    /// [`Keeper::run`] is not running. Who makes connectors after that makes them with the accounts there are.
    pub async fn settled(&self) {
        for slot in self.0.slots.values() {
            slot.settled().await;
        }
    }

    /// The store holds something new: it is read at once.
    pub fn changed(&self) {
        self.0.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The account that people mean by its identity, login or user id, in that order.
    pub fn find(&self, platform: &str, who: &str) -> Option<AccountView> {
        if let Some(slot) = self.slot(platform, who) {
            return Some(slot.view());
        }
        self.views().into_iter().find(|view| view.platform == platform && view.is_called(who))
    }

    /// All accounts, by platform and identity, without secrets.
    pub fn views(&self) -> Vec<AccountView> {
        self.0.slots.values().map(|slot| slot.view()).collect()
    }

    pub(crate) fn slot(&self, platform: &str, identity: &str) -> Option<&Arc<Slot>> {
        self.0.slots.get(&(platform.to_owned(), identity.to_owned()))
    }
}

impl AccountSource for Keeper {
    fn account(&self, platform: &'static str, identity: &'static str) -> Account {
        let nobody = || Account::fixed(Credential::default());
        self.slot(platform, identity).map_or_else(nobody, |slot| slot.account.clone())
    }
}

// === impl Tools ===

impl Tools {
    fn store(&self) -> Option<Arc<dyn Store>> {
        self.stores.borrow().clone()
    }
}

#[cfg(test)]
mod tests;
