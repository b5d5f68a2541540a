//! The NATS client protocol, as far as this driver speaks it.
//!
//! The driver keeps its own connection because three of its promises cannot be had through a client
//! that reconnects by itself: nothing handed to one connection may be sent on the next; a message
//! whose headers are no UTF-8 must not end the connection that reads it, or it would be redelivered
//! to a reconnecting client for ever; and a publish costs a copy of the message and no more. A
//! [`Session`] is therefore one connection and ends with it.

mod dial;
mod frames;
mod lines;
mod session;

pub(crate) use dial::dial;
pub(crate) use frames::Inbound;
pub(crate) use session::{Bounds, Session, Subscribed};
