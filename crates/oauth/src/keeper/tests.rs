//! Keepers against a token server, over one store and one shared state.

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
        let mut changes = self.account.changes();
        let is_there = |known: &Credential| known.state == state && shown(known).as_deref() == token;
        let found = tokio::time::timeout(PATIENCE, changes.wait_for(is_there)).await;
        match found {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("{state:?} {token:?} never came: {:?}", self.account.now()),
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

#[tokio::test]
async fn three_processes_renew_a_token_that_is_over_exactly_once() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let all = [1, 2, 3].map(|seed| world.stopped(seed, Vec::new(), Vault::new([1; 32], None)));
    for process in &all {
        // Nobody hears of another's renewal but by looking with the lock in hand.
        process.run_at(Times { reread: PATIENCE * 2, lock_wait: PATIENCE, ..TIMES });
    }
    for process in &all {
        let known = process.wait_for(OK, Some("access-1")).await;
        assert_eq!(known.login.as_deref(), Some("user1337"));
        assert!(known.expires_at.is_some_and(|ends| ends > process.backing.runtime.clock.now()));
    }
    assert_eq!(world.fake.count("refresh_token"), 1);
    let stored = world.stored(&all[0].backing.vault).await.unwrap();
    assert_eq!(stored.refresh_token.unwrap().expose_secret(), "refresh-1");
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 2);
}

#[tokio::test]
async fn a_refused_renewal_needs_a_person_everywhere_and_a_login_mends_it_everywhere() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    world.fake.inner().refresh = "another".to_owned();
    let all = [1, 2, 3].map(|seed| world.process(seed));
    for process in &all {
        process.wait_for(CredentialState::NeedsReauth, None).await;
        let reason = process.view().reason.unwrap();
        assert!(reason.contains("invalid_refresh_token") && !reason.contains("refresh-0"), "{reason}");
    }
    all[0].log_in().await;
    for process in &all {
        process.wait_for(OK, Some("access-1")).await;
        assert_eq!((process.view().reason, process.view().origin), (None, Origin::Store));
    }
}

#[tokio::test]
async fn renewed_tokens_that_could_not_be_written_are_used_and_written_later() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let first = world.process(1);
    let store = Arc::clone(&first.store);
    world.fake.inner().on_refresh = Some(Box::new(move || store.set_available(false)));
    first.wait_for(OK, Some("access-1")).await;
    let vault = &first.backing.vault;
    let stands = world.stored(vault).await.unwrap();
    assert_eq!(stands.access_token.expose_secret(), "access-0", "it was not written");
    // Another process has the old refresh token, which is dead, and waits for the lock.
    let second = world.process(2);
    let known = second.wait_for(CredentialState::Degraded, None).await;
    assert_eq!((known.user_id.as_deref(), world.fake.count("refresh_token")), (Some("1337"), 1));
    first.store.set_available(true);
    second.wait_for(OK, Some("access-1")).await;
    assert_eq!(world.stored(vault).await.unwrap().access_token.expose_secret(), "access-1");
    assert_eq!(world.fake.count("refresh_token"), 1);
}

#[tokio::test]
async fn a_person_who_logs_in_while_a_renewal_is_unwritten_wins() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let first = world.process(1);
    let store = Arc::clone(&first.store);
    world.fake.inner().on_refresh = Some(Box::new(move || store.set_available(false)));
    first.wait_for(OK, Some("access-1")).await;
    // One that waits for the lock hears of it too.
    let second = world.stopped(2, Vec::new(), Vault::new([1; 32], None));
    second.run_at(Times { lock_wait: PATIENCE * 2, ..TIMES });
    until("it has read the login", async || second.view().origin == Origin::Store).await;
    second.log_in().await;
    second.wait_for(OK, Some("access-2")).await;
    first.store.set_available(true);
    first.wait_for(OK, Some("access-2")).await;
    let stands = world.stored(&first.backing.vault).await.unwrap();
    assert_eq!(stands.access_token.expose_secret(), "access-2");
}

#[tokio::test]
async fn a_renewal_that_fails_is_degraded_and_tried_again_while_the_old_token_is_used() {
    let world = World::new().await;
    world.logged_in(Duration::from_millis(300)).await;
    world.fake.answer(&[(503, ""), (503, "")]);
    let process = world.process(1);
    process.wait_for(CredentialState::Degraded, Some("access-0")).await;
    assert_eq!(process.view().reason.as_deref(), Some("renewal failed: unavailable: HTTP 503"));
    process.wait_for(OK, Some("access-1")).await;
    assert_eq!((process.view().reason, world.fake.count("refresh_token")), (None, 3));
}

#[tokio::test]
async fn without_the_lock_nothing_is_renewed() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let process = world.stopped(1, Vec::new(), Vault::new([1; 32], None));
    process.state.set_connected(false);
    process.run();
    process.wait_for(CredentialState::Degraded, None).await;
    assert_eq!(world.fake.count("refresh_token"), 0);
    process.state.set_connected(true);
    process.wait_for(OK, Some("access-1")).await;
}

#[tokio::test]
async fn what_a_platform_refused_to_a_connector_is_renewed_at_once() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process(1);
    let known = process.wait_for(OK, Some("access-0")).await;
    until("it is validated", async || world.fake.inner().identified > 0).await;
    // One that the platform still calls good stays.
    let before = world.fake.inner().identified;
    process.account.refused(known.generation);
    until("it is asked about", async || world.fake.inner().identified > before).await;
    assert_eq!(world.fake.count("refresh_token"), 0);
    world.fake.inner().access.clear();
    process.account.refused(known.generation);
    let next = process.account.after(known.generation, PATIENCE).await.unwrap();
    assert_eq!((shown(&next).as_deref(), next.state), (Some("access-1"), OK));
    // What was refused of the token before says nothing of this one.
    let before = world.fake.inner().identified;
    process.account.refused(known.generation);
    process.keeper.changed();
    world.fake.inner().access.clear();
    process.account.refused(next.generation);
    process.wait_for(OK, Some("access-2")).await;
    assert_eq!(world.fake.inner().identified, before + 1);
}

#[tokio::test]
async fn a_token_of_the_settings_is_asked_about_and_used_until_it_is_refused() {
    let world = World::new().await;
    world.fake.inner().access.insert("access-set".to_owned());
    let process = world.process_with(1, vec![fallback()], Vault::new([1; 32], None));
    let known = process.wait_for(OK, Some("access-set")).await;
    assert_eq!((known.user_id.as_deref(), known.login.as_deref()), (Some("1337"), Some("user1337")));
    assert_eq!((process.view().origin, process.view().missing), (Origin::Settings, vec!["write".to_owned()]));
    world.fake.inner().access.clear();
    process.account.refused(known.generation);
    process.wait_for(CredentialState::NeedsReauth, None).await;
    // A login wins over it, and is found by all its names.
    process.log_in().await;
    process.wait_for(OK, Some("access-1")).await;
    for who in ["bot", "1337", "user1337", "USER1337"] {
        assert_eq!(process.keeper.find("somewhere", who).map(|view| view.identity).as_deref(), Some("bot"));
    }
    assert_eq!(process.keeper.find("somewhere", "access-1"), None);
    assert_eq!(process.keeper.find("elsewhere", "bot"), None);
    // And is gone when it is removed.
    world.store.remove_account("somewhere", "bot").await.unwrap();
    process.wait_for(CredentialState::NeedsReauth, None).await;
    assert_eq!(process.view().origin, Origin::Settings);
}

#[tokio::test]
async fn a_token_of_the_settings_that_nobody_could_be_asked_about_is_used_all_the_same() {
    let world = World::new().await;
    {
        let mut inner = world.fake.inner();
        inner.access.insert("access-set".to_owned());
        inner.is_mute = true;
    }
    let process = world.process_with(1, vec![fallback()], Vault::new([1; 32], None));
    let known = process.wait_for(CredentialState::Degraded, Some("access-set")).await;
    assert_eq!((known.user_id, known.login.as_deref()), (None, Some("Me")));
    world.fake.inner().is_mute = false;
    let known = process.wait_for(OK, Some("access-set")).await;
    assert_eq!(known.user_id.as_deref(), Some("1337"));
}

#[tokio::test]
async fn the_store_may_open_late_and_go_away() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    world.fake.inner().access.insert("access-set".to_owned());
    let process = world.stopped(1, vec![fallback()], Vault::new([1; 32], None));
    process.stores.send_replace(None);
    process.run();
    process.wait_for(OK, Some("access-set")).await;
    process.stores.send_replace(Some(Arc::clone(&process.store) as Arc<dyn Store>));
    process.wait_for(OK, Some("access-0")).await;
    process.store.set_available(false);
    // It is asked about without the store, and stays in use.
    let known = process.account.now();
    let before = world.fake.inner().identified;
    process.account.refused(known.generation);
    until("it is asked about", async || world.fake.inner().identified > before).await;
    assert_eq!(shown(&process.account.now()).as_deref(), Some("access-0"));
}

#[tokio::test]
async fn what_the_previous_key_sealed_is_sealed_anew() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process_with(1, Vec::new(), Vault::new([2; 32], Some([1; 32])));
    let known = process.wait_for(OK, Some("access-0")).await;
    let current = Vault::new([2; 32], None);
    until("it is sealed anew", async || world.stored(&current).await.is_some()).await;
    let anew = world.stored(&current).await.unwrap();
    assert_eq!(anew.refresh_token.unwrap().expose_secret(), "refresh-0");
    assert_eq!(process.account.now().generation, known.generation, "connectors need not know");
}

#[tokio::test]
async fn tokens_that_do_not_open_need_a_person_and_are_left_alone() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process_with(1, vec![fallback()], Vault::new([3; 32], None));
    process.wait_for(CredentialState::NeedsReauth, None).await;
    assert!(process.view().reason.unwrap().contains("CHATBUS_SECRET_KEY"));
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 1);
    process.log_in().await;
    process.wait_for(OK, Some("access-1")).await;
}

#[tokio::test]
async fn an_account_that_was_removed_and_logged_in_again_is_seen() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process(1);
    process.wait_for(OK, Some("access-0")).await;
    // Both between two looks: the version is what it was.
    world.store.remove_account("somewhere", "bot").await.unwrap();
    process.log_in().await;
    process.wait_for(OK, Some("access-1")).await;
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 1);
}

#[tokio::test]
async fn a_platform_without_logins_has_the_token_of_the_settings() {
    let world = World::new().await;
    let elsewhere = Fallback { platform: "elsewhere", ..fallback() };
    let process = world.process_with(1, vec![elsewhere], Vault::new([1; 32], None));
    let account = process.keeper.account("elsewhere", "bot");
    let mut changes = account.changes();
    let known = tokio::time::timeout(PATIENCE, changes.wait_for(|known| known.state == OK)).await;
    assert_eq!(shown(&known.unwrap().unwrap()).as_deref(), Some("access-set"));
    assert_eq!(process.keeper.account("elsewhere", "nobody").now().state, CredentialState::Missing);
    assert_eq!(process.keeper.views().len(), 3);
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_token() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process_with(1, vec![fallback()], Vault::new([1; 32], None));
    process.wait_for(OK, Some("access-0")).await;
    let json = serde_json::to_value(process.view()).unwrap();
    assert_eq!(json["state"], "ok");
    assert_eq!((&json["userId"], &json["origin"]), (&"1337".into(), &"store".into()));
    let shown = format!("{:?} {:?} {json} {:?}", process.keeper, process.keeper.views(), fallback());
    for secret in ["access-", "refresh-", "client-secret"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn a_stop_ends_it() {
    let world = World::new().await;
    let process = world.stopped(1, Vec::new(), Vault::new([1; 32], None));
    let running = process.keeper.run_at(process.backing.clone(), TIMES);
    process.backing.runtime.stop.cancel();
    assert!(tokio::time::timeout(PATIENCE, running).await.is_ok());
}
