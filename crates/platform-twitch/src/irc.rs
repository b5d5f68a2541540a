//! Twitch's IRC: grammar, session, transport.
//!
//! The session decides and the transport moves bytes: everything but [`transport`] and [`client`] is a
//! pure function of its inputs and the time.

pub mod budget;
//pub mod client;
pub(crate) mod ctcp;
pub mod grammar;
pub mod limits;
pub mod lines;
pub mod outgoing;
pub mod session;
pub mod text;
//pub mod transport;
pub mod verdict;
