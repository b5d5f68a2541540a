//! Twitch's HTTP interface, Helix: asking it, and saying things by it.
//!
//! [`client`] asks, and knows what a question without an answer may have done; [`verdict`] says what answers
//! mean for what was to be said, and is pure, as `pace` is; [`users`] finds ids by logins. `chat` and `whispers`
//! bring a text there part by part.

mod answer;
mod application;
pub(crate) mod chat;
pub mod client;
mod limit;
mod pace;
pub(crate) mod progress;
mod question;
pub mod users;
pub mod verdict;
pub(crate) mod whispers;

pub use answer::{HelixAnswer, HelixError};
pub use client::{Helix, Who};
