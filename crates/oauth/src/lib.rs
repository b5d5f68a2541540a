//! Logins on platforms, and the tokens they give.

mod exchange;
mod provider;
mod record;
mod refusal;
mod vault;

pub use exchange::{DeviceCode, Exchange, Polled, Tokens};
pub use provider::{FlowSpec, Identity, Provider, ProviderError};
pub use record::Record;
pub use vault::{OpenError, Opened, SecretKeyError, Vault, secret_key};
