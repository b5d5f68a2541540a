//! Whether a lease is held, asked before every step that only its holder may do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Until when a lease is held for certain. Cheap to clone and to ask; asks nobody.
///
/// It is measured on the monotonic clock, which runs on while the process is frozen: a holder that
/// wakes up late finds it over, whatever it believed before.
#[derive(Debug, Clone)]
pub struct Fence(Arc<Mutex<Term>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    Always,
    Until(Instant),
    Over,
}

// === impl Fence ===

impl Fence {
    /// For who shares nothing with anybody.
    pub fn always() -> Self {
        Self(Arc::new(Mutex::new(Term::Always)))
    }

    /// For who may act until then, unless it is extended.
    pub fn until(end: Instant) -> Self {
        Self(Arc::new(Mutex::new(Term::Until(end))))
    }

    /// Whether it is held at this moment.
    pub fn is_held(&self, now: Instant) -> bool {
        match self.term() {
            Term::Always => true,
            Term::Until(end) => now < end,
            Term::Over => false,
        }
    }

    /// Until when it is held, as far as is known now; `None` for ever. What is over ended at `now`.
    pub fn end(&self, now: Instant) -> Option<Instant> {
        match self.term() {
            Term::Always => None,
            Term::Until(end) => Some(end.max(now)),
            Term::Over => Some(now),
        }
    }

    /// It was renewed until then; says whether it still held at `now`. Nothing brings back one that was
    /// over for a moment.
    pub fn extend(&self, end: Instant, now: Instant) -> bool {
        let mut term = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *term {
            Term::Until(old) if now < old => {
                *term = Term::Until(end.max(old));
                true
            }
            Term::Always => true,
            Term::Until(_) | Term::Over => {
                *term = Term::Over;
                false
            }
        }
    }

    /// It is lost.
    pub fn lose(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Term::Over;
    }

    fn term(&self) -> Term {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Fence {
    /// Whether both are of the same lease.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Fence {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn one_that_was_over_for_a_moment_never_comes_back() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let fence = Fence::until(at(10));
        assert!(fence.is_held(at(9)) && !fence.is_held(at(10)));
        assert!(fence.extend(at(20), at(9)) && fence.is_held(at(19)));
        assert!(!fence.extend(at(40), at(25)), "frozen over its end");
        assert!(!fence.is_held(at(11)), "not even for what is before");
        assert_eq!((fence.end(at(3)), Fence::always().end(at(3))), (Some(at(3)), None));
    }
}
