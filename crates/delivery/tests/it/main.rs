//! The engine over the in-memory bus and a scripted platform, in paused time.
#![cfg(test)]

mod cluster;
mod cost;
mod counting;
mod found;
mod nodes;
mod order;
mod outcomes;
mod policy;
mod recovery;
mod rejoin;
mod sink;
mod waiting;
mod world;
