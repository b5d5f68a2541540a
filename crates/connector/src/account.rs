//! The account that a platform is used with: whoever keeps its tokens tells, connectors listen.

use std::sync::Arc;
use std::time::Duration;

use chatbus_event::Timestamp;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::AuthState;

/// What is known of an account now.
#[derive(Debug, Clone, Default)]
pub struct Credential {
    /// Counts the tokens that were seen: of two the one with the larger number is the later.
    pub generation: u64,
    /// Whether there is a token, and how good it is.
    pub state: CredentialState,
    /// The access token, where there is one that may be tried.
    pub token: Option<SecretString>,
    /// The account's id on the platform.
    pub user_id: Option<String>,
    /// The account's login.
    pub login: Option<String>,
    /// What the token may be used for.
    pub scopes: Vec<String>,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
}

/// How good a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CredentialState {
    /// Nobody has logged in.
    #[default]
    Missing,
    /// It is good.
    Ok,
    /// It could not be renewed and is used for as long as it lasts.
    Degraded,
    /// The platform refuses it: a person has to log in again.
    NeedsReauth,
}

/// An account as its connector sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Account {
    credential: watch::Receiver<Credential>,
    refused: Arc<watch::Sender<u64>>,
}

/// The other end of an [`Account`].
#[derive(Debug)]
pub struct AccountKeeper {
    credential: watch::Sender<Credential>,
    refused: watch::Receiver<u64>,
}

/// Gives accounts by the platform and what they are for, such as `bot` or `broadcaster`.
pub trait AccountSource: Send + Sync + std::fmt::Debug {
    /// The account; one that nobody keeps stays [`CredentialState::Missing`].
    fn account(&self, platform: &'static str, identity: &'static str) -> Account;

    /// Whether somebody keeps it, so that it may have a token though it has none now.
    fn keeps(&self, platform: &'static str, identity: &'static str) -> bool {
        let _ = (platform, identity);
        false
    }
}

/// No accounts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAccounts;

// === impl Credential ===

impl Credential {
    /// A token that is good, from whoever has one ready.
    pub fn ready(token: SecretString, login: Option<String>, user_id: Option<String>) -> Self {
        let state = CredentialState::Ok;
        Self { generation: 1, state, token: Some(token), login, user_id, ..Self::default() }
    }

    /// Which of these scopes the token lacks; none is told of one whose scopes are not known.
    pub fn missing_scopes(&self, needed: &[&str]) -> Vec<String> {
        if self.scopes.is_empty() {
            return Vec::new();
        }
        let is_missing = |scope: &&&str| !self.scopes.iter().any(|granted| granted == **scope);
        needed.iter().filter(is_missing).map(|scope| (*scope).to_owned()).collect()
    }

    /// What is shown of it, beside the scopes that are needed.
    pub fn auth_state(&self, needed: &[&str]) -> AuthState {
        let state = match self.state {
            CredentialState::Missing => "anonymous",
            CredentialState::Ok => "ok",
            CredentialState::Degraded => "degraded",
            CredentialState::NeedsReauth => "needs_reauth",
        };
        AuthState {
            state,
            login: self.login.clone(),
            user_id: self.user_id.clone(),
            expires_at: self.expires_at,
            missing_scopes: self.missing_scopes(needed),
        }
    }
}

// === impl Account ===

impl Account {
    /// An account and its keeper's end.
    pub fn new(credential: Credential) -> (Self, AccountKeeper) {
        let (credential, told) = watch::channel(credential);
        let (refused, heard) = watch::channel(0);
        let account = Self { credential: told, refused: Arc::new(refused) };
        (account, AccountKeeper { credential, refused: heard })
    }

    /// One that stays as it is.
    pub fn fixed(credential: Credential) -> Self {
        Self::new(credential).0
    }

    /// What is known now.
    pub fn now(&self) -> Credential {
        self.credential.borrow().clone()
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<Credential> {
        self.credential.clone()
    }

    /// The platform refused the token of this generation: it is renewed, by one of all processes, and
    /// [`Account::changes`] tells what came of it.
    pub fn refused(&self, generation: u64) {
        self.refused.send_modify(|highest| *highest = generation.max(*highest));
    }

    /// Another token than that of this generation, once there is one; `None` when there is none within this
    /// time, or a person has to log in first.
    pub async fn after(&self, generation: u64, within: Duration) -> Option<Credential> {
        let mut changes = self.changes();
        let other = changes
            .wait_for(|known| known.generation > generation || known.state == CredentialState::NeedsReauth);
        let found = tokio::time::timeout(within, other).await.ok()?.ok()?.clone();
        (found.generation > generation && found.token.is_some()).then_some(found)
    }
}

// === impl AccountKeeper ===

impl AccountKeeper {
    /// Tells what is known now; the generation is counted here. Says nothing when nothing changed but that.
    pub fn tell(&self, credential: Credential) {
        self.credential.send_modify(|known| {
            let generation = known.generation + 1;
            *known = Credential { generation, ..credential };
        });
    }

    /// Tells how good the token is, which stays the same.
    pub fn tell_state(&self, state: CredentialState) {
        self.credential.send_if_modified(|known| std::mem::replace(&mut known.state, state) != state);
    }

    /// What was told last.
    pub fn now(&self) -> Credential {
        self.credential.borrow().clone()
    }

    /// The highest generation whose token a platform refused.
    pub fn refusals(&self) -> watch::Receiver<u64> {
        self.refused.clone()
    }
}

impl AccountSource for NoAccounts {
    fn account(&self, _: &'static str, _: &'static str) -> Account {
        Account::fixed(Credential::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_another_token_gets_the_next_one_or_learns_that_there_is_none() {
        let good = Credential::ready("a".into(), None, None);
        let (account, keeper) = Account::new(good.clone());
        account.refused(1);
        assert_eq!(*keeper.refusals().borrow(), 1);
        let renewing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            keeper.tell(good);
        };
        let (other, ()) = tokio::join!(account.after(1, Duration::from_secs(5)), renewing);
        assert_eq!(other.unwrap().generation, 2);
        assert!(account.after(2, Duration::from_secs(5)).await.is_none());
        keeper.tell_state(CredentialState::NeedsReauth);
        assert!(account.after(2, Duration::MAX).await.is_none());
    }

    #[test]
    fn scopes_that_are_not_known_are_not_missing() {
        let mut credential = Credential::ready("a".into(), None, None);
        assert!(credential.missing_scopes(&["chat:read"]).is_empty());
        credential.scopes = vec!["chat:edit".to_owned()];
        assert_eq!(credential.auth_state(&["chat:read", "chat:edit"]).missing_scopes, ["chat:read"]);
    }
}
