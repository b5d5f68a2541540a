//! What the account is in a channel, for who says something there by another way.

use super::Session;

// === impl Session ===

impl Session {
    /// Whether the account was moderator or broadcaster in this channel when that was last told.
    pub fn is_moderator(&self, channel: &str) -> bool {
        let channel = self.channels.find(channel).and_then(|place| self.channels.get(place));
        channel.is_some_and(|channel| channel.lane.is_moderator)
    }
}
