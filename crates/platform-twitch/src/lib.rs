//! Twitch: chat over IRC, and speaking by Helix.
//!
//! [`Factory`] reads the settings and makes a [`TwitchConnector`], which keeps one connection to
//! Twitch's IRC for reading and speaking. Inside, [`irc`] speaks the protocol and [`normalize`] turns its
//! lines into events; the decisions of both are pure, and only the transport does I/O. [`helix`] asks Twitch's
//! HTTP interface, by which the sink speaks where the token may; [`oauth`] says how that token is had.

mod added;
mod channel;
mod config;
mod connector;
pub mod eventsub;
mod factory;
pub mod helix;
pub mod irc;
pub mod normalize;
pub mod oauth;
mod sink;

pub use channel::{channel_name, user_id};
pub use config::{ApiConfig, EventSubTransport, Read, SendBy, TwitchConfig};
pub use connector::TwitchConnector;
pub use factory::Factory;
