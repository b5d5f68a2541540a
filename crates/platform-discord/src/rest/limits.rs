//! What may be asked when. Pure.
//!
//! Discord counts requests by bucket and account, and says in each answer what is left of the bucket (reference,
//! Rate Limits). Limits of buckets are never assumed. Beside these: 50 requests a second for the account, which
//! no answer tells, and 10,000 requests in ten minutes that were refused with 401, 403 or 429, after which the
//! address is shut out; we stop at a tenth of that.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chatbus_connector::Share;
use chatbus_http::Answer;

/// Requests in a second, of all instances together.
const GLOBAL: usize = 50;
const SECOND: Duration = Duration::from_secs(1);
/// Refused requests in a window after which we are quiet until the first of them is that old.
const MAX_INVALID: usize = 1_000;
const INVALID_WINDOW: Duration = Duration::from_secs(600);
/// Buckets that are known; beyond these, those whose time is over are forgotten.
const MAX_BUCKETS: usize = 10_000;
/// A wait that an answer asks for is at most this long, and a 429 that tells none is this.
const MAX_WAIT: Duration = Duration::from_secs(3_600);
const UNTOLD_WAIT: Duration = Duration::from_secs(1);

/// What an answer tells of limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) is_global: bool,
    pub(crate) is_shared: bool,
    pub(crate) bucket: Option<String>,
    pub(crate) remaining: Option<u64>,
    pub(crate) reset_after: Option<Duration>,
    pub(crate) retry_after: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Limits {
    share: Share,
    /// When the requests of the running second began, and how many there were.
    second: Option<(Instant, usize)>,
    /// The bucket of each form of path, once an answer told it.
    names: HashMap<&'static str, String>,
    buckets: HashMap<String, Bucket>,
    invalid: VecDeque<Instant>,
    is_refused: bool,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    remaining: u64,
    until: Instant,
}

// === impl Told ===

impl Told {
    pub(crate) fn of(answer: &Answer) -> Self {
        let number = |name| answer.header(name).and_then(|text| text.parse().ok());
        let seconds = |name| answer.header(name).and_then(|text| wait(text.parse().ok()?));
        let scope = answer.header("x-ratelimit-scope");
        let status = answer.status.as_u16();
        // The body says it more exactly than the header, which has whole seconds.
        let exact = (status == 429).then(|| serde_json::from_slice::<serde_json::Value>(&answer.body).ok());
        let exact = exact.flatten().and_then(|body| wait(body.get("retry_after")?.as_f64()?));
        // One that names no limit of Discord's is of the network in front, which shuts out the address.
        let is_nameless = scope.is_none() && answer.header("x-ratelimit-bucket").is_none();
        Self {
            status,
            is_global: scope == Some("global")
                || answer.header("x-ratelimit-global") == Some("true")
                || (status == 429 && is_nameless),
            is_shared: scope == Some("shared"),
            bucket: answer.header("x-ratelimit-bucket").map(str::to_owned).filter(|name| name.len() <= 64),
            remaining: number("x-ratelimit-remaining"),
            reset_after: seconds("x-ratelimit-reset-after"),
            retry_after: exact.or_else(|| seconds("retry-after")),
        }
    }

    /// Whether it counts towards being shut out.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.status, 401 | 403) || (self.status == 429 && !self.is_shared)
    }
}

fn wait(seconds: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    Some(wait.min(MAX_WAIT))
}

// === impl Limits ===

impl Limits {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            share,
            second: None,
            names: HashMap::new(),
            buckets: HashMap::new(),
            invalid: VecDeque::new(),
            is_refused: false,
        }
    }

    /// Whether the token was refused: nothing more is asked with it.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Takes room for one request.
    ///
    /// # Errors
    /// Until when there is none.
    pub(crate) fn take(&mut self, form: &'static str, major: &str, now: Instant) -> Result<(), Instant> {
        if let Some(until) = self.outlook(form, major, now) {
            return Err(until);
        }
        match &mut self.second {
            Some((began, used)) if now < *began + SECOND => *used += 1,
            second => *second = Some((now, 1)),
        }
        let key = self.key(form, major);
        if let Some(bucket) = self.buckets.get_mut(&key) {
            bucket.remaining = bucket.remaining.saturating_sub(1);
        }
        Ok(())
    }

    /// Until when there is no room for such a request; `None` when there is.
    pub(crate) fn outlook(&self, form: &'static str, major: &str, now: Instant) -> Option<Instant> {
        let second = self.second.filter(|(_, used)| *used >= self.share.of(GLOBAL));
        let bucket = self.buckets.get(&self.key(form, major)).filter(|bucket| bucket.remaining == 0);
        let shut = self.invalid.front().filter(|_| self.invalid.len() >= MAX_INVALID);
        [
            self.share.quiet_until(now),
            second.map(|(began, _)| began + SECOND),
            bucket.map(|bucket| bucket.until),
            shut.map(|first| *first + INVALID_WINDOW),
        ]
        .into_iter()
        .flatten()
        .filter(|until| *until > now)
        .max()
    }

    /// Heeds what an answer told.
    pub(crate) fn answered(&mut self, form: &'static str, major: &str, told: &Told, now: Instant) {
        self.is_refused |= told.status == 401;
        if told.is_invalid() {
            if self.invalid.len() >= MAX_INVALID {
                self.invalid.pop_front();
            }
            self.invalid.push_back(now);
        }
        let wait = told.retry_after.unwrap_or(UNTOLD_WAIT);
        if told.status == 429 && told.is_global {
            // Ours, and of everybody who uses the account.
            self.share.set_quiet_until(now + wait);
            self.share.refused_until(now + wait);
            return;
        }
        if let Some(name) = &told.bucket {
            // Forms are ours, and few.
            self.names.insert(form, name.clone());
        }
        let bucket = match (told.status, told.remaining, told.reset_after) {
            (429, ..) => Bucket { remaining: 0, until: now + wait },
            (_, Some(remaining), Some(after)) => Bucket { remaining, until: now + after },
            _ => return,
        };
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, bucket| bucket.until > now);
        }
        if self.buckets.len() < MAX_BUCKETS {
            self.buckets.insert(self.key(form, major), bucket);
        }
    }

    fn key(&self, form: &'static str, major: &str) -> String {
        let name = self.names.get(form).map_or(form, String::as_str);
        format!("{name} {major}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "POST /channels/{}/messages";

    fn limits() -> (Limits, Instant) {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        (Limits::new(Share::whole()), now)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn told(status: u16, remaining: u64, reset_after: Duration) -> Told {
        let bucket = Some("b".to_owned());
        Told { status, bucket, remaining: Some(remaining), reset_after: Some(reset_after), ..Told::default() }
    }

    #[test]
    fn an_empty_bucket_holds_back_its_channel_and_no_other() {
        let (mut limits, now) = limits();
        limits.answered(FORM, "1", &told(200, 1, ms(5_000)), now);
        assert_eq!(limits.take(FORM, "1", now), Ok(()));
        assert_eq!(limits.take(FORM, "1", now), Err(now + ms(5_000)));
        assert_eq!(limits.take(FORM, "2", now), Ok(()));
        assert_eq!(limits.take(FORM, "1", now + ms(5_000)), Ok(()), "after its reset");
    }

    #[test]
    fn forms_that_share_a_bucket_share_its_room() {
        let (mut limits, now) = limits();
        limits.answered("other", "1", &told(200, 9, ms(5_000)), now);
        limits.answered(FORM, "1", &told(200, 0, ms(5_000)), now);
        assert_eq!(limits.take("other", "1", now), Err(now + ms(5_000)));
    }

    #[test]
    fn a_global_429_holds_back_everything_and_is_told_to_the_other_instances() {
        let (mut limits, now) = limits();
        let refusals = limits.share.refusals();
        let told = Told { status: 429, is_global: true, retry_after: Some(ms(700)), ..Told::default() };
        limits.answered(FORM, "1", &told, now);
        for form in [FORM, "GET /gateway/bot"] {
            assert_eq!(limits.take(form, "2", now), Err(now + ms(700)));
        }
        assert_eq!(*refusals.borrow(), Some(now + ms(700)));
        assert_eq!(limits.take(FORM, "1", now + ms(700)), Ok(()));
    }

    #[test]
    fn an_answer_tells_whose_limit_it_is_of_and_how_long_it_lasts() {
        let told = |status: u16, headers: &[(&'static str, &'static str)], body: &'static str| {
            let mut answer = Answer {
                status: status.try_into().unwrap(),
                headers: chatbus_http::hyper::HeaderMap::new(),
                body: body.into(),
            };
            for (name, value) in headers {
                answer.headers.insert(*name, value.parse().unwrap());
            }
            Told::of(&answer)
        };
        let (bucket, user) = (("x-ratelimit-bucket", "b"), ("x-ratelimit-scope", "user"));
        let ours =
            told(429, &[bucket, user, ("retry-after", "2")], r#"{"retry_after":1.337,"global":false}"#);
        assert_eq!((ours.is_global, ours.is_shared, ours.retry_after), (false, false, Some(ms(1_337))));
        assert!(told(429, &[bucket, ("x-ratelimit-scope", "shared")], "").is_shared);
        assert!(told(429, &[("x-ratelimit-scope", "global")], "").is_global);
        let shut_out = told(429, &[("retry-after", "60")], "<html>");
        assert_eq!((shut_out.is_global, shut_out.retry_after), (true, Some(ms(60_000))));
        let plain =
            told(200, &[bucket, ("x-ratelimit-remaining", "3"), ("x-ratelimit-reset-after", "0.5")], "{}");
        assert_eq!((plain.is_global, plain.remaining, plain.reset_after), (false, Some(3), Some(ms(500))));
        for odd in ["-1", "NaN", "inf", "x", "1e300"] {
            let wait = told(429, &[("retry-after", odd)], "").retry_after;
            assert!(wait.is_none_or(|wait| wait <= MAX_WAIT), "{odd}: {wait:?}");
        }
    }

    #[test]
    fn a_second_has_room_for_fifty_requests_of_all_instances_together() {
        let (mut limits, now) = limits();
        for instances in [1, 5] {
            limits.share.set_instances(instances);
            limits.second = None;
            let taken = (0..60).filter(|n| limits.take(FORM, &n.to_string(), now).is_ok()).count();
            assert_eq!(taken, 50 / instances);
        }
        assert_eq!(limits.take(FORM, "x", now + SECOND), Ok(()));
    }

    #[test]
    fn refused_requests_stop_us_long_before_discord_does() {
        let (mut limits, now) = limits();
        let at = |n: u64| now + ms(n * 100);
        for n in 0..1_000 {
            assert!(limits.take(FORM, "1", at(n)).is_ok(), "{n}");
            limits.answered(FORM, "1", &Told { status: 403, ..Told::default() }, at(n));
        }
        assert_eq!(limits.take(FORM, "1", at(1_000)), Err(now + INVALID_WINDOW));
        assert!(limits.take(FORM, "1", now + INVALID_WINDOW).is_ok(), "one may be tried then");
        limits.answered(FORM, "1", &Told { status: 200, ..Told::default() }, now + INVALID_WINDOW);
        let shared = Told { status: 429, is_shared: true, ..Told::default() };
        assert!(!shared.is_invalid(), "a limit that is not ours");
    }

    #[test]
    fn a_token_that_was_refused_is_not_tried_again() {
        let (mut limits, now) = limits();
        limits.answered(FORM, "1", &Told { status: 401, ..Told::default() }, now);
        assert!(limits.is_refused());
    }
}
