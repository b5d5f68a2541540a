//! Twitch: chat over IRC.
