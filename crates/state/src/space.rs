//! The spaces there are.

use std::time::Duration;

use crate::Key;

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
    /// Which gateways served a user that has left them since.
    Served,
    /// What gateways ask each other.
    Questions,
    /// What they answer. Nobody watches these, which are large.
    Answers,
    /// What platforms and logins have to remember over a restart.
    Notes,
}

// === impl Space ===

impl Space {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Leases,
        Self::Presence,
        Self::Ledger,
        Self::Budgets,
        Self::Tokens,
        Self::Served,
        Self::Questions,
        Self::Answers,
        Self::Notes,
    ];

    /// Its name, of lower-case letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leases => "leases",
            Self::Presence => "presence",
            Self::Ledger => "ledger",
            Self::Budgets => "budgets",
            Self::Tokens => "tokens",
            Self::Served => "served",
            Self::Questions => "questions",
            Self::Answers => "answers",
            Self::Notes => "notes",
        }
    }

    /// How long an entry is kept that is not written; `None` for ever.
    ///
    /// A delivery lives at most an hour after its deadline was set, and is looked up a little longer.
    /// Presence is removed by its owner, or with its owner's lease. Who served a user is asked about for
    /// five minutes, and questions and answers are done with in a second.
    pub fn ttl(self) -> Option<Duration> {
        const MINUTE: Duration = Duration::from_secs(60);
        match self {
            Self::Leases | Self::Budgets => Some(10 * MINUTE),
            Self::Ledger => Some(180 * MINUTE),
            Self::Served | Self::Questions | Self::Answers => Some(5 * MINUTE),
            Self::Notes => Some(30 * 24 * 60 * MINUTE),
            Self::Presence | Self::Tokens => None,
        }
    }

    /// How many bytes of entries it holds before it refuses more; an entry counts as its key, its value
    /// and what goes with them ([`entry_bytes`]). Far above what hundreds of instances and a million users
    /// need, so that it is reached by a mistake only.
    pub fn max_bytes(self) -> u64 {
        const MIB: u64 = 1024 * 1024;
        match self {
            Self::Leases | Self::Budgets | Self::Questions => 64 * MIB,
            Self::Presence | Self::Tokens | Self::Served | Self::Answers | Self::Notes => 256 * MIB,
            Self::Ledger => 512 * MIB,
        }
    }

    /// Whether entries outlive the last process. The others say what lives, and so mean nothing then.
    pub fn is_durable(self) -> bool {
        matches!(self, Self::Tokens | Self::Ledger | Self::Notes)
    }
}

/// What an entry counts for in [`Space::max_bytes`].
pub fn entry_bytes(key: &Key, value: &[u8]) -> u64 {
    /// Revision, time and the map's own.
    const BESIDE: usize = 128;
    u64::try_from(key.as_str().len() + value.len() + BESIDE).unwrap_or(u64::MAX)
}
