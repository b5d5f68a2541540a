//! The connector against the sandbox, over real sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod conformance;
mod corpus;
mod gaps;
mod listening;
mod refusals;
mod rig;
mod sessions;
mod speaking;
mod strict;
