//! Why an event became a dead letter.

use std::fmt;

/// The stable reasons of contract section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Nothing to say was found in it.
    NoText,
    /// Nothing in it says where it goes.
    NoPlatform,
    /// Its platform is known, its channel is not.
    NoChannel,
    /// It is for one user, and there is no such user there.
    NoRecipient,
    /// The platform cannot do what is asked.
    Unsupported,
    /// Its user had no connection until the deadline.
    UserOffline,
    /// No live instance served the platform or channel until the deadline.
    NoInstance,
    /// The deadline or `timeoutAt` passed while refusals or limits were temporary.
    Expired,
    /// The platform refused it for good.
    Rejected,
    /// The connection ended before the platform's verdict; it may have been said.
    Unverified,
    /// Too many events wait in its conversation.
    Overloaded,
    /// A policy forbids it.
    Denied,
    /// A handler failed on it each time.
    MaxDeliveries,
    /// It is not an event.
    InvalidEvent,
    /// It asks for an answer and matched no rule.
    NoRule,
}

// === impl Reason ===

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::NoText,
        Self::NoPlatform,
        Self::NoChannel,
        Self::NoRecipient,
        Self::Unsupported,
        Self::UserOffline,
        Self::NoInstance,
        Self::Expired,
        Self::Rejected,
        Self::Unverified,
        Self::Overloaded,
        Self::Denied,
        Self::MaxDeliveries,
        Self::InvalidEvent,
        Self::NoRule,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoText => "no_text",
            Self::NoPlatform => "no_platform",
            Self::NoChannel => "no_channel",
            Self::NoRecipient => "no_recipient",
            Self::Unsupported => "unsupported",
            Self::UserOffline => "user_offline",
            Self::NoInstance => "no_instance",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Unverified => "unverified",
            Self::Overloaded => "overloaded",
            Self::Denied => "denied",
            Self::MaxDeliveries => "max_deliveries",
            Self::InvalidEvent => "invalid_event",
            Self::NoRule => "no_rule",
        }
    }

    /// The reason this word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
