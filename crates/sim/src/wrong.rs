//! What did not hold.

use std::fmt;

/// What did not hold, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// An event without an outcome, or left where nobody takes it.
    Lost(String),
    /// An outcome too many, or one that is none.
    Outcomes(String),
    /// Failures and dead letters that do not match.
    Letters(String),
    /// Said more than once, and no fault is why.
    Repeated(String),
    /// Heard by who must not hear it.
    Audience(String),
    /// An outcome that is not what happened.
    Untrue(String),
    /// Said before what came first.
    Order(String),
    /// It did not come to an end.
    Unsettled(String),
}

// === impl Wrong ===

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Lost(words)
        | Self::Outcomes(words)
        | Self::Letters(words)
        | Self::Repeated(words)
        | Self::Audience(words)
        | Self::Untrue(words)
        | Self::Order(words)
        | Self::Unsettled(words)) = self;
        f.write_str(words)
    }
}
