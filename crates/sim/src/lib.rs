//! A seeded simulation of the egress engine, its dispatcher and its takeover, as shipped.
//!
//! A seed makes a [`Plan`]: instances, events, users that come and go, and faults. [`run()`] lives through
//! it in paused time on one thread, so that the same seed gives the same run, and says what did not hold:
//! each event has one outcome, each failure one dead letter, nothing is left, nothing is said twice
//! without a fault that explains it, nobody hears what is not for them, and conversations keep their order.
//!
//! Every instance runs as a process would: it dies at any await, freezes while time goes on, is cut off
//! from the bus and the state, sees answers late or never, and its clocks are a little wrong. The servers
//! behind are the in-memory drivers, which are right; what is wrong is the way there.

mod bus;
mod check;
mod clock;
mod death;
mod link;
mod node;
mod ordered;
mod plan;
mod platform;
mod process;
mod rng;
mod shrink;
mod state;
mod trace;
mod world;
mod wrong;

pub use plan::{Fault, Plan};
pub use shrink::shrink;
pub use world::{Ran, run};
pub use wrong::Wrong;
