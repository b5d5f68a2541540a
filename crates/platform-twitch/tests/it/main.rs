//! Twitch from outside: the corpus of real lines, and the connector against a server on a real socket.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says how much it compared"
)]

mod account;
mod added;
mod conformance;
mod connection;
mod corpus;
mod eventsub;
mod eventsub_corpus;
mod eventsub_sandbox;
mod eventsub_webhook;
mod expected;
mod goldens;
mod helix;
mod lines;
mod rig;
mod snapshots;
mod speaking;
mod transports;
