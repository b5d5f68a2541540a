//! The publisher from outside: real time, real files, a bus whose answers the test decides.
#![cfg(test)]

mod fake_bus;
mod kill;
mod publisher;
mod rig;
