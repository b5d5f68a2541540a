//! Whether Twilio can be asked now.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chatbus_connector::{Availability, Share};
use tokio::sync::{Notify, watch};

/// Whether Twilio can be asked.
#[derive(Debug)]
pub(crate) struct Link {
    /// Since when it does not answer, or refuses the account; `None` while all is well.
    lost: Mutex<Option<Instant>>,
    /// Until when it asked for quiet: this instance, or another one of the account.
    pub(crate) share: Share,
    changes: watch::Sender<u64>,
    /// Wakes whoever looks after the account.
    pub(crate) doubted: Notify,
}

// === impl Link ===

impl Link {
    /// One that is not known to be good yet.
    pub(crate) fn new(since: Instant) -> Self {
        Self {
            lost: Mutex::new(Some(since)),
            share: Share::whole(),
            changes: watch::Sender::new(0),
            doubted: Notify::new(),
        }
    }

    /// Sets since when it is lost; an earlier moment stays.
    pub(crate) fn set_lost(&self, since: Option<Instant>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        *lost = since.map(|since| lost.unwrap_or(since));
        drop(lost);
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub(crate) fn availability(&self, now: Instant) -> Availability {
        if let Some(since) = *self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            return Availability::Disconnected { since };
        }
        let ours = *self.share.refusals().borrow();
        match ours.max(self.share.quiet_until(now)) {
            Some(until) if until > now => Availability::NotBefore(until),
            _ => Availability::Ready,
        }
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn what_is_lost_or_quiet_is_told_and_the_first_moment_stays() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let link = Link::new(at(0));
        assert_eq!(link.availability(at(1)), Availability::Disconnected { since: at(0) });
        link.set_lost(Some(at(5)));
        assert_eq!(link.availability(at(6)), Availability::Disconnected { since: at(0) });
        link.set_lost(None);
        assert_eq!(link.availability(at(6)), Availability::Ready);
        link.share.refused_until(at(9));
        link.share.refused_until(at(8));
        assert_eq!(link.availability(at(6)), Availability::NotBefore(at(9)));
        assert_eq!(link.availability(at(9)), Availability::Ready);
        link.share.set_quiet_until(at(12));
        assert_eq!(link.availability(at(9)), Availability::NotBefore(at(12)), "another instance was told");
    }
}
