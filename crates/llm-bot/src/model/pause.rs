//! How long to wait before another try. Pure.

use std::time::Duration;

use chatbus_event::Timestamp;

/// What a `Retry-After` header asks for: whole or broken seconds, or a date. `None` when it is neither.
pub(super) fn asked(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        let is_sane = seconds.is_finite() && (0.0..=1e9).contains(&seconds);
        return is_sane.then(|| Duration::from_secs_f64(seconds));
    }
    let at = httpdate::parse_http_date(header).ok()?;
    let millis = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    Some(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)).since(now))
}

/// How long to wait: what the endpoint asks for where it does, else our own step. `None` when that is longer than
/// we ever wait, or than what is left of the call.
pub(super) fn pause(
    asked: Option<Duration>,
    ours: Duration,
    most: Duration,
    left: Duration,
) -> Option<Duration> {
    let wait = asked.map_or(ours, |asked| asked.max(ours));
    (wait <= most && wait < left).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_says_how_long_in_seconds_or_as_a_date() {
        let now = Timestamp::parse("2025-11-21T17:02:00Z").unwrap();
        for (header, expected) in [
            ("2", Some(2_000)),
            (" 0.5 ", Some(500)),
            ("0", Some(0)),
            ("Fri, 21 Nov 2025 17:02:03 GMT", Some(3_000)),
            ("Fri, 21 Nov 2025 17:01:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("NaN", None),
            ("1e300", None),
            ("", None),
        ] {
            assert_eq!(asked(header, now), expected.map(Duration::from_millis), "{header:?}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_bound_or_than_the_call_may_take() {
        let s = Duration::from_secs;
        for (asked, left, expected) in [
            (None, 10, Some(1)),
            (Some(3), 10, Some(3)),
            (Some(0), 10, Some(1)),
            (Some(6), 10, None),
            (Some(3), 3, None),
            (None, 1, None),
        ] {
            assert_eq!(pause(asked.map(s), s(1), s(5), s(left)), expected.map(s), "{asked:?} of {left}");
        }
    }
}
