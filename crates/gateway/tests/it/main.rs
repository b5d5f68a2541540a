//! The gateway on real sockets, with shared state in memory and a bus that the test answers for.

#![cfg(test)]

mod bots;
mod delivery;
mod fixture;
mod hostile;
mod resuming;
mod sends;
mod sessions;
mod sharing;
