//! Twitch's IRC: grammar, session, transport.
//!
//! The session decides and the transport moves bytes: everything but [`transport`], `link` and `client` is
//! a pure function of its inputs and the time.

pub(crate) mod auth;
pub mod budget;
pub(crate) mod client;
pub(crate) mod ctcp;
pub mod grammar;
pub mod limits;
pub mod lines;
mod link;
mod news;
pub mod outgoing;
pub(crate) mod outlet;
pub mod session;
pub mod text;
pub mod transport;
pub mod verdict;
