//! As whom we log in: as the account while its token may be tried, else as a guest, who can only read.
//!
//! Twitch keeps a connection whose token was renewed, so a new token of the same account changes nothing
//! before the next login. A token that a login was refused with is not tried again as long as somebody
//! keeps the account: there will be another one, or a person has to log in.

use std::time::{Duration, Instant};

use chatbus_connector::{Credential, CredentialState};
use chatbus_event::Entropy;
use chatbus_runtime::Backoff;
use secrecy::SecretString;

use super::{News, Output, Session};
use crate::irc::limits::{LOGIN_RETRY_INITIAL, LOGIN_RETRY_MAX, SCOPE_SPEAK};

/// See the module.
#[derive(Debug)]
pub(super) struct Identity {
    credential: Credential,
    /// Whether another token may come.
    is_kept: bool,
    awaits_login: bool,
    /// The name by which Twitch knows readers without an account.
    guest: String,
    /// As whom the newest connection logs in; `None` is a guest.
    used: Option<Used>,
    /// The newest token that was refused.
    refused: Option<u64>,
    /// No token is tried before.
    not_before: Option<Instant>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Used {
    login: String,
    generation: u64,
}

/// Whether anything can be said with what is known of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// Yes, over a connection of the account.
    Able,
    /// There is no account.
    ReadOnly,
    /// A person has to log in first.
    NeedsReauth,
    /// The token does not allow it.
    MissingScope,
}

/// What follows from a refused login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The token that was refused; none of a guest.
    pub(super) generation: Option<u64>,
    /// How long to wait before the next login; nothing when it is another one's.
    pub(super) wait: Duration,
}

// === impl Identity ===

impl Identity {
    pub(super) fn new(
        credential: Credential,
        is_kept: bool,
        awaits_login: bool,
        entropy: &dyn Entropy,
    ) -> Self {
        let mut identity = Self {
            credential,
            is_kept,
            awaits_login,
            guest: format!("justinfan{}", 10_000 + entropy.next_u64() % 80_000),
            used: None,
            refused: None,
            not_before: None,
            backoff: Backoff::new(LOGIN_RETRY_INITIAL, LOGIN_RETRY_MAX),
        };
        identity.assume();
        identity
    }

    /// The name we are known by on the newest connection.
    pub(super) fn nick(&self) -> &str {
        self.used.as_ref().map_or(&self.guest, |used| &used.login)
    }

    /// Whether the newest connection only reads.
    pub(super) fn is_guest(&self) -> bool {
        self.used.is_none()
    }

    /// This is known of the account from now on.
    pub(super) fn told(&mut self, credential: Credential) {
        if credential.state == CredentialState::NeedsReauth {
            // Whatever comes next, a person has brought it.
            self.not_before = None;
            self.backoff.reset();
        }
        self.credential = credential;
    }

    /// A connection is about to log in: as this, and with this token if it is no guest.
    pub(super) fn assume(&mut self) -> Option<SecretString> {
        let (login, token) = self.wanted().map(|(login, token)| (login, token.clone())).unzip();
        let generation = self.credential.generation;
        self.used = login.map(|login| Used { login, generation });
        token
    }

    /// Whether a login now would be as somebody else.
    pub(super) fn is_outdated(&self) -> bool {
        let wanted = self.wanted().map(|(login, _)| login);
        wanted.as_deref() != self.used.as_ref().map(|used| used.login.as_str())
    }

    /// The server took the login.
    pub(super) fn accepted(&mut self) {
        if self.used.is_some() {
            self.backoff.reset();
            self.refused = None;
        }
    }

    /// The server refused the login. Whoever keeps the account may have another token at once; only when
    /// that one is refused too the next has to wait.
    pub(super) fn refused(&mut self, entropy: &dyn Entropy, now: Instant) -> Refusal {
        let is_first = self.backoff.attempts() == 0;
        let wait = self.backoff.next(entropy);
        let generation = self.used.as_ref().map(|used| used.generation);
        if generation.is_none() || !self.is_kept {
            return Refusal { generation, wait };
        }
        self.refused = generation;
        self.not_before = (!is_first).then(|| now + wait);
        Refusal { generation, wait: Duration::ZERO }
    }

    /// When a token may be tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.not_before
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.not_before.take_if(|at| now >= *at);
    }

    pub(super) fn voice(&self) -> Voice {
        match self.credential.state {
            CredentialState::Missing if !self.awaits_login => Voice::ReadOnly,
            CredentialState::Missing | CredentialState::NeedsReauth => Voice::NeedsReauth,
            CredentialState::Ok | CredentialState::Degraded => {
                let lacks = self.credential.missing_scopes(&[SCOPE_SPEAK]);
                if lacks.is_empty() { Voice::Able } else { Voice::MissingScope }
            }
        }
    }

    /// The login and the token to log in with; none is a guest's.
    fn wanted(&self) -> Option<(String, &SecretString)> {
        let Credential { generation, state, token, login, .. } = &self.credential;
        let is_good = matches!(state, CredentialState::Ok | CredentialState::Degraded);
        let may_try = self.not_before.is_none() && self.refused != Some(*generation);
        let login = login.as_deref().filter(|login| is_good && may_try && !login.is_empty())?;
        Some((login.to_ascii_lowercase(), token.as_ref()?))
    }
}

// === impl Session ===

impl Session {
    /// Follows what is known of the account.
    pub(super) fn told(&mut self, credential: Credential, now: Instant, out: &mut Vec<Output>) {
        let could_speak = self.can_speak();
        self.identity.told(credential);
        if could_speak && !self.can_speak() {
            self.silent_since = now;
        }
        if self.identity.voice() == Voice::NeedsReauth {
            self.note_mute();
        }
        out.push(Output::News(News::Allowance));
        self.follow_account(now);
    }
}
