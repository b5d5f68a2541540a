//! Gateway tokens, as the store has them beside the shared state.

use async_trait::async_trait;
use bytes::Bytes;

use crate::StoreError;

/// A token: never the secret, only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The SHA-256 of the secret, in hex.
    pub hash: String,
    /// What the gateway keeps of it.
    pub record: Bytes,
}

/// Gateway tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Writes a token, in place of one with the same hash.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn put_token(&self, token: &TokenRow) -> Result<(), StoreError>;

    /// All tokens, by hash.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError>;

    /// Removes a token; gives whether there was one.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn remove_token(&self, hash: &str) -> Result<bool, StoreError>;
}
