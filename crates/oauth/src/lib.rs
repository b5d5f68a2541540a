//! Logins on platforms, and the tokens they give.

mod provider;

pub use provider::{FlowSpec, Identity, Provider, ProviderError};
