//! Twilio from outside: the corpus of signatures and forms, and the connector against the sandbox over real
//! sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says how much it compared"
)]

mod conformance;
mod conversations;
mod corpus;
mod forms;
mod hearing;
mod refusals;
mod rig;
mod saying;
mod signatures;
