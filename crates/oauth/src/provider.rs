//! What a platform says of how one logs in to it.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

/// A platform whose accounts can be logged in. Its crate makes one from its settings.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// The platform's name, such as `twitch`.
    fn platform(&self) -> &'static str;

    /// Where its flows are, and for whom.
    fn flow(&self) -> &FlowSpec;

    /// Whose token it is, asked of the platform. Also how a token is validated.
    ///
    /// # Errors
    /// When the platform refuses the token, or gives no answer.
    async fn identify(&self, token: &SecretString) -> Result<Identity, ProviderError>;
}

/// The addresses of a platform's OAuth 2.0 flows (RFC 6749, RFC 8628), and the application that uses them.
#[derive(Debug, Clone)]
pub struct FlowSpec {
    /// Where a browser is sent to log in.
    pub authorize_url: String,
    /// Where codes and refresh tokens are turned into tokens.
    pub token_url: String,
    /// Where a device code is had; `None` where the platform has no such flow.
    pub device_url: Option<String>,
    /// The application.
    pub client_id: String,
    /// The application's secret; a public client has none.
    pub client_secret: Option<SecretString>,
    /// Where the browser comes back to; `None`: made from PUBLIC_URL.
    pub redirect_uri: Option<String>,
    /// What an account may be for, such as `bot` and `broadcaster`, with the scopes each asks for.
    pub identities: Vec<(&'static str, Vec<String>)>,
    /// How often a token is validated at least, where the platform asks for that.
    pub validate_every: Option<Duration>,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account's id.
    pub user_id: String,
    /// Its login.
    pub login: String,
    /// What the token may be used for.
    pub scopes: Vec<String>,
    /// How long the token lasts, where the platform says so.
    pub expires_in: Option<Duration>,
}

/// Why a platform did not do what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It refuses the token, the code or the refresh token for good.
    #[error("refused: {code}: {message}")]
    Refused {
        /// The platform's code, such as `invalid_grant`.
        code: String,
        /// For people; holds no secret.
        message: String,
    },
    /// Something that passes: out of reach, too many requests, an error of its own.
    #[error("unavailable: {0}")]
    Unavailable(String),
}
