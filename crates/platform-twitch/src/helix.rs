//! Twitch's HTTP interface, Helix: asking it, and saying things by it.
//!
//! [`client`] asks and knows what an unanswered question may have done; [`chat`] and [`whispers`] turn answers
//! into verdicts by one table each, which are pure; [`users`] finds ids by logins.

mod application;
pub mod client;
mod limit;

pub use client::{Helix, HelixAnswer, HelixError, Who};
