//! The spaces there are.

use std::time::Duration;

/// A set of keys that are of one kind and live equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Which instances live, and who does what only one may do.
    Leases,
    /// Which users are connected where.
    Presence,
    /// Deliveries that more than one instance has to do with.
    Ledger,
    /// What is left of a platform's limits where several instances use one account.
    Budgets,
    /// Gateway tokens, by the hash of their secret.
    Tokens,
}

// === impl Space ===

impl Space {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Leases, Self::Presence, Self::Ledger, Self::Budgets, Self::Tokens];

    /// Its name, of lower-case letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leases => "leases",
            Self::Presence => "presence",
            Self::Ledger => "ledger",
            Self::Budgets => "budgets",
            Self::Tokens => "tokens",
        }
    }

    /// How long an entry is kept that is not written; `None` for ever.
    ///
    /// A delivery lives at most an hour after its deadline was set, and is looked up a little longer.
    /// Presence is removed by its owner, or with its owner's lease.
    pub fn ttl(self) -> Option<Duration> {
        const MINUTE: Duration = Duration::from_secs(60);
        match self {
            Self::Leases | Self::Budgets => Some(10 * MINUTE),
            Self::Ledger => Some(180 * MINUTE),
            Self::Presence | Self::Tokens => None,
        }
    }

    /// Whether entries outlive the last process. The others say what lives, and so mean nothing then.
    pub fn is_durable(self) -> bool {
        matches!(self, Self::Tokens | Self::Ledger)
    }
}
