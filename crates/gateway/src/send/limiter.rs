//! How much bots may send without a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chatbus_state::Key;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::limits::Window;
use crate::session::{SENDS, WITHIN};

/// Counts what each token sends, as a connection does, and who waits.
pub(crate) struct Limiter {
    by_token: Mutex<HashMap<Key, Window<SENDS>>>,
    waiting: Arc<Semaphore>,
}

/// Tokens that are counted; while so many sent something of late, others are refused.
const MAX_TOKENS: usize = 10_000;
/// Requests that wait for their outcomes; each reads the outcomes for itself.
const MAX_WAITING: usize = 64;

// === impl Limiter ===

impl Limiter {
    pub(crate) fn new() -> Self {
        Self { by_token: Mutex::default(), waiting: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// Whether this token may send one more now; if so, it did.
    pub(crate) fn take(&self, token: &Key, now: Instant) -> bool {
        let mut by_token = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        if by_token.len() >= MAX_TOKENS && !by_token.contains_key(token) {
            by_token.retain(|_, window| !window.is_idle(WITHIN, now));
            if by_token.len() >= MAX_TOKENS {
                return false;
            }
        }
        by_token.entry(token.clone()).or_default().take(WITHIN, now)
    }

    /// A place among those who wait; none when there is none.
    pub(crate) fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the global clock")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_token_sends_as_much_as_a_connection_and_the_idle_make_room() {
        let (limiter, now) = (Limiter::new(), begin());
        let key = |n: usize| Key::parse(&format!("t{n}")).unwrap();
        assert_eq!((0..30).filter(|_| limiter.take(&key(0), now)).count(), SENDS);
        assert!(limiter.take(&key(1), now), "another's are its own");
        assert!(limiter.take(&key(0), now + WITHIN));
        for n in 2..MAX_TOKENS {
            assert!(limiter.take(&key(n), now + WITHIN));
        }
        let later = now + WITHIN + Duration::from_secs(1);
        // Of all, only the second has been silent for long enough.
        assert!(limiter.take(&key(MAX_TOKENS), later));
        assert!(!limiter.take(&key(1), later));
        assert!(limiter.take(&key(1), later + WITHIN));
    }
}
