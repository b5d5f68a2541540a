//! EventSub: subscriptions, and what they are told over WebSockets, webhooks and conduits.
//!
//! Everything is decided in [`Hub`], which is fed requests and times; the loops in `socket` and `webhook` move
//! bytes.

mod chat;
mod conduit;
mod connection;
#[cfg(test)]
mod corpus;
mod emit;
mod frames;
mod hub;
mod socket;
mod steer;
mod subscribe;
mod subscription;
mod types;
mod webhook;

pub use connection::SessionView;
pub use steer::{Emit, Sessions};

pub(super) use chat::event as chat_event;
pub(super) use conduit::{MAX_SHARDS, NewShard};
pub(super) use hub::Hub;
pub(super) use socket::upgrade;
pub(super) use subscribe::{Filter, Subscriber};
pub(super) use subscription::{NewSubscription, Transport};
pub(super) use types::CHAT_MESSAGE;
pub(super) use webhook::{MAX_POSTS, work};
