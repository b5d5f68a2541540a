//! Tokens and the ways to get one: who holds which, with what scopes, until when. Pure: times come in.

mod device;
mod grant;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_event::Entropy;

use super::shelf::Shelf;
pub(super) use device::DEVICE_LIFETIME;
use device::Device;
use grant::{Code, Refresh};
pub(super) use token::{Check, Token, Wanted};
pub use token::{Issued, TokenView};

/// Tokens, refresh tokens, codes of one kind at one time.
const MAX_HELD: usize = 10_000;
/// Twitch's user tokens live about four hours.
const USER_LIFETIME: Duration = Duration::from_secs(14_400);
/// Its app tokens about sixty days.
const APP_LIFETIME: Duration = Duration::from_secs(5_184_000);
/// Who grants when a test did not say who.
const DEFAULT_USER: &str = "sandbox_user";

/// Scopes of a token.
pub(super) type Scopes = BTreeSet<String>;

/// What the OAuth server says no with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) status: u16,
    pub(super) message: &'static str,
}

/// All that is known of tokens.
#[derive(Debug)]
pub(super) struct Auth {
    entropy: Arc<dyn Entropy>,
    tokens: Shelf<Token>,
    refreshes: Shelf<Refresh>,
    codes: Shelf<Code>,
    devices: Shelf<Device>,
    secrets: Shelf<String>,
    /// Accounts whose refreshes are refused.
    refused: Shelf<()>,
    refreshed: BTreeMap<String, u64>,
    /// Who grants what is asked for; `None` denies it.
    pub(super) grants_as: Option<String>,
    /// How long the next user tokens live, when it is not the usual.
    pub(super) lifetime: Option<Duration>,
}

// === impl Auth ===

impl Auth {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            tokens: Shelf::new(MAX_HELD),
            refreshes: Shelf::new(MAX_HELD),
            codes: Shelf::new(MAX_HELD),
            devices: Shelf::new(MAX_HELD),
            secrets: Shelf::new(MAX_HELD),
            refused: Shelf::new(MAX_HELD),
            refreshed: BTreeMap::new(),
            grants_as: Some(DEFAULT_USER.to_owned()),
            lifetime: None,
        }
    }

    /// Gives a token.
    pub(super) fn issue(&mut self, wanted: Wanted<'_>, now: Instant) -> Issued {
        let usual =
            if wanted.login.is_some() { self.lifetime.unwrap_or(USER_LIFETIME) } else { APP_LIFETIME };
        let lifetime = wanted.lifetime.unwrap_or(usual);
        let access = self.fresh();
        let refresh = (wanted.refreshable && wanted.login.is_some()).then(|| self.fresh());
        if let (Some(refresh), Some(login)) = (&refresh, wanted.login) {
            let held = Refresh {
                client_id: wanted.client_id.to_owned(),
                login: login.to_owned(),
                scopes: wanted.scopes.clone(),
            };
            self.refreshes.put(refresh, held);
        }
        let token = Token {
            client_id: wanted.client_id.to_owned(),
            login: wanted.login.map(str::to_owned),
            scopes: wanted.scopes,
            expires: now.checked_add(lifetime).unwrap_or(now),
            revoked: false,
            refresh: refresh.clone(),
        };
        let issued = Issued {
            access_token: access.clone(),
            refresh_token: refresh,
            expires_in: lifetime.as_secs(),
            scopes: token.scopes.iter().cloned().collect(),
            login: token.login.clone(),
        };
        self.tokens.put(&access, token);
        issued
    }

    /// What this token is now.
    pub(super) fn check(&self, token: &str, now: Instant) -> Check<'_> {
        match self.tokens.get(token) {
            None => Check::Unknown,
            Some(token) if token.is_dead(now) => Check::Dead,
            Some(token) => Check::Good(token),
        }
    }

    /// Ends a token's life; with its refresh token when it is revoked. `false` when it is unknown.
    pub(super) fn end(&mut self, token: &str, revoke: bool, now: Instant) -> bool {
        let Some(known) = self.tokens.get_mut(token) else { return false };
        if !revoke {
            known.expires = now;
            return true;
        }
        known.revoked = true;
        if let Some(refresh) = known.refresh.take() {
            self.refreshes.remove(&refresh);
        }
        true
    }

    /// The good tokens of an account.
    pub(super) fn tokens_of(&self, login: &str, now: Instant) -> Vec<String> {
        let of_it = |token: &Token| token.login.as_deref() == Some(login) && !token.is_dead(now);
        self.tokens.iter().filter(|(_, token)| of_it(token)).map(|(key, _)| key.to_owned()).collect()
    }

    /// Whether an account has granted this scope to an application, by any token that was not revoked.
    pub(super) fn has_granted(&self, client_id: &str, login: &str, scope: Option<&str>) -> bool {
        self.tokens.iter().any(|(_, token)| {
            token.client_id == client_id
                && token.login.as_deref() == Some(login)
                && !token.revoked
                && scope.is_none_or(|scope| token.scopes.contains(scope))
        })
    }

    /// An application with a secret: from now on it must be the right one.
    pub(super) fn set_secret(&mut self, client_id: &str, secret: &str) {
        self.secrets.put(client_id, secret.to_owned());
    }

    /// Refuses or allows an account's refreshes.
    pub(super) fn refuse_refreshes(&mut self, login: &str, on: bool) {
        if on {
            self.refused.put(login, ());
        } else {
            self.refused.remove(login);
        }
    }

    /// How often each account's token was refreshed.
    pub(super) fn refreshed(&self) -> BTreeMap<String, u64> {
        self.refreshed.clone()
    }

    /// All tokens, oldest first.
    pub(super) fn views(&self, now: Instant) -> Vec<TokenView> {
        let view = |(key, token): (&str, &Token)| TokenView {
            access_token: key.to_owned(),
            refresh_token: token.refresh.clone(),
            client_id: token.client_id.clone(),
            login: token.login.clone(),
            scopes: token.scopes.iter().cloned().collect(),
            state: token.state(now),
            expires_in: token.expires_in(now),
        };
        self.tokens.iter().map(view).collect()
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(Arc::clone(&self.entropy));
    }

    fn fresh(&self) -> String {
        self.entropy.uuid().simple().to_string()
    }
}

// === impl Denied ===

impl Denied {
    fn bad(message: &'static str) -> Self {
        Self { status: 400, message }
    }
}

/// Scopes as they stand in a request: separated by blanks (or `+`, which is one).
pub(super) fn scopes_of(text: &str) -> Scopes {
    text.split([' ', '+', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
