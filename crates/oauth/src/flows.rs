//! Logins: in a browser (RFC 6749 with RFC 7636), and on another device (RFC 8628).

mod callback;
mod device;
mod error;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use chatbus_runtime::Backoff;
use chatbus_store::{Account as Row, Store, StoreError, StoreErrorKind};
use secrecy::SecretString;
use url::Url;

use crate::slot::Slot;
use crate::{AccountView, Backing, Exchange, FlowSpec, Keeper, Provider, Record, Tokens};

pub use callback::Callback;
pub use device::{DeviceBegun, DevicePoll};
pub use error::FlowError;
use ticket::{Signer, Ticket};

/// Logs accounts in. Cheap to clone.
#[derive(Clone)]
pub struct Flows {
    keeper: Keeper,
    backing: Backing,
    exchange: Exchange,
    signer: Option<Arc<Signer>>,
}

/// A login in a browser has begun.
pub struct Begun {
    /// Where the browser goes.
    pub redirect_to: String,
    /// The name and value of the cookie that the browser has to bring back.
    pub cookie: (String, String),
    /// The whole `Set-Cookie` header for it.
    pub set_cookie: String,
}

/// Somebody has logged in, and connections use the account already.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The account.
    pub account: AccountView,
    /// Whose login it replaced (the login's name, else the user's id), when that was another user.
    pub replaced: Option<String>,
}

/// How long a login in a browser may take.
const STATE_LASTS: Duration = Duration::from_secs(10 * 60);
/// How often a login is written at most, and the waits between.
const MAX_WRITES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

// === impl Flows ===

impl Flows {
    /// Logs in the accounts of this keeper. `state_secret` (OAUTH_STATE_SECRET) signs what browsers come back
    /// with; without one, or with an empty one, there are logins on other devices only.
    pub fn new(keeper: Keeper, backing: Backing, state_secret: Option<&SecretString>) -> Self {
        let exchange = Exchange::new(backing.http.clone());
        let signer = state_secret.and_then(Signer::new).map(Arc::new);
        Self { keeper, backing, exchange, signer }
    }

    /// Begins a login in a browser. `public_url` (PUBLIC_URL) is where this program is reached from outside; it
    /// is needed for platforms that have no redirect address of their own, and never taken from a request.
    ///
    /// # Errors
    /// When there is no such account, or a setting is missing.
    pub fn begin(
        &self,
        platform: &str,
        identity: &str,
        public_url: Option<&str>,
    ) -> Result<Begun, FlowError> {
        let (slot, provider) = self.account(platform, identity)?;
        let signer = self.signer()?;
        let (clock, entropy) = (&self.backing.runtime.clock, &*self.backing.runtime.entropy);
        let redirect_uri = redirect_uri(provider.flow(), slot, public_url)?;
        let browser = ticket::random(entropy);
        let ends_at = clock.now().plus(STATE_LASTS);
        let ticket = Ticket::new(platform, identity, &browser, ends_at, entropy);
        let redirect_to = self.authorize(provider.flow(), slot, signer, &ticket, &browser, &redirect_uri)?;
        let name = callback::cookie_name(platform, identity);
        let secure = if redirect_uri.starts_with("https:") { "; Secure" } else { "" };
        let lasts = STATE_LASTS.as_secs();
        let set_cookie =
            format!("{name}={browser}; Path=/oauth; Max-Age={lasts}; HttpOnly; SameSite=Lax{secure}");
        Ok(Begun { redirect_to, cookie: (name, browser), set_cookie })
    }

    fn authorize(
        &self,
        flow: &FlowSpec,
        slot: &Slot,
        signer: &Signer,
        ticket: &Ticket,
        browser: &str,
        redirect_uri: &str,
    ) -> Result<String, FlowError> {
        let wrong =
            |error| FlowError::Misconfigured(format!("the authorize address of {}: {error}", slot.platform));
        let mut url = Url::parse(&flow.authorize_url).map_err(wrong)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &flow.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &slot.wanted.join(" "))
            .append_pair("state", &signer.sign(ticket))
            .append_pair("code_challenge", &signer.challenge(ticket, browser))
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// The platform says whose the tokens are; then they are kept, and connections told.
    async fn log_in(
        &self,
        slot: &Slot,
        provider: &dyn Provider,
        tokens: Tokens,
    ) -> Result<LoggedIn, FlowError> {
        let identity = provider.identify(&tokens.access_token).await.map_err(FlowError::IdentifyFailed)?;
        let record = Record::of_login(tokens, identity, self.backing.runtime.clock.now());
        let replaced = self.store(slot, &record).await?;
        self.keeper.changed();
        let (platform, identity, login) = (&slot.platform, &slot.identity, &record.login);
        tracing::info!(event = "oauth.login.done", platform, identity, userLogin = login, "logged in");
        if let Some(replaced) = &replaced {
            tracing::warn!(
                event = "oauth.login.replaced",
                platform,
                identity,
                userLogin = login,
                replaced,
                "the login of another user was replaced"
            );
        }
        Ok(LoggedIn { account: slot.view_of_login(&record), replaced })
    }

    /// Writes it over whatever stands there; gives whose it was, when it was another user's.
    async fn store(&self, slot: &Slot, record: &Record) -> Result<Option<String>, FlowError> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let error = match self.try_store(slot, record).await {
                Ok(replaced) => return Ok(replaced),
                Err(error) => error,
            };
            let may_pass = error.kind() == StoreErrorKind::Conflict || error.is_temporary();
            if !may_pass || backoff.attempts() + 1 >= MAX_WRITES {
                return Err(FlowError::StoreUnavailable(error.to_string()));
            }
            tokio::time::sleep(backoff.next(&*self.backing.runtime.entropy)).await;
        }
    }

    async fn try_store(&self, slot: &Slot, record: &Record) -> Result<Option<String>, StoreError> {
        let store: Option<Arc<dyn Store>> = self.backing.stores.borrow().clone();
        let store =
            store.ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "the store is not open"))?;
        let rows = store.accounts().await?;
        let there =
            rows.into_iter().find(|row| row.platform == slot.platform && row.identity == slot.identity);
        let runtime = &self.backing.runtime;
        let sealed = self.backing.vault.seal(&slot.platform, &slot.identity, record, &*runtime.entropy);
        let row = Row {
            platform: slot.platform.clone(),
            identity: slot.identity.clone(),
            user_id: Some(record.user_id.clone()),
            login: Some(record.login.clone()),
            sealed: sealed.into(),
            updated_at: runtime.clock.now(),
            version: there.as_ref().map_or(0, |there| there.version),
        };
        store.put_account(&row).await?;
        let other = there.filter(|there| there.user_id.as_ref().is_some_and(|id| *id != record.user_id));
        Ok(other.and_then(|there| there.login.or(there.user_id)))
    }

    /// An account whose platform has logins.
    fn account(&self, platform: &str, identity: &str) -> Result<(&Slot, &dyn Provider), FlowError> {
        let slot = self.keeper.slot(platform, identity).ok_or(FlowError::UnknownAccount)?;
        let provider = slot.provider.as_ref().ok_or(FlowError::UnknownAccount)?;
        Ok((slot, &**provider))
    }

    fn signer(&self) -> Result<&Signer, FlowError> {
        self.signer.as_deref().ok_or(FlowError::NoStateSecret)
    }
}

impl std::fmt::Debug for Flows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flows").field("keeper", &self.keeper).finish_non_exhaustive()
    }
}

// === impl Begun ===

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("cookie", &self.cookie.0).finish_non_exhaustive()
    }
}

/// Where the browser comes back to.
fn redirect_uri(flow: &FlowSpec, slot: &Slot, public_url: Option<&str>) -> Result<String, FlowError> {
    if let Some(set) = &flow.redirect_uri {
        return Ok(set.clone());
    }
    let base = public_url.map(str::trim).filter(|url| !url.is_empty()).ok_or(FlowError::NoPublicUrl)?;
    // Both names are of accounts that there are, not from outside.
    Ok(format!("{}/oauth/{}/{}/callback", base.trim_end_matches('/'), slot.platform, slot.identity))
}

#[cfg(test)]
mod tests;
