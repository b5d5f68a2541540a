//! The platform against a fake of it, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod fake;
mod reading;
mod rig;
