//! An account's limits, where several instances use one account.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// What is this instance's of its account's limits. Cheap to clone and to ask; asks nobody.
///
/// Limits that the platform counts by account are divided by the number of instances that live and use it,
/// so that none has to ask before it sends. What the platform says to one of them, that all must be quiet for
/// a while, is told to all. Who uses its account alone has all of it.
#[derive(Debug, Clone)]
pub struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    instances: AtomicUsize,
    quiet_until: watch::Sender<Option<Instant>>,
    refused_until: watch::Sender<Option<Instant>>,
}

// === impl Share ===

impl Share {
    /// All of it.
    pub fn whole() -> Self {
        Self(Arc::new(Inner {
            instances: AtomicUsize::new(1),
            quiet_until: watch::Sender::new(None),
            refused_until: watch::Sender::new(None),
        }))
    }

    /// So many instances use the account, this one included.
    pub fn set_instances(&self, instances: usize) {
        self.0.instances.store(instances.max(1), Ordering::Relaxed);
    }

    /// How many instances use the account, this one included.
    pub fn instances(&self) -> usize {
        self.0.instances.load(Ordering::Relaxed)
    }

    /// How much of a limit is this instance's.
    pub fn of(&self, limit: usize) -> usize {
        divide(limit, self.instances())
    }

    /// The platform wants quiet from the account until then, as another instance was told.
    pub fn set_quiet_until(&self, until: Instant) {
        raise(&self.0.quiet_until, until);
    }

    /// Until when the account is to be quiet, if it is at this moment.
    pub fn quiet_until(&self, now: Instant) -> Option<Instant> {
        self.0.quiet_until.borrow().filter(|until| *until > now)
    }

    /// The platform told this instance that the account said too much, and will hear it again then.
    pub fn refused_until(&self, until: Instant) {
        raise(&self.0.refused_until, until);
    }

    /// What [`Share::refused_until`] was told last, now and whenever that changes.
    pub fn refusals(&self) -> watch::Receiver<Option<Instant>> {
        self.0.refused_until.subscribe()
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::whole()
    }
}

/// One instance's part of a limit: never more than all of them may use together, as long as there are not
/// more instances than the limit allows uses; each needs one.
fn divide(limit: usize, instances: usize) -> usize {
    (limit / instances.max(1)).max(1)
}

fn raise(until: &watch::Sender<Option<Instant>>, to: Instant) {
    until.send_if_modified(|until| {
        let later = until.is_none_or(|until| until < to);
        if later {
            *until = Some(to);
        }
        later
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_limit_is_divided_and_everybody_has_something() {
        for (limit, instances, part) in
            [(20, 0, 20), (20, 1, 20), (20, 2, 10), (20, 3, 6), (100, 3, 33), (20, 20, 1), (20, 50, 1)]
        {
            let share = Share::whole();
            share.set_instances(instances);
            assert_eq!(share.of(limit), part, "{limit} among {instances}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn quiet_lasts_until_the_latest_that_was_said() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let share = Share::whole();
        assert_eq!(share.quiet_until(now), None);
        for (said, lasts) in [(5, 5), (3, 5), (9, 9)] {
            share.set_quiet_until(at(said));
            assert_eq!(share.quiet_until(now), Some(at(lasts)), "after {said}");
        }
        assert_eq!(share.quiet_until(at(9)), None, "over");
        assert_eq!(*share.refusals().borrow(), None, "what others were told is not told again");
    }
}
