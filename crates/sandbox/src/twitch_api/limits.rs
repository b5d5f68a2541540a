//! Helix's points: a bucket for each application and user, refilled steadily.

use std::time::{Duration, Instant};

use super::shelf::Shelf;

/// Points of a full bucket, which is also what one minute gives (dev.twitch.tv/docs/api/guide).
pub(super) const POINTS: u32 = 800;
const MINUTE: Duration = Duration::from_secs(60);
/// Buckets at one time.
const MAX_BUCKETS: usize = 10_000;

/// What a request finds in its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Points {
    /// Of a full bucket.
    pub(super) limit: u32,
    /// After this request.
    pub(super) remaining: u32,
    /// Until it is full again.
    pub(super) full_in: Duration,
    /// Whether this request still had its point.
    pub(super) allowed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    points: f64,
    at: Instant,
}

/// All buckets.
#[derive(Debug)]
pub(super) struct Limits {
    buckets: Shelf<Bucket>,
    /// Points of a full bucket.
    pub(super) points: u32,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { buckets: Shelf::new(MAX_BUCKETS), points: POINTS }
    }
}

impl Limits {
    /// Takes one point.
    pub(super) fn take(&mut self, key: &str, now: Instant) -> Points {
        let limit = f64::from(self.points);
        let mut bucket = self.buckets.get(key).copied().unwrap_or(Bucket { points: limit, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.points = (bucket.points + passed * limit / MINUTE.as_secs_f64()).min(limit);
        bucket.at = now;
        let allowed = bucket.points >= 1.0;
        if allowed {
            bucket.points -= 1.0;
        }
        let lacking = if limit > 0.0 { (limit - bucket.points) / limit } else { 1.0 };
        match self.buckets.get_mut(key) {
            Some(place) => *place = bucket,
            None => self.buckets.put(key, bucket),
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to the limit, a u32"
        )]
        let remaining = bucket.points as u32;
        Points { limit: self.points, remaining, full_in: MINUTE.mul_f64(lacking.clamp(0.0, 1.0)), allowed }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::{Clock as _, Timestamp};
    use chatbus_testkit::FakeClock;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again_steadily() {
        let now = FakeClock::at(Timestamp::EPOCH).instant();
        let mut limits = Limits { points: 60, ..Limits::default() };
        for left in (0..60).rev() {
            let points = limits.take("app", now);
            assert_eq!((points.allowed, points.remaining, points.limit), (true, left, 60));
        }
        let empty = limits.take("app", now);
        assert_eq!((empty.allowed, empty.full_in), (false, MINUTE));
        assert!(limits.take("other", now).allowed);
        assert!(limits.take("app", now + Duration::from_secs(1)).allowed);
        assert!(!limits.take("app", now + Duration::from_secs(1)).allowed);
    }
}
