//! Keepers against a token server, over one store and one shared state.

mod renewals;
mod settings;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{AccountSource as _, CredentialState};
use chatbus_event::Timestamp;
use chatbus_state::{LeaseTimes, MemoryState, MemoryStateStore};
use chatbus_store::{Account as Row, Accounts as _, MemoryStore, Store};
use chatbus_testkit::test_runtime;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use super::*;
use crate::fake::{Fake, http};
use crate::{Callback, Flows, Origin};

/// As in production, but for people who wait.
const TIMES: Times = Times {
    pace: Pace {
        first_retry: Duration::from_millis(50),
        longest_retry: Duration::from_millis(200),
        between_doubts: Duration::from_millis(1),
    },
    reread: Duration::from_millis(20),
    store_wait: Duration::from_millis(100),
    call: Duration::from_secs(5),
    ask: Duration::from_secs(5),
    lock: LeaseTimes { ttl: Duration::from_secs(5), renew: Duration::from_millis(100) },
    lock_wait: Duration::from_millis(500),
    first_rewrite: Duration::from_millis(10),
    longest_rewrite: Duration::from_millis(50),
};

const OK: CredentialState = CredentialState::Ok;
const PATIENCE: Duration = Duration::from_secs(20);

/// What processes share.
struct World {
    fake: Arc<Fake>,
    store: Arc<MemoryStore>,
    state: MemoryStateStore,
}

/// One process.
struct Process {
    keeper: Keeper,
    backing: Backing,
    store: Arc<MemoryStore>,
    stores: watch::Sender<Option<Arc<dyn Store>>>,
    state: Arc<MemoryState>,
    account: Account,
}

impl World {
    async fn new() -> Self {
        let fake = Fake::start().await;
        let state = MemoryStateStore::new(test_runtime(0).clock);
        Self { fake, store: MemoryStore::new("test"), state }
    }

    /// A login is in the store whose access token ends after this long.
    async fn logged_in(&self, lasts: Duration) {
        let record = Record {
            user_id: "1337".to_owned(),
            login: "user1337".to_owned(),
            refresh_token: Some("refresh-0".into()),
            expires_at: Some(test_runtime(0).clock.now().plus(lasts)),
            scopes: vec!["read".to_owned()],
            ..Record::of_token("access-0".into(), None)
        };
        {
            let mut inner = self.fake.inner();
            inner.refresh = "refresh-0".to_owned();
            inner.access.insert("access-0".to_owned());
        }
        self.put(&Vault::new([1; 32], None), &record, 0).await;
    }

    async fn put(&self, vault: &Vault, record: &Record, version: u64) {
        let sealed = vault.seal("somewhere", "bot", record, &*test_runtime(9).entropy);
        let row = Row {
            platform: "somewhere".to_owned(),
            identity: "bot".to_owned(),
            user_id: Some(record.user_id.clone()),
            login: Some(record.login.clone()),
            sealed: sealed.into(),
            updated_at: Timestamp::EPOCH,
            version,
        };
        self.store.put_account(&row).await.unwrap();
    }

    /// What stands in the store.
    async fn stored(&self, vault: &Vault) -> Option<Record> {
        let row = self.store.accounts().await.unwrap().into_iter().next()?;
        Some(vault.open("somewhere", "bot", &row.sealed).ok()?.record)
    }

    fn process(&self, seed: u64) -> Process {
        self.process_with(seed, Vec::new(), Vault::new([1; 32], None))
    }

    fn process_with(&self, seed: u64, fallbacks: Vec<Fallback>, vault: Vault) -> Process {
        let process = self.stopped(seed, fallbacks, vault);
        process.run();
        process
    }

    fn stopped(&self, seed: u64, fallbacks: Vec<Fallback>, vault: Vault) -> Process {
        let keeper = Keeper::new(&[Arc::clone(&self.fake) as Arc<dyn Provider>], fallbacks);
        let store = self.store.handle();
        let stores = watch::Sender::new(Some(Arc::clone(&store) as Arc<dyn Store>));
        let state = self.state.open();
        let backing = Backing {
            stores: stores.subscribe(),
            state: Arc::clone(&state) as Arc<dyn State>,
            vault: Arc::new(vault),
            http: http(),
            runtime: test_runtime(seed),
        };
        let account = keeper.account("somewhere", "bot");
        Process { keeper, backing, store, stores, state, account }
    }
}

impl Process {
    fn run(&self) {
        self.run_at(TIMES);
    }

    fn run_at(&self, times: Times) {
        let (keeper, backing) = (self.keeper.clone(), self.backing.clone());
        self.backing.runtime.spawn("test.keeper", async move { keeper.run_at(backing, times).await });
    }

    /// Waits until the account is that good and has that token.
    async fn wait_for(&self, state: CredentialState, token: Option<&str>) -> Credential {
        let is_there = |known: &Credential| known.state == state && shown(known).as_deref() == token;
        self.wait_until(&format!("{state:?} {token:?}"), is_there).await
    }

    /// Waits until something is known of the account.
    async fn wait_until(&self, what: &str, is_there: impl FnMut(&Credential) -> bool) -> Credential {
        let mut changes = self.account.changes();
        match tokio::time::timeout(PATIENCE, changes.wait_for(is_there)).await {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("never: {what}: {:?}", self.account.now()),
        }
    }

    fn view(&self) -> AccountView {
        self.keeper.find("somewhere", "bot").unwrap()
    }

    /// Logs the account in, in a browser.
    async fn log_in(&self) {
        let flows = Flows::new(self.keeper.clone(), self.backing.clone(), Some(&"state-secret".into()));
        let url = Some("https://bus.test");
        let begun = flows.begin("somewhere", "bot", url).unwrap();
        let sent = url::Url::parse(&begun.redirect_to).unwrap();
        let (_, state) = sent.query_pairs().find(|(name, _)| name == "state").unwrap();
        let cookies = format!("{}={}", begun.cookie.0, begun.cookie.1);
        let callback = Callback {
            code: Some("good"),
            state: Some(&state),
            cookies: Some(&cookies),
            ..Callback::default()
        };
        flows.complete("somewhere", "bot", url, callback).await.unwrap();
    }
}

fn shown(known: &Credential) -> Option<String> {
    known.token.as_ref().map(|token| token.expose_secret().to_owned())
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}

fn fallback() -> Fallback {
    Fallback {
        platform: "somewhere",
        identity: "bot",
        token: "access-set".into(),
        login: Some("Me".to_owned()),
    }
}
