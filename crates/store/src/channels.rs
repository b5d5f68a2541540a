//! Channels that are joined beside the configured ones.

use async_trait::async_trait;

use crate::StoreError;

/// A channel that was added at run time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// The platform.
    pub platform: String,
    /// The channel, in the platform's form.
    pub name: String,
}

/// Channels that were added at run time.
#[async_trait]
pub trait Channels: Send + Sync {
    /// All of them, by platform and name.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn channels(&self) -> Result<Vec<Channel>, StoreError>;

    /// Adds one; gives whether it is new.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn add_channel(&self, channel: &Channel) -> Result<bool, StoreError>;

    /// Removes one; gives whether there was one.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn remove_channel(&self, channel: &Channel) -> Result<bool, StoreError>;
}
