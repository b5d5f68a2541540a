//! Tokens for what a client holds already: a refresh token, the code of a redirect, its own secret.

use std::time::{Duration, Instant};

use super::{Auth, Denied, Issued, MAX_HELD, Scopes, Wanted};

/// A code of a redirect is good for so long.
const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// What a refresh token stands for.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    pub(super) client_id: String,
    pub(super) login: String,
    pub(super) scopes: Scopes,
}

/// What a code stands for.
#[derive(Debug, Clone)]
pub(super) struct Code {
    client_id: String,
    redirect_uri: String,
    login: String,
    scopes: Scopes,
    expires: Instant,
}

// === impl Auth ===

impl Auth {
    /// A new pair for a refresh token, which is used up by it. The old access token lives on.
    pub(in super::super) fn refresh(
        &mut self,
        client_id: &str,
        refresh_token: &str,
        now: Instant,
    ) -> Result<Issued, Denied> {
        let invalid = Denied::bad("Invalid refresh token");
        let held = self.refreshes.get(refresh_token).filter(|held| held.client_id == client_id);
        let held = held.cloned().ok_or(invalid)?;
        if self.refused.get(&held.login).is_some() {
            return Err(invalid);
        }
        self.refreshes.remove(refresh_token);
        if self.refreshed.len() < MAX_HELD || self.refreshed.contains_key(&held.login) {
            *self.refreshed.entry(held.login.clone()).or_default() += 1;
        }
        let wanted = Wanted {
            client_id,
            login: Some(&held.login),
            scopes: held.scopes,
            lifetime: None,
            refreshable: true,
        };
        Ok(self.issue(wanted, now))
    }

    /// A code for a redirect, of the account that grants; `None` when it denies.
    pub(in super::super) fn authorize(
        &mut self,
        client_id: &str,
        redirect_uri: &str,
        scopes: Scopes,
        now: Instant,
    ) -> Option<String> {
        let login = self.grants_as.clone()?;
        let code = self.fresh();
        let held = Code {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            login,
            scopes,
            expires: now.checked_add(CODE_LIFETIME).unwrap_or(now),
        };
        self.codes.put(&code, held);
        Some(code)
    }

    /// A token for a code, which is used up by it.
    pub(in super::super) fn exchange_code(
        &mut self,
        client_id: &str,
        code: &str,
        redirect_uri: &str,
        now: Instant,
    ) -> Result<Issued, Denied> {
        let held = self.codes.remove(code).filter(|held| held.client_id == client_id && held.expires > now);
        let held = held.ok_or(Denied::bad("Invalid authorization code"))?;
        if held.redirect_uri != redirect_uri {
            return Err(Denied::bad("Parameter redirect_uri does not match registered URI"));
        }
        let wanted = Wanted {
            client_id,
            login: Some(&held.login),
            scopes: held.scopes,
            lifetime: None,
            refreshable: true,
        };
        Ok(self.issue(wanted, now))
    }

    /// A token of the application itself.
    pub(in super::super) fn app_token(&mut self, client_id: &str, now: Instant) -> Issued {
        let wanted =
            Wanted { client_id, login: None, scopes: Scopes::new(), lifetime: None, refreshable: false };
        self.issue(wanted, now)
    }

    /// Whether the application is who it says it is; without a secret set here, any is right.
    pub(in super::super) fn check_secret(&self, client_id: &str, secret: Option<&str>) -> Result<(), Denied> {
        match self.secrets.get(client_id) {
            Some(right) if secret != Some(right) => {
                Err(Denied { status: 403, message: "invalid client secret" })
            }
            _ => Ok(()),
        }
    }
}
