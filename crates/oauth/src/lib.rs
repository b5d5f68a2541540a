//! Logins on platforms, and the tokens they give.
//!
//! A [`Provider`] says where a platform's flows are and whose a token is. [`Flows`] log accounts in. A [`Keeper`]
//! keeps them: it tells connectors of their tokens, has them renewed by one process at a time before they end,
//! and says when only a person can help. What is stored is sealed by a [`Vault`].

mod exchange;
#[cfg(test)]
mod fake;
mod flows;
mod keeper;
mod provider;
mod record;
mod refresh;
mod refusal;
mod slot;
mod vault;
mod view;

pub use exchange::{DeviceCode, Exchange, Polled, Tokens};
pub use flows::{Begun, Callback, DeviceBegun, DevicePoll, FlowError, Flows, LoggedIn};
pub use keeper::{Backing, Fallback, Keeper, Stores};
pub use provider::{FlowSpec, Identity, Provider, ProviderError};
pub use record::Record;
pub use vault::{OpenError, Opened, SecretKeyError, Vault, secret_key};
pub use view::{AccountView, Origin};
