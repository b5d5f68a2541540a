//! The real binary from outside: child processes, real sockets, a real nats-server, the sandbox in a
//! process of its own. What breaks here breaks for a user.
//!
//! Each test runs its short form; `CHATBUS_SOAK=1` makes it the long one (`cargo xtask soak`).
//! `CHATBUS_SEED` repeats the moments at which a fault test strikes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says what it did"
)]

mod corpus;
mod demo;
mod egress;
mod faults;
mod freeze;
mod gateway;
mod harness;
mod instances;
mod kills;
mod malformed;
mod ops;
mod outages;
mod pair;
mod pipeline;
mod pipeline_faults;
mod platforms;
mod prefix;
mod settings;
mod shapes;
mod state;
mod stop;
