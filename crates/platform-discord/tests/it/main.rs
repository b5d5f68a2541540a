//! The connector against the sandbox, over real sockets.

mod gaps;
mod listening;
mod refusals;
mod rig;
mod sessions;
mod speaking;
