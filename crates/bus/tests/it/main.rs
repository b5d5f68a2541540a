//! The in-memory driver and the loops of handlers, from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod conformance;
mod fixture;
mod gate;
mod handler;
