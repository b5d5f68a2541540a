//! Time and randomness, passed in. Nothing in chatbus reads a global clock or a global random source.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Tells the time. One clock serves a whole process; tests use a fake one.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock. It may jump; use it only for what other machines or people will read.
    fn now(&self) -> Timestamp;

    /// The monotonic clock. Use it for every duration, deadline and timeout.
    fn instant(&self) -> Instant;
}

/// Gives randomness. Seeded in tests, so that a failure can be repeated.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// A random 64-bit number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A UUID that begins with a moment (version 7, RFC 9562 section 5.7): what is indexed by such ids is
    /// appended where random ones are spread over the whole index.
    fn uuid_at(&self, at: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// A number in `0.0..1.0`.
    fn unit(&self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let numerator = (self.next_u64() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }
}

/// A moment in UTC, to the millisecond. Printed as `2025-11-21T17:02:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

// === impl Timestamp ===

impl Timestamp {
    /// The first moment of 1970.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since 1970, clamped to the years 0001 to 9999 so that it always prints.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(-62_135_596_800_000, 253_402_214_400_000))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 date and time with any offset; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self::from_millis(t.as_millisecond()))
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The moment `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As it is printed.
    pub fn ascii(self) -> [u8; 24] {
        // Written by hand because every envelope holds two of them and this is several times
        // faster than a general formatter; days-to-date is the well-known civil calendar algorithm.
        let days = self.0.div_euclid(86_400_000);
        let ms = self.0.rem_euclid(86_400_000);
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        let mut out = *b"0000-00-00T00:00:00.000Z";
        let mut two = |at: usize, value: i64| {
            let value = u8::try_from(value).unwrap_or(0);
            out[at] = b'0' + value / 10;
            out[at + 1] = b'0' + value % 10;
        };
        two(0, year / 100);
        two(2, year % 100);
        two(5, month);
        two(8, day);
        two(11, hour);
        two(14, minute);
        two(17, second);
        two(20, milli / 10);
        out[22] = b'0' + u8::try_from(milli % 10).unwrap_or(0);
        out
    }
}

/// What [`Timestamp::ascii`] gives is ASCII.
pub(crate) fn as_text(ascii: &[u8; 24]) -> &str {
    std::str::from_utf8(ascii).unwrap_or("0000-00-00T00:00:00.000Z")
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(as_text(&self.ascii()))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("not an RFC 3339 date and time: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives the same bytes each time.
    #[derive(Debug)]
    struct Same(u8);

    impl Entropy for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn ids_that_begin_with_their_moment_are_in_its_order_and_differ_within_it() {
        let id = |millis, random| Same(random).uuid_at(Timestamp::from_millis(millis));
        let ids = [id(0, 9), id(1_700_000_000_000, 1), id(1_700_000_000_000, 2), id(1_700_000_000_001, 0)];
        assert!(ids.is_sorted() && ids[1] != ids[2], "{ids:?}");
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(id(-1, 0), id(0, 0), "there are no moments before 1970 in such an id");
    }

    proptest! {
        #[test]
        fn a_timestamp_prints_what_a_general_formatter_prints(ms in -62_135_596_800_000_i64..253_402_214_400_000) {
            let ours = Timestamp::from_millis(ms);
            let theirs = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(ours.to_string(), format!("{theirs:.3}"));
            prop_assert_eq!(Timestamp::parse(&ours.to_string()), Some(ours));
        }
    }

    #[test]
    fn an_offset_is_turned_into_utc() {
        assert_eq!(
            Timestamp::parse("2025-11-21T18:02:00.5+01:00").map(|t| t.to_string()).as_deref(),
            Some("2025-11-21T17:02:00.500Z")
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
