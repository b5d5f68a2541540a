//! What Twitch says of how often Helix may be asked (dev.twitch.tv/docs/api/guide, "Twitch rate limits").

use std::time::{Duration, Instant};

use chatbus_event::Timestamp;
use chatbus_http::Answer;

/// A wait that an answer names is at most this: buckets refill within a minute, and a clock may be wrong.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// What one token may ask. Knows until when that is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limit {
    quiet_until: Option<Instant>,
}

/// What an answer's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// How often the token may still ask, where it is said.
    pub(super) remaining: Option<u64>,
    /// In how long it may ask as before, where it is said.
    pub(super) wait: Option<Duration>,
}

// === impl Said ===

impl Said {
    /// Reads the headers of an answer that came now.
    pub(super) fn of(answer: &Answer, now: Timestamp) -> Self {
        let number = |name| answer.header(name).and_then(|text| text.trim().parse::<u64>().ok());
        let reset = number("ratelimit-reset").and_then(|seconds| i64::try_from(seconds).ok());
        let until_reset =
            reset.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)).since(now));
        let wait = number("retry-after").map(Duration::from_secs).or(until_reset);
        Self { remaining: number("ratelimit-remaining"), wait: wait.map(|wait| wait.min(LONGEST_WAIT)) }
    }
}

// === impl Limit ===

impl Limit {
    /// Until when nothing may be asked, if that is so now.
    pub(super) fn quiet_until(&self, now: Instant) -> Option<Instant> {
        self.quiet_until.filter(|until| *until > now)
    }

    /// An answer said this. A refusal while some is left is about what was asked, not about the token.
    pub(super) fn heard(&mut self, said: Said, is_refused: bool, now: Instant) {
        let is_used_up = match said.remaining {
            Some(remaining) => remaining == 0,
            None => is_refused,
        };
        if let Some(wait) = said.wait.filter(|_| is_used_up) {
            self.quiet_until = self.quiet_until.max(Some(now + wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::Clock as _;
    use chatbus_http::hyper::{HeaderMap, StatusCode};
    use chatbus_testkit::FakeClock;

    use super::*;

    fn answer(headers: &[(&'static str, &'static str)]) -> Answer {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status: StatusCode::OK, headers, body: bytes::Bytes::new() }
    }

    #[test]
    fn headers_tell_how_much_is_left_and_when_there_is_more() {
        let seconds = |s| Some(Duration::from_secs(s));
        for (headers, remaining, wait) in [
            (&[][..], None, None),
            (&[("Ratelimit-Remaining", "3"), ("Ratelimit-Reset", "107")], Some(3), seconds(7)),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "90")], Some(0), seconds(0)),
            (&[("ratelimit-reset", "999999999999999999")], None, seconds(120)),
            (&[("retry-after", "5"), ("ratelimit-reset", "107")], None, seconds(5)),
            (&[("ratelimit-remaining", "many"), ("ratelimit-reset", "-1")], None, None),
        ] {
            let said = Said::of(&answer(headers), Timestamp::from_millis(100_000));
            assert_eq!(said, Said { remaining, wait }, "{headers:?}");
        }
    }

    #[test]
    fn nothing_is_asked_once_all_is_used_up_until_there_is_more() {
        let clock = FakeClock::at(Timestamp::EPOCH);
        let at = |s| clock.instant() + Duration::from_secs(s);
        for (remaining, is_refused, quiet) in [
            (Some(1), false, false),
            (Some(1), true, false),
            (Some(0), false, true),
            (None, true, true),
            (None, false, false),
        ] {
            let mut limit = Limit::default();
            limit.heard(Said { remaining, wait: Some(Duration::from_secs(9)) }, is_refused, at(0));
            assert_eq!(limit.quiet_until(at(0)), quiet.then(|| at(9)), "{remaining:?} {is_refused}");
            assert_eq!(limit.quiet_until(at(9)), None);
        }
    }
}
