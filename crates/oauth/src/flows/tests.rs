use chatbus_connector::CredentialState;
use chatbus_event::{Clock as _, Timestamp};
use chatbus_runtime::Runtime;
use chatbus_state::{MemoryState, MemoryStateStore, State};
use chatbus_store::{Accounts as _, MemoryStore};
use chatbus_testkit::{FakeClock, test_runtime};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use super::*;
use crate::fake::{Fake, http};
use crate::{ProviderError, Vault};

const URL: Option<&str> = Some("https://bus.test/");

struct World {
    fake: Arc<Fake>,
    store: Arc<MemoryStore>,
    state: Arc<MemoryState>,
    clock: FakeClock,
    backing: Backing,
    flows: Flows,
}

impl World {
    async fn new() -> Self {
        Self::over(Fake::start().await)
    }

    fn over(fake: Arc<Fake>) -> Self {
        let clock = FakeClock::at(Timestamp::from_millis(1_700_000_000_000));
        let runtime = Runtime { clock: Arc::new(clock.clone()), ..test_runtime(3) };
        let store = MemoryStore::new("test");
        let state = MemoryStateStore::new(Arc::clone(&runtime.clock)).open();
        let (_, stores) = watch::channel(Some(Arc::clone(&store) as Arc<dyn Store>));
        let shared: Arc<dyn State> = Arc::clone(&state) as _;
        let vault = Arc::new(Vault::new([1; 32], None));
        let backing = Backing { stores, state: shared, vault, http: http(), runtime };
        let keeper = Keeper::new(&[Arc::clone(&fake) as Arc<dyn Provider>], Vec::new());
        let flows = Flows::new(keeper, backing.clone(), Some(&"state-secret".into()));
        Self { fake, store, state, clock, backing, flows }
    }

    async fn complete(&self, identity: &str, callback: Callback<'_>) -> Result<LoggedIn, FlowError> {
        sent(self.flows.complete("somewhere", identity, URL, callback)).await
    }
}

/// A server moves its handlers between threads.
fn sent<T: Future + Send>(handler: T) -> T {
    handler
}

/// What a browser that was sent there comes back with.
struct Browser {
    state: String,
    cookies: String,
    query: std::collections::HashMap<String, String>,
}

impl Browser {
    fn sent(begun: &Begun) -> Self {
        let url = Url::parse(&begun.redirect_to).unwrap();
        let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        let (name, value) = &begun.cookie;
        Self { state: query["state"].clone(), cookies: format!("other=1; {name}={value}"), query }
    }

    fn back(&self) -> Callback<'_> {
        Callback {
            code: Some("good"),
            state: Some(&self.state),
            cookies: Some(&self.cookies),
            ..Callback::default()
        }
    }
}

fn codes(done: Result<LoggedIn, FlowError>) -> &'static str {
    done.map_or_else(|error| error.code(), |_| "logged in")
}

#[tokio::test]
async fn a_browser_is_sent_to_the_platform_and_its_login_is_kept() {
    let world = World::new().await;
    let begun = world.flows.begin("somewhere", "bot", URL).unwrap();
    let browser = Browser::sent(&begun);
    let field = |name: &str| browser.query[name].clone();
    assert!(begun.redirect_to.starts_with("https://somewhere.test/authorize?force_verify=true&"));
    assert_eq!(field("redirect_uri"), "https://bus.test/oauth/somewhere/bot/callback");
    assert_eq!((field("response_type"), field("client_id")), ("code".to_owned(), "client".to_owned()));
    assert_eq!(
        (field("scope"), field("code_challenge_method")),
        ("read write".to_owned(), "S256".to_owned())
    );
    assert!(begun.set_cookie.ends_with("; Path=/oauth; Max-Age=600; HttpOnly; SameSite=Lax; Secure"));

    let done = world.complete("bot", browser.back()).await.unwrap();
    let account = done.account;
    assert_eq!((account.user_id.as_deref(), account.login.as_deref()), (Some("1337"), Some("user1337")));
    assert_eq!((account.state, account.missing), (CredentialState::Ok, vec!["write".to_owned()]));
    assert_eq!((account.origin, done.replaced), (crate::Origin::Store, None));

    let asked = world.fake.inner().asked[0].clone();
    assert_eq!(asked["redirect_uri"], field("redirect_uri"));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, asked["code_verifier"].as_bytes());
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
    assert_eq!(hash, field("code_challenge"));

    let rows = world.store.accounts().await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.platform.as_str(), row.identity.as_str(), row.version), ("somewhere", "bot", 1));
    assert!(!row.sealed.windows(8).any(|part| part == b"access-1"));
    let opened = world.backing.vault.open("somewhere", "bot", &row.sealed).unwrap().record;
    assert_eq!(opened.access_token.expose_secret(), "access-1");
    assert_eq!(opened.expires_at, Some(world.clock.now().plus(Duration::from_secs(14_400))));
}

#[tokio::test]
async fn every_check_that_fails_has_its_own_code() {
    let world = World::new().await;
    let begin = |identity| Browser::sent(&world.flows.begin("somewhere", identity, URL).unwrap());
    let (ours, another, owner) = (begin("bot"), begin("bot"), begin("owner"));
    let forged = format!("{}x", ours.state);
    for (callback, expected) in [
        (Callback { cookies: Some(&another.cookies), ..ours.back() }, "wrong_browser"),
        (Callback { cookies: Some("other=1"), ..ours.back() }, "wrong_browser"),
        (Callback { cookies: None, ..ours.back() }, "wrong_browser"),
        (Callback { state: None, ..ours.back() }, "bad_state"),
        (Callback { state: Some(""), ..ours.back() }, "bad_state"),
        (Callback { state: Some(&forged), ..ours.back() }, "bad_state"),
        (owner.back(), "bad_state"),
        (Callback { error: Some("access_denied"), code: None, ..ours.back() }, "denied"),
        (Callback { code: None, ..ours.back() }, "missing_code"),
        (Callback { code: Some(""), ..ours.back() }, "missing_code"),
        // None of that used the state up; this does.
        (ours.back(), "logged in"),
        (ours.back(), "state_used"),
        (Callback { code: Some("bad"), ..another.back() }, "exchange_failed"),
        (another.back(), "state_used"),
    ] {
        assert_eq!(
            codes(world.complete("bot", callback).await),
            expected,
            "{:?} {:?}",
            callback.state,
            callback.code
        );
    }
    let late = begin("bot");
    world.clock.advance(STATE_LASTS - Duration::from_millis(1));
    let in_time = Callback { code: None, ..late.back() };
    assert_eq!(codes(world.complete("bot", in_time).await), "missing_code");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(codes(world.complete("bot", late.back()).await), "state_expired");
    assert_eq!(world.fake.count("authorization_code"), 2);
}

#[tokio::test]
async fn what_is_not_set_up_is_said_at_the_beginning() {
    let world = World::new().await;
    let code = |begun: Result<Begun, FlowError>| begun.map_or_else(|error| error.code(), |_| "begun");
    assert_eq!(code(world.flows.begin("somewhere", "nobody", URL)), "unknown_account");
    assert_eq!(code(world.flows.begin("nowhere", "bot", URL)), "unknown_account");
    for none in [None, Some(""), Some(" ")] {
        assert_eq!(code(world.flows.begin("somewhere", "bot", none)), "no_public_url");
    }
    for secret in [None, Some("".into())] {
        let flows = Flows::new(world.flows.keeper.clone(), world.backing.clone(), secret.as_ref());
        assert_eq!(code(flows.begin("somewhere", "bot", URL)), "no_state_secret");
    }
    let other = Flows::new(world.flows.keeper.clone(), world.backing.clone(), Some(&"another".into()));
    let browser = Browser::sent(&world.flows.begin("somewhere", "bot", URL).unwrap());
    assert_eq!(codes(other.complete("somewhere", "bot", URL, browser.back()).await), "bad_state");
    assert_eq!(codes(world.flows.complete("nowhere", "bot", URL, browser.back()).await), "unknown_account");
}

#[tokio::test]
async fn all_browsers_come_back_to_the_one_address_that_is_set() {
    let fake = Fake::start().await;
    let address = "http://localhost:8080/oauth/somewhere/bot/callback";
    let world = World::over(fake.with(|flow| flow.redirect_uri = Some(address.to_owned())));
    let begun = world.flows.begin("somewhere", "owner", None).unwrap();
    let browser = Browser::sent(&begun);
    assert_eq!(browser.query["redirect_uri"], address);
    assert!(!begun.set_cookie.contains("Secure"));
    let done = world.complete("bot", browser.back()).await.unwrap();
    assert_eq!(done.account.identity, "owner", "the state says so");
}

#[tokio::test]
async fn a_login_of_another_user_replaces_and_says_so() {
    let world = World::new().await;
    let mut told = Vec::new();
    for user in ["1", "1", "2"] {
        world.fake.inner().user_id = user.to_owned();
        let browser = Browser::sent(&world.flows.begin("somewhere", "bot", URL).unwrap());
        let done = world.complete("bot", browser.back()).await.unwrap();
        told.push((done.account.login.unwrap(), done.replaced));
    }
    let said = |login: &str, replaced: Option<&str>| (login.to_owned(), replaced.map(str::to_owned));
    assert_eq!(told, [said("user1", None), said("user1", None), said("user2", Some("user1"))]);
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 3);
}

#[tokio::test]
async fn what_is_out_of_reach_is_named_and_nothing_is_stored() {
    let world = World::new().await;
    let browser = || Browser::sent(&world.flows.begin("somewhere", "bot", URL).unwrap());
    world.state.set_connected(false);
    assert_eq!(codes(world.complete("bot", browser().back()).await), "state_unavailable");
    assert_eq!(world.fake.count("authorization_code"), 0, "a state that may have been used is not");
    world.state.set_connected(true);
    world.fake.inner().is_mute = true;
    assert_eq!(codes(world.complete("bot", browser().back()).await), "identify_failed");
    world.fake.inner().is_mute = false;
    world.store.set_available(false);
    assert_eq!(codes(world.complete("bot", browser().back()).await), "store_unavailable");
    world.store.set_available(true);
    assert!(world.store.accounts().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_device_logs_an_account_in() {
    let world = World::new().await;
    world.fake.answer(&[
        (
            200,
            r#"{"device_code":"d-secret","user_code":"ABCD-EFGH","verification_uri":"https://somewhere.test/activate","expires_in":1800,"interval":5}"#,
        ),
        (400, r#"{"status":400,"message":"authorization_pending"}"#),
        (400, r#"{"error":"slow_down"}"#),
        (200, r#"{"access_token":"access-d","refresh_token":"refresh-d","expires_in":60}"#),
    ]);
    let begun = world.flows.device_begin("somewhere", "owner").await.unwrap();
    assert_eq!((begun.user_code.as_str(), begun.interval.as_secs()), ("ABCD-EFGH", 5));
    let shown = format!("{begun:?} {:?}", world.flows);
    for secret in ["d-secret", "client-secret", "state-secret", &begun.handle] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let poll = || sent(world.flows.device_poll(&begun.handle));
    assert!(matches!(poll().await, Ok(DevicePoll::Pending { slow_down: false })));
    assert!(matches!(poll().await, Ok(DevicePoll::Pending { slow_down: true })));
    world.fake.inner().access.insert("access-d".to_owned());
    let Ok(DevicePoll::LoggedIn(done)) = poll().await else { panic!("it is confirmed") };
    assert_eq!((done.account.identity.as_str(), done.account.login.as_deref()), ("owner", Some("user1337")));
    assert_eq!(world.store.accounts().await.unwrap().len(), 1);
    assert_eq!(world.fake.inner().asked[3]["device_code"], "d-secret");
}

#[tokio::test]
async fn a_device_that_was_denied_or_is_late_or_not_ours_is_refused() {
    let world = World::new().await;
    let code = r#"{"device_code":"d","user_code":"A","verification_uri":"u","expires_in":60}"#;
    world.fake.answer(&[
        (200, code),
        (400, r#"{"error":"access_denied"}"#),
        (400, r#"{"status":400,"message":"invalid device code"}"#),
        (503, ""),
    ]);
    let begun = world.flows.device_begin("somewhere", "bot").await.unwrap();
    let poll = async |handle: &str| world.flows.device_poll(handle).await.unwrap_err();
    assert_eq!(poll(&begun.handle).await.code(), "denied");
    assert_eq!(poll(&begun.handle).await.code(), "device_expired");
    let unavailable = poll(&begun.handle).await;
    assert!(matches!(unavailable, FlowError::ExchangeFailed(ProviderError::Unavailable(_))), "{unavailable}");
    let long = "A".repeat(9000);
    for bad in ["", "x", &begun.handle[1..], &long] {
        assert_eq!(poll(bad).await.code(), "bad_handle");
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(poll(&begun.handle).await.code(), "device_expired");
    assert_eq!(world.fake.inner().asked.len(), 4, "what is over is not asked about");
}

#[tokio::test]
async fn who_waits_for_a_device_is_told_once_it_is_confirmed() {
    let world = World::new().await;
    let code = r#"{"device_code":"d","user_code":"A","verification_uri":"u","expires_in":60}"#;
    let pending = r#"{"error":"authorization_pending"}"#;
    world.fake.answer(&[(200, code), (400, pending), (400, pending)]);
    world.fake.answer(&[(200, r#"{"access_token":"access-d"}"#)]);
    world.fake.inner().access.insert("access-d".to_owned());
    let begun = world.flows.device_begin("somewhere", "bot").await.unwrap();
    let eager = DeviceBegun { interval: Duration::from_millis(1), ..begun };
    assert_eq!(sent(world.flows.device_wait(&eager)).await.unwrap().account.identity, "bot");
    assert_eq!(world.fake.inner().asked.len(), 4);
}
