//! Twitch EventSub: what happens in channels, told over a WebSocket, a conduit or a webhook.
//!
//! [`frames`] reads what Twitch sends, [`session`] decides over all WebSocket connections, [`subscriptions`]
//! says what is to be subscribed to, and [`normalize`] turns notifications into events. All of these are
//! pure; only the client, the runner of the subscriptions and the webhook do I/O.

pub(crate) mod board;
pub(crate) mod client;
mod conduit;
pub mod frames;
pub mod normalize;
pub(crate) mod recent;
pub mod session;
pub(crate) mod socket;
pub mod subscriptions;
pub mod types;
pub(crate) mod webhook;
mod work;
