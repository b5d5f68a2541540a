//! What operators see of the account: what is known of its token, and what the server said to it.

use chatbus_connector::{Account, AuthState, Credential, CredentialState};

use super::limits::{SCOPE_READ, SCOPE_SPEAK};

/// Keeps what the server said beside what is known of the token.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    /// Whether there is an account that nobody has logged in with yet.
    awaits_login: bool,
    /// Whether somebody keeps the account's tokens.
    is_kept: bool,
    /// The newest token that a login was refused with, until one is not.
    refused: Option<u64>,
    /// Whose id the server told, and the id.
    told: Option<(String, String)>,
}

// === impl Auth ===

impl Auth {
    pub(crate) fn of(account: &Account, awaits_login: bool) -> Self {
        Self { awaits_login, is_kept: is_kept(account), ..Self::default() }
    }

    /// A login with this token was refused.
    pub(crate) fn refused(&mut self, generation: u64) {
        self.refused = Some(generation);
    }

    /// The account logged in, or is told its user id.
    pub(crate) fn logged_in(&mut self, login: &str, user_id: Option<String>) {
        self.refused = None;
        if let Some(user_id) = user_id {
            self.told = Some((login.to_owned(), user_id));
        }
    }

    /// What is shown.
    pub(crate) fn shown(&self, credential: &Credential) -> AuthState {
        let mut auth = credential.auth_state(&[SCOPE_READ, SCOPE_SPEAK]);
        auth.login = auth.login.map(|login| login.to_ascii_lowercase());
        if let (None, Some((login, user_id))) = (&auth.user_id, &self.told)
            && auth.login.as_ref() == Some(login)
        {
            auth.user_id = Some(user_id.clone());
        }
        match credential.state {
            CredentialState::Missing if self.awaits_login => auth.state = "needs_reauth",
            CredentialState::Ok | CredentialState::Degraded
                if self.refused == Some(credential.generation) =>
            {
                // Where somebody keeps the account it is about to be renewed, or to be told that it cannot be.
                auth.state = if self.is_kept { "degraded" } else { "needs_reauth" };
            }
            _ => {}
        }
        auth
    }
}

/// Whether somebody tells of the account's tokens; one that is fixed stays as it is.
pub(crate) fn is_kept(account: &Account) -> bool {
    account.changes().has_changed().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_shown_as_its_token_and_the_server_have_it() {
        let ok = Credential {
            scopes: vec!["chat:read".to_owned()],
            ..Credential::ready("t".into(), Some("Bot".to_owned()), None)
        };
        let state = |state| Credential { state, ..ok.clone() };
        for (credential, awaits_login, is_kept, refused, expected) in [
            (Credential::default(), false, false, None, "anonymous"),
            (Credential::default(), true, true, None, "needs_reauth"),
            (ok.clone(), true, true, None, "ok"),
            (ok.clone(), false, true, Some(1), "degraded"),
            (ok.clone(), false, false, Some(1), "needs_reauth"),
            (ok.clone(), false, true, Some(0), "ok"),
            (state(CredentialState::Degraded), false, true, None, "degraded"),
            (state(CredentialState::NeedsReauth), false, true, Some(1), "needs_reauth"),
        ] {
            let mut auth = Auth { awaits_login, is_kept, ..Auth::default() };
            if let Some(generation) = refused {
                auth.refused(generation);
            }
            assert_eq!(auth.shown(&credential).state, expected, "{credential:?} {auth:?}");
            auth.logged_in("bot", None);
            assert_ne!(auth.shown(&ok).state, "needs_reauth");
        }
    }

    #[test]
    fn the_id_that_the_server_told_is_shown_for_that_login_only_and_missing_scopes_are_named() {
        let mut auth = Auth::default();
        auth.logged_in("bot", Some("99".to_owned()));
        auth.logged_in("bot", None);
        let credential = |login: &str, user_id: Option<&str>| Credential {
            scopes: vec!["chat:read".to_owned()],
            ..Credential::ready("t".into(), Some(login.to_owned()), user_id.map(str::to_owned))
        };
        let shown = auth.shown(&credential("Bot", None));
        assert_eq!((shown.login.as_deref(), shown.user_id.as_deref()), (Some("bot"), Some("99")));
        assert_eq!(shown.missing_scopes, ["chat:edit"]);
        assert_eq!(auth.shown(&credential("bot", Some("7"))).user_id.as_deref(), Some("7"));
        assert_eq!(auth.shown(&credential("other", None)).user_id, None);
    }
}
