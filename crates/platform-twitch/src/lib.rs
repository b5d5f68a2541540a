//! Twitch: chat over IRC.

mod channel;
pub mod irc;

pub use channel::{channel_name, user_id};
