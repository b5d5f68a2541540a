//! One account: what connectors see of it, and what is shown.

use std::sync::{Arc, Mutex, PoisonError};

use chatbus_connector::{Account, AccountKeeper, Credential, CredentialState};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use crate::view::state_name;
use crate::{AccountView, Origin, Provider, Record};

/// An account that a platform may be used with.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) platform: String,
    pub(crate) identity: String,
    /// What its identity asks for.
    pub(crate) wanted: Vec<String>,
    /// The platform; `None` for one that has no logins.
    pub(crate) provider: Option<Arc<dyn Provider>>,
    /// The token of the settings.
    pub(crate) fallback: Option<Record>,
    pub(crate) account: Account,
    keeper: AccountKeeper,
    beside: Mutex<Beside>,
    is_settled: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
struct Beside {
    origin: Origin,
    reason: Option<String>,
}

// === impl Slot ===

impl Slot {
    pub(crate) fn new(
        platform: &str,
        identity: &str,
        provider: Option<Arc<dyn Provider>>,
        wanted: Vec<String>,
        fallback: Option<Record>,
    ) -> Self {
        // Connectors choose their account when they are made, which may be before anything was read or asked.
        let (first, origin) = match &fallback {
            Some(record) => (credential(Some(record), CredentialState::Ok, true), Origin::Settings),
            None => (Credential::default(), Origin::Nowhere),
        };
        let (account, keeper) = Account::new(Credential { generation: 1, ..first });
        let (platform, identity) = (platform.to_owned(), identity.to_owned());
        let beside = Mutex::new(Beside { origin, reason: None });
        Self {
            platform,
            identity,
            wanted,
            provider,
            fallback,
            account,
            keeper,
            beside,
            is_settled: watch::Sender::new(false),
        }
    }

    /// Tells connectors what is known now; nothing when nothing changed.
    pub(crate) fn tell(&self, record: Option<&Record>, state: CredentialState, is_usable: bool) {
        let known = self.keeper.now();
        let told = credential(record, state, is_usable);
        if is_same(&known, &told) {
            self.keeper.tell_state(state);
        } else {
            self.keeper.tell(told);
        }
        if known.state != state {
            let (platform, identity) = (&self.platform, &self.identity);
            let state = state_name(state);
            tracing::info!(event = "oauth.account.state", platform, identity, state, "account is {state}");
        }
    }

    /// The generation of the token that connectors have.
    pub(crate) fn generation(&self) -> u64 {
        self.keeper.now().generation
    }

    /// Tells of the tokens that platforms refused to connectors.
    pub(crate) fn refusals(&self) -> watch::Receiver<u64> {
        self.keeper.refusals()
    }

    /// What the store holds was told, or the store gave no answer for a while.
    pub(crate) fn settle(&self) {
        self.is_settled.send_replace(true);
    }

    /// Waits for that.
    pub(crate) async fn settled(&self) {
        // The other end is this very slot's.
        let _ = self.is_settled.subscribe().wait_for(|is_settled| *is_settled).await;
    }

    /// Sets where the token comes from.
    pub(crate) fn set_origin(&self, origin: Origin) {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).origin = origin;
    }

    /// Sets why the account is no better than it is.
    pub(crate) fn set_reason(&self, reason: Option<String>) {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).reason = reason;
    }

    /// Takes this reason back, unless there is another by now.
    pub(crate) fn clear_reason(&self, reason: &str) {
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        beside.reason.take_if(|shown| shown == reason);
    }

    /// What is shown of it.
    pub(crate) fn view(&self) -> AccountView {
        let Beside { origin, reason } = self.beside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = self.keeper.now();
        let missing = missing(&known, &self.wanted);
        AccountView {
            platform: self.platform.clone(),
            identity: self.identity.clone(),
            user_id: known.user_id,
            login: known.login,
            scopes: known.scopes,
            expires_at: known.expires_at,
            state: known.state,
            missing,
            origin,
            reason,
        }
    }

    /// What is shown of a login that was stored just now, which the keeper has not read yet.
    pub(crate) fn view_of_login(&self, record: &Record) -> AccountView {
        let known = credential(Some(record), CredentialState::Ok, true);
        AccountView {
            platform: self.platform.clone(),
            identity: self.identity.clone(),
            missing: missing(&known, &self.wanted),
            user_id: known.user_id,
            login: known.login,
            scopes: known.scopes,
            expires_at: known.expires_at,
            state: known.state,
            origin: Origin::Store,
            reason: None,
        }
    }
}

fn credential(record: Option<&Record>, state: CredentialState, is_usable: bool) -> Credential {
    let Some(record) = record else { return Credential { state, ..Credential::default() } };
    let known = |text: &String| (!text.is_empty()).then(|| text.clone());
    Credential {
        generation: 0,
        state,
        token: is_usable.then(|| record.access_token.clone()),
        user_id: known(&record.user_id),
        login: known(&record.login),
        scopes: record.scopes.clone(),
        expires_at: record.expires_at,
    }
}

/// Whether two differ by nothing but their state and count.
fn is_same(one: &Credential, other: &Credential) -> bool {
    let token =
        |credential: &Credential| credential.token.as_ref().map(|token| token.expose_secret().to_owned());
    (&one.user_id, &one.login, &one.scopes, one.expires_at)
        == (&other.user_id, &other.login, &other.scopes, other.expires_at)
        && token(one) == token(other)
}

fn missing(known: &Credential, wanted: &[String]) -> Vec<String> {
    known.missing_scopes(&wanted.iter().map(String::as_str).collect::<Vec<_>>())
}
