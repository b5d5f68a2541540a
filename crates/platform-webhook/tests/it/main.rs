//! Webhooks both ways, over real sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod conformance;
mod fake;
mod inbox;
mod outbox;
mod rig;
