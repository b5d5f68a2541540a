//! Persistence from outside: messages in, timelines and dead letters in the store, replays on the bus.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod keeping;
mod letters;
mod outages;
mod replays;
mod timelines;
mod ways;
