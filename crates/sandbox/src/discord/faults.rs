//! What requests meet instead of their answer, and how many of them are let through.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Outstanding refusals.
const MAX_REFUSALS: usize = 10_000;
/// Buckets that are kept; further ones have no limit.
const MAX_BUCKETS: usize = 10_000;

/// Whose limit a 429 is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The bucket's.
    User,
    /// The resource's, shared by everybody.
    Shared,
    /// The account's as a whole.
    Global,
}

/// A refusal of coming requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Only of paths that hold this, such as `/messages`; empty is any.
    pub path: String,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// Discord's own code; 0 leaves a body that is no JSON.
    pub code: u64,
    /// What a 429 says of the wait.
    pub retry_after: Option<Duration>,
    /// Whose limit a 429 is of.
    pub scope: Scope,
    /// How many requests.
    pub count: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Faults {
    refusals: VecDeque<Refusal>,
    lost: u64,
    limit: u64,
    per: Duration,
    buckets: HashMap<String, (Instant, u64)>,
}

/// What the headers of an answer tell of its bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) reset_after: Duration,
    /// Whether the request was one too many.
    pub(super) is_over: bool,
}

// === impl Scope ===

impl Scope {
    /// The word of the header.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Shared => "shared",
            Self::Global => "global",
        }
    }
}

// === impl Faults ===

impl Default for Faults {
    fn default() -> Self {
        let per = Duration::from_secs(1);
        Self { refusals: VecDeque::new(), lost: 0, limit: 1_000, per, buckets: HashMap::new() }
    }
}

impl Faults {
    pub(super) fn refuse(&mut self, refusal: Refusal) -> Result<(), &'static str> {
        if self.refusals.len() >= MAX_REFUSALS {
            return Err("is too much: 10,000 refusals are outstanding");
        }
        if refusal.count > 0 {
            self.refusals.push_back(refusal);
        }
        Ok(())
    }

    pub(super) fn lose(&mut self, count: u64) {
        self.lost = count;
    }

    pub(super) fn limit(&mut self, limit: u64, per: Duration) {
        (self.limit, self.per) = (limit.max(1), per);
        self.buckets.clear();
    }

    /// Whether a request to this path is refused.
    pub(super) fn meets(&mut self, path: &str) -> Option<Refusal> {
        let at = self.refusals.iter().position(|refusal| path.contains(&refusal.path))?;
        let refusal = self.refusals.get_mut(at)?;
        refusal.count = refusal.count.saturating_sub(1);
        let met = refusal.clone();
        if met.count == 0 {
            self.refusals.remove(at);
        }
        Some(met)
    }

    /// Whether the answer of something that was done is lost.
    pub(super) fn is_lost(&mut self) -> bool {
        let is_lost = self.lost > 0;
        self.lost = self.lost.saturating_sub(1);
        is_lost
    }

    /// Takes one request out of a bucket.
    pub(super) fn take(&mut self, bucket: &str, now: Instant) -> Room {
        let (limit, per) = (self.limit, self.per);
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, (began, _)| now.duration_since(*began) < per);
        }
        let (began, used) = self.buckets.entry(bucket.to_owned()).or_insert((now, 0));
        if now.duration_since(*began) >= per {
            (*began, *used) = (now, 0);
        }
        let is_over = *used >= limit;
        *used += u64::from(!is_over);
        let reset_after = per.saturating_sub(now.duration_since(*began));
        Room { limit, remaining: limit - *used, reset_after, is_over }
    }
}
