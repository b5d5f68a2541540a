//! One token: as it is asked for, held, checked, shown.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Scopes;

/// A token in force or not.
#[derive(Debug, Clone)]
pub(in super::super) struct Token {
    pub(in super::super) client_id: String,
    /// Whose it is; an app's has nobody.
    pub(in super::super) login: Option<String>,
    pub(in super::super) scopes: Scopes,
    pub(super) expires: Instant,
    pub(super) revoked: bool,
    pub(super) refresh: Option<String>,
}

/// What a token is now.
#[derive(Debug)]
pub(in super::super) enum Check<'a> {
    /// Never given out here.
    Unknown,
    /// Expired or revoked.
    Dead,
    Good(&'a Token),
}

/// A token, just given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issued {
    /// The access token, without `oauth:`.
    pub access_token: String,
    /// The refresh token, when there is one.
    pub refresh_token: Option<String>,
    /// Seconds it is good for.
    pub expires_in: u64,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Whose it is.
    pub login: Option<String>,
}

/// A token as tests read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// The access token.
    pub access_token: String,
    /// The refresh token that belongs to it and is not used up.
    pub refresh_token: Option<String>,
    /// The application it was given to.
    pub client_id: String,
    /// Whose it is; an app's has nobody.
    pub login: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// `good`, `expired` or `revoked`.
    pub state: &'static str,
    /// Seconds left.
    pub expires_in: u64,
}

/// A token to be given.
#[derive(Debug, Clone)]
pub(in super::super) struct Wanted<'a> {
    pub(in super::super) client_id: &'a str,
    pub(in super::super) login: Option<&'a str>,
    pub(in super::super) scopes: Scopes,
    pub(in super::super) lifetime: Option<Duration>,
    pub(in super::super) refreshable: bool,
}

// === impl Token ===

impl Token {
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.revoked || self.expires <= now
    }

    /// Whole seconds it is still good for.
    pub(in super::super) fn expires_in(&self, now: Instant) -> u64 {
        self.expires.saturating_duration_since(now).as_secs()
    }

    pub(super) fn state(&self, now: Instant) -> &'static str {
        if self.revoked {
            "revoked"
        } else if self.expires <= now {
            "expired"
        } else {
            "good"
        }
    }
}
