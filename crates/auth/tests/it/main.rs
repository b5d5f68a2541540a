//! Auth from outside: events in, events with their users out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod ignoring;
mod matching;
mod outages;
mod writing;
