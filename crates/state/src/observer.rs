//! Who lives, as one watcher sees it. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::{Key, Revision};

/// Tells living leases from dead ones by when their revisions changed, on the watcher's own clock.
///
/// A lease is dead when it was seen unchanged for its time, all of it without a break in the watching:
/// after a break nobody is known to be dead, however long it lasted.
#[derive(Debug)]
pub struct Observer {
    ttl: Duration,
    seen: HashMap<Key, (Revision, Instant)>,
    /// Since when the watching is unbroken.
    since: Option<Instant>,
    /// When the watcher last said that it runs; `None` for one that never says so.
    ran_at: Option<Instant>,
}

/// A watcher that said nothing for this long did not run: it was frozen, and saw nothing meanwhile.
const FROZEN: Duration = Duration::from_secs(3);

// === impl Observer ===

impl Observer {
    /// Watches leases of this length.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, seen: HashMap::new(), since: None, ran_at: None }
    }

    /// The watching begins, or begins again after a break.
    pub fn begun(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// The watching is broken: until it begins again nobody is known to be dead.
    pub fn broken(&mut self) {
        self.since = None;
    }

    /// The watcher runs. To be said every second, and before anything that it saw: after a freeze all that
    /// was renewed meanwhile looks as if it had not been, until what waits to be read is read.
    pub fn ran(&mut self, now: Instant) {
        if self.was_frozen(now) {
            self.since = self.since.map(|_| now);
        }
        self.ran_at = Some(now);
    }

    fn was_frozen(&self, now: Instant) -> bool {
        self.ran_at.is_some_and(|at| now.saturating_duration_since(at) >= FROZEN)
    }

    /// A lease stands there with this revision.
    pub fn saw(&mut self, key: &Key, revision: Revision, now: Instant) {
        match self.seen.get_mut(key) {
            Some(known) if known.0 == revision => {}
            Some(known) => *known = (revision, now),
            None => drop(self.seen.insert(key.clone(), (revision, now))),
        }
    }

    /// A lease is not there any more.
    pub fn gone(&mut self, key: &Key) {
        self.seen.remove(key);
    }

    /// All that stands there now: what is not among it is gone.
    pub fn keep_only(&mut self, is_there: impl Fn(&Key) -> bool) {
        self.seen.retain(|key, _| is_there(key));
    }

    /// Whether the holder may still act on its lease. True while in doubt.
    pub fn may_live(&self, key: &Key, now: Instant) -> bool {
        let Some(since) = self.since else { return true };
        if self.was_frozen(now) {
            return true;
        }
        let changed = match self.seen.get(key) {
            Some((_, changed)) => (*changed).max(since),
            // There is none; but one that was may have ended a moment before the watching began.
            None => since,
        };
        now.saturating_duration_since(changed) < self.ttl
    }

    /// Whether a lease stands there and was renewed within its time.
    pub fn lives(&self, key: &Key, now: Instant) -> bool {
        self.seen.get(key).is_some_and(|(_, changed)| now.saturating_duration_since(*changed) < self.ttl)
    }

    /// When something that may live now will be known to be dead, unless it is renewed.
    pub fn next_death(&self, now: Instant) -> Option<Instant> {
        let since = self.since?;
        let ends = self.seen.values().map(|(_, changed)| (*changed).max(since) + self.ttl);
        ends.chain([since + self.ttl]).filter(|end| *end > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn a_watcher_that_was_frozen_knows_nobody_to_be_dead() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let a = Key::parse("a").unwrap();
        let mut observer = Observer::new(Duration::from_secs(15));
        observer.begun(at(0));
        observer.saw(&a, Revision(1), at(0));
        (0..=10).for_each(|s| observer.ran(at(s)));
        assert!(observer.may_live(&a, at(40)), "frozen until now, and nothing is read yet");
        observer.ran(at(40));
        assert!(observer.may_live(&a, at(42)));
        (41..=55).for_each(|s| observer.ran(at(s)));
        assert!(!observer.may_live(&a, at(55)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn a_lease_is_dead_only_when_it_was_watched_for_its_whole_time() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let (a, b, never) = (Key::parse("a").unwrap(), Key::parse("b").unwrap(), Key::parse("n").unwrap());
        let mut observer = Observer::new(Duration::from_secs(15));
        assert!(observer.may_live(&a, at(100)), "nothing is known yet");
        observer.saw(&a, Revision(1), at(0));
        observer.saw(&b, Revision(2), at(0));
        observer.begun(at(0));
        observer.saw(&a, Revision(3), at(10));
        observer.saw(&b, Revision(2), at(10));
        assert!(observer.may_live(&b, at(14)) && observer.may_live(&never, at(14)));
        assert!(!observer.may_live(&b, at(15)) && !observer.may_live(&never, at(15)));
        assert!(observer.may_live(&a, at(24)) && observer.lives(&a, at(24)) && !observer.lives(&b, at(15)));
        assert_eq!(observer.next_death(at(16)), Some(at(25)));
        observer.broken();
        assert!(observer.may_live(&b, at(1000)));
        observer.begun(at(1000));
        assert!(observer.may_live(&b, at(1014)) && !observer.may_live(&b, at(1015)));
        observer.saw(&a, Revision(4), at(1010));
        observer.keep_only(|key| *key == b);
        assert!(!observer.lives(&a, at(1011)), "it was given up during a break");
        observer.gone(&a);
        assert!(!observer.lives(&a, at(24)));
    }
}
