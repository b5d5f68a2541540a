//! The service against a model on a real socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answering;
mod bus;
mod conversations;
mod faults;
mod rig;
mod stopping;
mod tls;
