//! What is shown of an account.

use chatbus_connector::CredentialState;
use chatbus_event::Timestamp;
use serde::{Serialize, Serializer};

/// Where an account's token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// There is none.
    #[default]
    Nowhere,
    /// The settings; there is no refresh token with it.
    Settings,
    /// A login, which is in the store.
    Store,
}

/// An account, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// The platform.
    pub platform: String,
    /// What the account is for.
    pub identity: String,
    /// Its id on the platform, once it is known.
    pub user_id: Option<String>,
    /// Its login, once it is known.
    pub login: Option<String>,
    /// What its token may be used for.
    pub scopes: Vec<String>,
    /// When its token ends, where that is known.
    pub expires_at: Option<Timestamp>,
    /// How good it is: `missing`, `ok`, `degraded` or `needs_reauth`.
    #[serde(serialize_with = "write_state")]
    pub state: CredentialState,
    /// The scopes that its identity asks for and the token lacks.
    pub missing: Vec<String>,
    /// Where the token comes from.
    pub origin: Origin,
    /// Why it is no better than that, for people.
    pub reason: Option<String>,
}

/// A state's name, as it is shown.
pub(crate) fn state_name(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Missing => "missing",
        CredentialState::Ok => "ok",
        CredentialState::Degraded => "degraded",
        CredentialState::NeedsReauth => "needs_reauth",
    }
}

fn write_state<S: Serializer>(state: &CredentialState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state_name(*state))
}

// === impl AccountView ===

impl AccountView {
    /// Whether people mean this account by its identity, login or user id.
    pub(crate) fn is_called(&self, who: &str) -> bool {
        self.identity == who
            || self.user_id.as_deref() == Some(who)
            || self.login.as_deref().is_some_and(|login| login.eq_ignore_ascii_case(who))
    }
}
