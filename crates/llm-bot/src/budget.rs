//! How often users and channels may ask: token buckets. Pure; the time is passed in.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lru::LruCache;

use crate::config::{Budget, Budgets, places};
use crate::question::Key;

/// The accounts of all who ask.
#[derive(Debug)]
pub(crate) struct Accounts(Mutex<Both>);

#[derive(Debug)]
struct Both {
    users: Buckets,
    channels: Buckets,
}

#[derive(Debug)]
struct Buckets {
    budget: Budget,
    kept: LruCache<Key, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Whose budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    User,
    Channel,
}

// === impl Accounts ===

impl Accounts {
    pub(crate) fn new(budgets: &Budgets) -> Self {
        let buckets = |budget| Buckets { budget, kept: LruCache::new(places(budgets.tracked)) };
        Self(Mutex::new(Both { users: buckets(budgets.user), channels: buckets(budgets.channel) }))
    }

    /// Takes one question from the user's and the channel's budget: from both, or from neither.
    pub(crate) fn take(&self, user: Option<&Key>, channel: Option<&Key>, now: Instant) -> Result<(), Spent> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = both.users.filled(user, now);
        let of_channel = both.channels.filled(channel, now);
        match (of_user, of_channel) {
            (None, _) => Err(Spent::User),
            (_, None) => Err(Spent::Channel),
            (Some(user), Some(channel)) => {
                both.users.spend(user);
                both.channels.spend(channel);
                Ok(())
            }
        }
    }
}

// === impl Buckets ===

impl Buckets {
    /// The bucket as it stands now, with its key; `None` when it is empty. Who is not known, or not limited, has
    /// no bucket to be empty.
    fn filled(&mut self, key: Option<&Key>, now: Instant) -> Option<Option<(Key, Bucket)>> {
        let Some(key) = key.filter(|_| self.budget.burst > 0) else { return Some(None) };
        let most = f64::from(self.budget.burst);
        let bucket = self.kept.get(key).copied().unwrap_or(Bucket { tokens: most, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        let every = self.budget.every.as_secs_f64().max(0.001);
        let tokens = (bucket.tokens + passed / every).min(most);
        (tokens >= 1.0).then(|| Some((key.clone(), Bucket { tokens, at: now })))
    }

    fn spend(&mut self, bucket: Option<(Key, Bucket)>) {
        if let Some((key, bucket)) = bucket {
            self.kept.put(key, Bucket { tokens: bucket.tokens - 1.0, ..bucket });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chatbus_event::{Clock as _, Timestamp};
    use chatbus_testkit::FakeClock;

    use super::*;

    fn accounts(user: u32, channel: u32, tracked: usize) -> Accounts {
        let budget = |burst| Budget { burst, every: Duration::from_secs(10) };
        Accounts::new(&Budgets { user: budget(user), channel: budget(channel), tracked })
    }

    #[test]
    fn who_has_asked_too_often_waits_until_one_more_is_allowed() {
        let (accounts, clock) = (accounts(2, 0, 10), FakeClock::at(Timestamp::EPOCH));
        let (ann, bob) = (Key::of(&["ann"]), Key::of(&["bob"]));
        let ask = |who| accounts.take(Some(who), None, clock.instant());
        assert_eq!((ask(&ann), ask(&ann), ask(&ann)), (Ok(()), Ok(()), Err(Spent::User)));
        assert_eq!(ask(&bob), Ok(()), "others are not held back");
        clock.advance(Duration::from_secs(9));
        assert_eq!(ask(&ann), Err(Spent::User));
        clock.advance(Duration::from_secs(1));
        assert_eq!((ask(&ann), ask(&ann)), (Ok(()), Err(Spent::User)));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(
            (ask(&ann), ask(&ann), ask(&ann)),
            (Ok(()), Ok(()), Err(Spent::User)),
            "no more than the burst"
        );
    }

    #[test]
    fn a_channel_that_is_refused_costs_its_user_nothing() {
        let (accounts, clock) = (accounts(2, 1, 10), FakeClock::at(Timestamp::EPOCH));
        let (ann, a, b) = (Key::of(&["ann"]), Key::of(&["#a"]), Key::of(&["#b"]));
        let ask = |channel| accounts.take(Some(&ann), Some(channel), clock.instant());
        assert_eq!((ask(&a), ask(&a), ask(&a)), (Ok(()), Err(Spent::Channel), Err(Spent::Channel)));
        assert_eq!((ask(&b), ask(&b)), (Ok(()), Err(Spent::User)));
    }

    #[test]
    fn only_so_many_are_kept_account_of_and_the_one_silent_for_the_longest_is_forgotten() {
        let (accounts, clock) = (accounts(1, 0, 2), FakeClock::at(Timestamp::EPOCH));
        let keys = [Key::of(&["1"]), Key::of(&["2"]), Key::of(&["3"])];
        for key in &keys {
            assert_eq!(accounts.take(Some(key), None, clock.instant()), Ok(()));
        }
        assert_eq!(accounts.0.lock().unwrap().users.kept.len(), 2);
        assert_eq!(accounts.take(Some(&keys[2]), None, clock.instant()), Err(Spent::User));
        assert_eq!(accounts.take(Some(&keys[0]), None, clock.instant()), Ok(()));
    }
}
