//! What tests ask of the running fake: tokens, accounts, and what is to go wrong.

use std::time::Duration;

use super::auth::{Issued, TokenView, Wanted};
use super::orders::{MAX_ORDERS, Order};
use super::people::Person;
use super::{SentWhisper, TwitchApi};
use crate::twitch_irc::{BadRequest, SentFilter, SentMessage, Since, login};

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The application.
    pub client_id: String,
    /// Whose it is; an app's has nobody.
    pub login: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// How long it is good; `None` is the usual four hours, or sixty days of an app.
    pub lifetime: Option<Duration>,
}

// === impl NewToken ===

impl NewToken {
    /// A token of an account for the application `client`.
    pub fn of(login: &str, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Self { client_id: "client".to_owned(), login: Some(login.to_owned()), scopes, lifetime: None }
    }
}

// === impl TwitchApi ===

impl TwitchApi {
    /// Makes a token, with a refresh token when it is an account's.
    ///
    /// # Errors
    /// When the login is none.
    pub fn make_token(&self, token: &NewToken) -> Result<Issued, BadRequest> {
        let login = token.login.as_deref().map(login_of).transpose()?;
        if token.client_id.is_empty() {
            return Err(BadRequest::new("client_id", "is empty"));
        }
        let now = self.core.moment().mono;
        let mut world = self.core.lock();
        if let Some(login) = &login {
            world.people.see(login);
        }
        let wanted = Wanted {
            client_id: &token.client_id,
            login: login.as_deref(),
            scopes: token.scopes.iter().cloned().collect(),
            lifetime: token.lifetime,
            refreshable: true,
        };
        Ok(world.auth.issue(wanted, now))
    }

    /// Ends a token's life now; its refresh token stays. IRC connections that logged in with it stay too.
    ///
    /// # Errors
    /// When it is unknown.
    pub fn expire_token(&self, token: &str) -> Result<(), BadRequest> {
        self.end_token(token, false)
    }

    /// Revokes a token, and its refresh token with it.
    ///
    /// # Errors
    /// When it is unknown.
    pub fn revoke_token(&self, token: &str) -> Result<(), BadRequest> {
        self.end_token(token, true)
    }

    fn end_token(&self, token: &str, revoke: bool) -> Result<(), BadRequest> {
        let now = self.core.moment().mono;
        let known = self.core.lock().auth.end(token, revoke, now);
        self.core.changed();
        if known { Ok(()) } else { Err(BadRequest::new("token", "is none that was given here")) }
    }

    /// Ends all good tokens of an account. With `revoke`, as when somebody disconnects an application: their
    /// refresh tokens too, and the subscriptions made with them. Says how many tokens.
    ///
    /// # Errors
    /// When the login is none.
    pub fn end_tokens_of(&self, login: &str, revoke: bool) -> Result<usize, BadRequest> {
        let login = login_of(login)?;
        let now = self.core.moment();
        let mut world = self.core.lock();
        let tokens = world.auth.tokens_of(&login, now.mono);
        for token in &tokens {
            world.auth.end(token, revoke, now.mono);
        }
        if revoke {
            world.hub.revoke_all_of(&login, now);
        }
        drop(world);
        self.core.changed();
        Ok(tokens.len())
    }

    /// All tokens there are, oldest first: the newest 10,000.
    pub fn tokens(&self) -> Vec<TokenView> {
        let now = self.core.moment().mono;
        self.core.lock().auth.views(now)
    }

    /// From now on, how long new user tokens live; `None` is the usual.
    pub fn set_token_lifetime(&self, lifetime: Option<Duration>) {
        self.core.lock().auth.lifetime = lifetime;
    }

    /// Refuses an account's refreshes as invalid, or allows them again.
    ///
    /// # Errors
    /// When the login is none.
    pub fn refuse_refreshes(&self, login: &str, on: bool) -> Result<(), BadRequest> {
        let login = login_of(login)?;
        self.core.lock().auth.refuse_refreshes(&login, on);
        Ok(())
    }

    /// How often each account's tokens were refreshed.
    pub fn refreshes(&self) -> std::collections::BTreeMap<String, u64> {
        self.core.lock().auth.refreshed()
    }

    /// Gives an application a secret: another one is refused from now on.
    ///
    /// # Errors
    /// When one of them is empty.
    pub fn set_client_secret(&self, client_id: &str, secret: &str) -> Result<(), BadRequest> {
        if client_id.is_empty() {
            return Err(BadRequest::new("client_id", "is empty"));
        }
        if secret.is_empty() {
            return Err(BadRequest::new("secret", "is empty"));
        }
        self.core.lock().auth.set_secret(client_id, secret);
        Ok(())
    }

    /// Who grants what `/oauth2/authorize` and `/activate` ask; `None` denies it.
    ///
    /// # Errors
    /// When the login is none.
    pub fn grant_as(&self, login: Option<&str>) -> Result<(), BadRequest> {
        let login = login.map(login_of).transpose()?;
        self.core.lock().auth.grants_as = login;
        Ok(())
    }

    /// Grants what a device asks, as this account. The code is its user's or its own.
    ///
    /// # Errors
    /// When the login is none, or no device waits with this code.
    pub fn approve_device(&self, code: &str, login: &str) -> Result<(), BadRequest> {
        let login = login_of(login)?;
        self.decide_device(code, Some(&login))
    }

    /// Denies it.
    ///
    /// # Errors
    /// When no device waits with this code.
    pub fn deny_device(&self, code: &str) -> Result<(), BadRequest> {
        self.decide_device(code, None)
    }

    fn decide_device(&self, code: &str, login: Option<&str>) -> Result<(), BadRequest> {
        let now = self.core.moment().mono;
        if self.core.lock().auth.decide_device(code, login, now) {
            return Ok(());
        }
        Err(BadRequest::new("code", "is that of no device that waits"))
    }

    /// The user codes of devices that wait for a decision.
    pub fn waiting_devices(&self) -> Vec<String> {
        let now = self.core.moment().mono;
        self.core.lock().auth.waiting_devices(now)
    }

    /// Changes an account.
    ///
    /// # Errors
    /// When the login is none.
    pub fn set_user(&self, login: &str, change: impl FnOnce(&mut Person)) -> Result<Person, BadRequest> {
        let login = login_of(login)?;
        Ok(self.core.lock().people.change(&login, change))
    }

    /// Makes requests go wrong; see [`Order`].
    ///
    /// # Errors
    /// When the order makes no sense, or there are 1,000 already.
    pub fn order(&self, order: Order) -> Result<(), BadRequest> {
        if let super::Fault::Status { status, .. } = &order.fault
            && !(400..600).contains(status)
        {
            return Err(BadRequest::new("status", "is not from 400 to 599"));
        }
        let path = order.path.as_deref().map(|path| path.trim_matches('/').to_owned());
        let now = self.core.moment().mono;
        if self.core.lock().orders.add(Order { path, ..order }, now) {
            return Ok(());
        }
        Err(BadRequest::new("count", &format!("would make more than {MAX_ORDERS} standing orders")))
    }

    /// Whispers that were answered 204, oldest first: the newest 100,000.
    pub fn whispers(&self, since: Since) -> Vec<SentWhisper> {
        self.core.lock().whispers.sent.read(since, |_| true)
    }

    /// What clients sent to channels, by IRC and by Helix, oldest first: the newest 100,000.
    pub fn sent(&self, filter: &SentFilter) -> Vec<SentMessage> {
        self.chat.sent(filter)
    }

    /// Drops whispers without a word, and counts them as sent. Twitch does so to whom it takes for a spammer.
    pub fn drop_whispers(&self, on: bool) {
        self.core.lock().whispers.dropped = on;
    }

    /// Whether the limits on whispers hold.
    pub fn limit_whispers(&self, on: bool) {
        self.core.lock().whispers.limited = on;
    }

    /// Waits until at least so many whispers were answered 204 and are kept.
    pub async fn wait_for_whispers(&self, count: usize) {
        self.wait_until(|world| world.whispers.sent.read(Since::Start, |_| true).len() >= count).await;
    }

    /// Everything as at the start: tokens, accounts, orders, subscriptions. Connections to EventSub stay; the
    /// rooms are reset by [`TwitchIrc::reset`](crate::twitch_irc::TwitchIrc::reset).
    pub fn reset(&self) {
        self.core.lock().reset();
        self.core.changed();
    }

    /// Points of a full bucket of Helix: 800 unless set.
    pub fn set_points(&self, points: u32) {
        let mut world = self.core.lock();
        world.limits.reset();
        world.limits.points = points;
    }
}

pub(super) fn login_of(text: &str) -> Result<String, BadRequest> {
    login(text).ok_or(BadRequest::new("login", "is no login"))
}
