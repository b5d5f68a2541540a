//! Who a line is from.

use super::tag_set::TagSet;
use crate::irc::grammar::Message;

/// A user, as far as a line tells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sender<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) login: Option<&'a str>,
    pub(super) shown: Option<&'a str>,
}

// === impl Sender ===

impl<'a> Sender<'a> {
    /// From the sender's nickname and the tags; a line from the server itself may name someone too.
    pub(super) fn of(message: &Message<'a>, tags: &TagSet<'a>) -> Self {
        let nick = message.prefix().and_then(|prefix| prefix.nick);
        Self {
            id: tags.get("user-id"),
            login: nick.or_else(|| tags.get("login")),
            shown: tags.get("display-name"),
        }
    }

    /// The name as shown; the login where the user has no other. Twitch lets names end in a space.
    pub(super) fn display_name(&self) -> Option<&'a str> {
        let shown = self.shown.map(str::trim).filter(|name| !name.is_empty());
        shown.or(self.login)
    }

    /// Whether the line names anyone.
    pub(super) fn is_someone(&self) -> bool {
        self.id.is_some() || self.login.is_some() || self.shown.is_some()
    }
}
