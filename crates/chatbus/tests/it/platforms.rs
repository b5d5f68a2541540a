//! Twitch, Discord and Twilio at once, each on its sandbox, as a user runs them.

mod chaos;
mod logins;
mod rig;
mod sending;
