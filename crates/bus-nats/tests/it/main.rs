//! The driver against real nats-servers that each test starts for itself.

mod cluster;
mod conformance;
mod entering;
mod harness;
mod outages;
mod specifics;
mod state;
mod takeover;
