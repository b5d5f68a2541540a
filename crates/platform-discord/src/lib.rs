//! Discord: chat over the gateway and REST.
//!
//! [`Factory`] reads the settings and makes a [`DiscordConnector`]. It reads over the gateway, whose frames,
//! heartbeats and handshakes are twilight's; which session goes on where, what was missed, and what is told of it
//! is decided in `gateway`. It speaks over REST. [`normalize`] turns what is dispatched into events.

mod channel;
mod config;
mod connector;
mod directory;
mod factory;
mod gateway;
pub mod normalize;
mod rest;
mod sink;
mod text;
mod verdict;

pub use channel::{channel_id, user_id};
pub use config::{ApiUrl, BadUrl, DiscordConfig, GatewayUrl};
pub use connector::DiscordConnector;
pub use factory::Factory;

/// The platform's name.
pub(crate) const PLATFORM: &str = "discord";
