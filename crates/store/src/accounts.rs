//! Accounts on platforms, whose tokens stand here encrypted.

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::StoreError;

/// An account on a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The platform.
    pub platform: String,
    /// What it is for, such as `bot` or `broadcaster`.
    pub identity: String,
    /// The user's id there, once it is known.
    pub user_id: Option<String>,
    /// The user's login there, once it is known.
    pub login: Option<String>,
    /// The tokens, encrypted by who writes them: the store has no key.
    pub sealed: Bytes,
    /// When it was written.
    pub updated_at: Timestamp,
    /// Counts the writes; 0 before the first.
    pub version: u64,
}

/// Accounts on platforms.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// All accounts, by platform and identity.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn accounts(&self) -> Result<Vec<Account>, StoreError>;

    /// Writes an account over the version that it says it has (0: there is none); gives the new version.
    ///
    /// # Errors
    /// [`Conflict`](crate::StoreErrorKind::Conflict) when another version stands there; else when the store is
    /// out of reach.
    async fn put_account(&self, account: &Account) -> Result<u64, StoreError>;

    /// Removes an account; gives whether there was one.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn remove_account(&self, platform: &str, identity: &str) -> Result<bool, StoreError>;
}
