//! Who a line is from.

use std::borrow::Cow;

use super::tag_set::TagSet;
use crate::irc::grammar::Message;

/// A user, as far as a line tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Sender<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) login: Option<Cow<'a, str>>,
    pub(super) shown: Option<Cow<'a, str>>,
}

// === impl Sender ===

impl<'a> Sender<'a> {
    /// From the sender's nickname and the tags; a line from the server itself may name someone too.
    pub(super) fn of(message: &Message<'a>, tags: &'a TagSet<'_>) -> Self {
        let tag = |name: &str| tags.get(name).map(Cow::Borrowed);
        let nick = message.prefix().and_then(|prefix| prefix.nick).map(Cow::Borrowed);
        Self { id: tag("user-id"), login: nick.or_else(|| tag("login")), shown: tag("display-name") }
    }

    /// The name as shown; the login where the user has no other. Twitch lets names end in a space.
    pub(super) fn display_name(&self) -> Option<&str> {
        let shown = self.shown.as_deref().map(str::trim).filter(|name| !name.is_empty());
        shown.or(self.login.as_deref())
    }

    /// Whether the line names anyone.
    pub(super) fn is_someone(&self) -> bool {
        self.id.is_some() || self.login.is_some() || self.shown.is_some()
    }
}
