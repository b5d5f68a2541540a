//! A browser comes back.

use bytes::Bytes;
use chatbus_state::{Expected, Key, Space};
use secrecy::SecretString;

use super::ticket::Ticket;
use super::{FlowError, Flows, LoggedIn, redirect_uri};

/// What a browser comes back with.
#[derive(Clone, Copy, Default)]
pub struct Callback<'a> {
    /// The query's `code`.
    pub code: Option<&'a str>,
    /// Its `state`.
    pub state: Option<&'a str>,
    /// Its `error`, when the person or the platform said no.
    pub error: Option<&'a str>,
    /// Its `error_description`.
    pub error_description: Option<&'a str>,
    /// The `Cookie` header.
    pub cookies: Option<&'a str>,
}

/// The longest text of a platform that is passed on, in characters.
const MAX_TEXT: usize = 200;

/// The name of the cookie of a login. One for each account, so that two can be logged in side by side.
pub(super) fn cookie_name(platform: &str, identity: &str) -> String {
    format!("chatbus_oauth_{platform}_{identity}")
}

// === impl Flows ===

impl Flows {
    /// Completes a login for which the browser came back to the callback address of this account.
    ///
    /// The checks, in order: the state's signature, that it is of this account, its time, the browser, what the
    /// platform said, and that it was not used before. A platform whose one redirect address is set has all
    /// its browsers come back to it: there the state decides which of its accounts it is.
    ///
    /// # Errors
    /// Which check failed; or that the platform, the shared state or the store did not do its part. Nothing was
    /// stored then.
    pub async fn complete(
        &self,
        platform: &str,
        identity: &str,
        public_url: Option<&str>,
        callback: Callback<'_>,
    ) -> Result<LoggedIn, FlowError> {
        let done = self.try_complete(platform, identity, public_url, callback).await;
        if let Err(error) = &done {
            tracing::warn!(event = "oauth.login.failed", platform, identity, errorCode = error.code(), reason = %error, "login failed");
        }
        done
    }

    async fn try_complete(
        &self,
        platform: &str,
        identity: &str,
        public_url: Option<&str>,
        callback: Callback<'_>,
    ) -> Result<LoggedIn, FlowError> {
        self.account(platform, identity)?;
        let signer = self.signer()?;
        let ticket = signer.read(callback.state.ok_or(FlowError::BadState)?)?;
        let (slot, provider) = self.account(&ticket.platform, &ticket.identity)?;
        let flow = provider.flow();
        let is_here =
            ticket.platform == platform && (ticket.identity == identity || flow.redirect_uri.is_some());
        if !is_here {
            return Err(FlowError::BadState);
        }
        if ticket.has_ended(self.backing.runtime.clock.now()) {
            return Err(FlowError::StateExpired);
        }
        let name = cookie_name(&ticket.platform, &ticket.identity);
        let browser = cookie(callback.cookies.unwrap_or_default(), &name).ok_or(FlowError::WrongBrowser)?;
        if !ticket.is_of(browser) {
            return Err(FlowError::WrongBrowser);
        }
        if let Some(error) = callback.error {
            return Err(FlowError::Denied(shown(callback.error_description.unwrap_or(error))));
        }
        let code = callback.code.filter(|code| !code.is_empty()).ok_or(FlowError::MissingCode)?;
        self.claim(&ticket).await?;
        let redirect_uri = redirect_uri(flow, slot, public_url)?;
        let (code, verifier) = (SecretString::from(code), signer.verifier(&ticket, browser));
        let tokens = self.exchange.code(flow, &code, &verifier, &redirect_uri).await;
        self.log_in(slot, provider, tokens.map_err(FlowError::ExchangeFailed)?).await
    }

    /// Takes the state, so that nobody can use it again; it is forgotten long after its end.
    async fn claim(&self, ticket: &Ticket) -> Result<(), FlowError> {
        let key = Key::parse(&format!("oauth.state.{}", ticket.nonce)).map_err(|_| FlowError::BadState)?;
        let value = Bytes::from_static(b"used");
        match self.backing.state.put(Space::Notes, &key, value, Expected::Absent).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(FlowError::StateUsed),
            Err(error) => Err(FlowError::StateUnavailable(error.to_string())),
        }
    }
}

// === impl Callback ===

impl std::fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callback").field("error", &self.error).finish_non_exhaustive()
    }
}

/// The value of a cookie in a `Cookie` header (RFC 6265, section 4.2.1).
fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|pair| pair.0 == name)
        .map(|pair| pair.1)
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let header = "a=1; chatbus_oauth_somewhere_bot=xyz; b=2";
        let name = cookie_name("somewhere", "bot");
        assert_eq!(cookie(header, &name), Some("xyz"));
        assert_eq!(cookie(header, "b"), Some("2"));
        for missing in ["", "x", "chatbus_oauth", "oauth_somewhere_bot"] {
            assert_eq!(cookie(header, missing), None, "{missing}");
        }
        assert_eq!(cookie("", &name), None);
    }
}
